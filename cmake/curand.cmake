# Where cuRAND is, which the toolkit may lack: its device header gives the rounds of Philox under nvcc, and its host library is a
# test's oracle. Without it the kernels have rounds of their own, of the same bits. Sets
#   GURN_CURAND_INCLUDE_DIR, GURN_CURAND_LIBRARY   NOTFOUND where there is none; an empty GURN_CURAND_INCLUDE_DIR means: do without
#
# The toolkit is looked at first, then the packages of PyPI, nvidia/cu13 or nvidia/curand: in .venv, where scripts/setup.sh test puts
# one, and where python3 has its own.
find_program(GURN_NVCC nvcc PATHS /usr/local/cuda/bin)
set(gurn_curand_places "")
if(GURN_NVCC)
    file(REAL_PATH ${GURN_NVCC} gurn_toolkit)
    cmake_path(GET gurn_toolkit PARENT_PATH gurn_toolkit)
    list(APPEND gurn_curand_places ${gurn_toolkit}/..)
endif()
file(GLOB gurn_python_places ${CMAKE_CURRENT_LIST_DIR}/../.venv/lib/python3*/site-packages)
find_program(GURN_PYTHON python3)
if(GURN_PYTHON)
    execute_process(COMMAND ${GURN_PYTHON} -c "import sys; print(';'.join(p for p in sys.path if p))"
                    OUTPUT_VARIABLE gurn_python_path OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    list(APPEND gurn_python_places ${gurn_python_path})
endif()
foreach(place IN LISTS gurn_python_places)
    list(APPEND gurn_curand_places ${place}/nvidia/cu13 ${place}/nvidia/curand)
endforeach()
find_path(GURN_CURAND_INCLUDE_DIR curand_philox4x32_x.h HINTS ${gurn_curand_places} /usr/local/cuda PATH_SUFFIXES include)
find_library(GURN_CURAND_LIBRARY NAMES curand libcurand.so.10 HINTS ${gurn_curand_places} /usr/local/cuda
             PATH_SUFFIXES lib lib64)
mark_as_advanced(GURN_NVCC GURN_PYTHON GURN_CURAND_INCLUDE_DIR GURN_CURAND_LIBRARY)

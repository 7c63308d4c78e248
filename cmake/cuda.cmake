# Decides how the CUDA back end is built. Sets
#   GURN_CUDA_MODE        CUDA (nvcc), EMULATED (the C++ compiler, against tests/emulation) or OFF
#   gurn_cuda_sources     the back end's files, in either language
#   gurn_cuda_libraries   what the libraries link for it
#   gurn_cuda_flags       an INTERFACE target with the flags of everything that includes a CUDA header
#   GURN_CURAND_INCLUDE_DIR, GURN_CURAND_LIBRARY   as curand.cmake does

file(GLOB gurn_cuda_kernels CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/*.cu)
file(GLOB gurn_cuda_host CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/host/backend_cuda*.c ${PROJECT_SOURCE_DIR}/host/backend_cuda*.cpp
     ${PROJECT_SOURCE_DIR}/host/backend_cuda*.cu)
set(gurn_cuda_sources ${gurn_cuda_kernels} ${gurn_cuda_host})
set(gurn_cuda_libraries "")

if(NOT GURN_CUDA MATCHES "^(AUTO|ON|OFF|EMULATED)$")
    message(FATAL_ERROR "GURN_CUDA is '${GURN_CUDA}': must be AUTO, ON, OFF or EMULATED")
endif()

include(${CMAKE_CURRENT_LIST_DIR}/curand.cmake)

set(GURN_CUDA_MODE OFF)
if(NOT gurn_cuda_kernels OR NOT gurn_cuda_host)
    if(GURN_CUDA MATCHES "^(ON|EMULATED)$")
        message(FATAL_ERROR "GURN_CUDA is ${GURN_CUDA}, but this source tree has no CUDA back end")
    endif()
elseif(GURN_CUDA STREQUAL "EMULATED")
    set(GURN_CUDA_MODE EMULATED)
elseif(GURN_CUDA STREQUAL "ON")
    set(GURN_CUDA_MODE CUDA)
elseif(GURN_CUDA STREQUAL "AUTO")
    include(CheckLanguage)
    check_language(CUDA)
    if(CMAKE_CUDA_COMPILER)
        set(GURN_CUDA_MODE CUDA)
    endif()
endif()

add_library(gurn_cuda_flags INTERFACE)

if(GURN_CUDA_MODE STREQUAL "CUDA")
    # 'native' does not configure on a machine without a GPU, so it is left to a preset.
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
        if(CMAKE_VERSION VERSION_LESS 3.23)
            set(CMAKE_CUDA_ARCHITECTURES OFF) # does not know all-major yet, nvcc does
            target_compile_options(gurn_cuda_flags INTERFACE $<$<COMPILE_LANGUAGE:CUDA>:-arch=all-major>)
        else()
            set(CMAKE_CUDA_ARCHITECTURES all-major)
        endif()
    endif()
    enable_language(CUDA)
    set(CMAKE_CUDA_STANDARD 17)
    set(CMAKE_CUDA_STANDARD_REQUIRED ON)
    set(CMAKE_CUDA_EXTENSIONS OFF)
    set(CMAKE_CUDA_RUNTIME_LIBRARY Static) # loads without a driver, so that one binary can fall back to the CPU
    find_package(CUDAToolkit REQUIRED)
    target_link_libraries(gurn_cuda_flags INTERFACE CUDA::cudart_static)
    if(GURN_CURAND_INCLUDE_DIR)
        target_compile_definitions(gurn_cuda_flags INTERFACE $<$<COMPILE_LANGUAGE:CUDA>:GURN_HAVE_CURAND_PHILOX>)
        if(NOT GURN_CURAND_INCLUDE_DIR IN_LIST CUDAToolkit_INCLUDE_DIRS)
            # For the kernels alone, where nvcc looks into its own folder first: a Python package may hold another CUDA's headers.
            target_include_directories(gurn_cuda_flags SYSTEM INTERFACE
                                       $<$<COMPILE_LANGUAGE:CUDA>:${GURN_CURAND_INCLUDE_DIR}>)
        endif()
    else()
        message(STATUS "cuRAND's headers are not here (GURN_CURAND_INCLUDE_DIR names them): the kernels' Philox is their own, with the "
                       "same bits")
    endif()
    # -fmad=false and -ffp-contract=off: what decides a draw is bit-exact on every device, and says fma where it means it.
    target_compile_options(gurn_cuda_flags INTERFACE
        "$<$<COMPILE_LANGUAGE:CUDA>:-fmad=false;-lineinfo;-Xcompiler=-Wall,-Wextra,-ffp-contract=off,-fno-math-errno>")
    if(GURN_WERROR)
        target_compile_options(gurn_cuda_flags INTERFACE
            "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Werror all-warnings;-Xcompiler=-Werror>")
    endif()
    set(gurn_cuda_libraries CUDA::cudart_static stdc++)
elseif(GURN_CUDA_MODE STREQUAL "EMULATED")
    file(GLOB gurn_emulation CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/emulation/*.cpp)
    list(FILTER gurn_emulation EXCLUDE REGEX "test[^/]*$") # the emulation's own tests
    set_source_files_properties(${gurn_cuda_sources} PROPERTIES LANGUAGE CXX)
    if(NOT GURN_SANITIZE)
        # The compiler announces every load and store of device code, to the emulation (tests/emulation/access.cpp).
        set_source_files_properties(${gurn_cuda_kernels} PROPERTIES COMPILE_OPTIONS -fsanitize=thread)
    endif()
    target_include_directories(gurn_cuda_flags BEFORE INTERFACE ${PROJECT_SOURCE_DIR}/tests/emulation)
    target_compile_definitions(gurn_cuda_flags INTERFACE GURN_EMULATED)
    list(APPEND gurn_cuda_sources ${gurn_emulation})
    find_library(GURN_BOOST_CONTEXT boost_context)
    if(GURN_BOOST_CONTEXT)
        set(gurn_cuda_libraries ${GURN_BOOST_CONTEXT})
    endif()
    list(APPEND gurn_cuda_libraries stdc++)
endif()

message(STATUS "gumbelurn ${PROJECT_VERSION}: CUDA back end ${GURN_CUDA_MODE}")

# Installation: libraries, header, CMake package, pkg-config file.

install(TARGETS gumbelurn gumbelurn_static EXPORT gumbelurn
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES ${PROJECT_SOURCE_DIR}/include/gumbelurn.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

set(gurn_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/gumbelurn)
install(EXPORT gumbelurn NAMESPACE gumbelurn:: FILE gumbelurn-targets.cmake DESTINATION ${gurn_package_dir})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/gumbelurn-config.cmake.in gumbelurn-config.cmake
                              INSTALL_DESTINATION ${gurn_package_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(gumbelurn-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/gumbelurn-config.cmake ${PROJECT_BINARY_DIR}/gumbelurn-config-version.cmake
        DESTINATION ${gurn_package_dir})

# pkg-config: what a static link needs besides goes into Libs.private. The prefix follows the file when it is moved.
set(gurn_pc_private "")
if(GURN_CUDA_MODE STREQUAL "CUDA")
    string(APPEND gurn_pc_private " -L${CUDAToolkit_LIBRARY_DIR} -lcudart_static -lstdc++ -ldl -lrt")
elseif(GURN_CUDA_MODE STREQUAL "EMULATED")
    string(APPEND gurn_pc_private " ${GURN_BOOST_CONTEXT} -lstdc++")
endif()
list(JOIN gurn_openmp_libraries " " gurn_pc_openmp)
string(APPEND gurn_pc_private " ${gurn_pc_openmp}")
if(GURN_LIBM)
    string(APPEND gurn_pc_private " -lm")
endif()
string(STRIP "${gurn_pc_private}" gurn_pc_private)
set(gurn_pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
    set(gurn_pc_prefix ${CMAKE_INSTALL_PREFIX})
    set(gurn_pc_libdir ${CMAKE_INSTALL_LIBDIR})
else()
    file(RELATIVE_PATH gurn_pc_up "/${gurn_pc_dir}" "/")
    set(gurn_pc_prefix "\${pcfiledir}/${gurn_pc_up}")
    set(gurn_pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
endif()
if(IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
    set(gurn_pc_includedir ${CMAKE_INSTALL_INCLUDEDIR})
else()
    set(gurn_pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file(${CMAKE_CURRENT_LIST_DIR}/gumbelurn.pc.in gumbelurn.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/gumbelurn.pc DESTINATION ${gurn_pc_dir})

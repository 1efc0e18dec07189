# mesh_unit_test(TARGET TIMEOUT_S)
#
# Registers each GoogleTest case of TARGET with CTest under the label `unit`. The target `unit_tests` builds every
# program that was registered so, and nothing else.
add_custom_target(unit_tests)
function(mesh_unit_test target timeout_s)
  if(MESH_TSAN)
    target_sources(${target} PRIVATE "${CMAKE_SOURCE_DIR}/cmake/tsan_defaults.cc")
  endif()
  gtest_discover_tests(${target} PROPERTIES LABELS unit TIMEOUT ${timeout_s} DISCOVERY_TIMEOUT 60)
  add_dependencies(unit_tests ${target})
endfunction()

# mesh_module(NAME LEVEL n FOLDER path DEPENDS modules... [EXCLUDE sources...] [LIBRARIES libs...]
#             [PRIVATE_LIBRARIES libs...] [ALONE sources...])
#
# Declares one module of src/ and its edges. The module's sources see, on their include path, the module
# itself and what it DEPENDS on (and what those depend on), and nothing else of src/: each module is given a
# folder of links in the build tree, and only the folders of its dependencies are on its path. So an include
# that goes up or sideways does not compile. LEVEL is checked too: a module depends on lower levels only.
#
# Every NAME.cc in the folder is part of the module, but for those that EXCLUDE names; every *_test.cc goes into the test
# program NAME_test. A folder below is a module of its own.
#
# Where several sources are compiled as one (CMAKE_UNITY_BUILD), two may not give a name in their nameless namespaces two
# meanings. Those that ALONE names are compiled by themselves: tests whose short names are worth more than the time.
function(mesh_module name)
  cmake_parse_arguments(PARSE_ARGV 1 M "" "LEVEL;FOLDER" "DEPENDS;EXCLUDE;ALONE;LIBRARIES;PRIVATE_LIBRARIES;TEST_DEPENDS;TEST_LIBRARIES")
  if(NOT M_FOLDER OR NOT DEFINED M_LEVEL)
    message(FATAL_ERROR "mesh_module(${name}): FOLDER and LEVEL are required")
  endif()
  set(source_folder "${CMAKE_SOURCE_DIR}/src/${M_FOLDER}")
  set(edge_root "${CMAKE_BINARY_DIR}/edges/${name}")
  get_filename_component(parent "${edge_root}/${M_FOLDER}" DIRECTORY)
  file(MAKE_DIRECTORY "${parent}")
  file(CREATE_LINK "${source_folder}" "${edge_root}/${M_FOLDER}" SYMBOLIC)

  file(GLOB sources CONFIGURE_DEPENDS "${source_folder}/*.cc")
  foreach(source IN LISTS M_EXCLUDE)
    if(NOT "${source_folder}/${source}" IN_LIST sources)
      message(FATAL_ERROR "mesh_module(${name}): EXCLUDE names ${source}, which is not there")
    endif()
    list(REMOVE_ITEM sources "${source_folder}/${source}")
  endforeach()
  foreach(source IN LISTS M_ALONE)
    if(NOT "${source_folder}/${source}" IN_LIST sources)
      message(FATAL_ERROR "mesh_module(${name}): ALONE names ${source}, which is not there")
    endif()
    set_source_files_properties("${source_folder}/${source}" PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  endforeach()
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")

  set(edges)
  foreach(dependency IN LISTS M_DEPENDS)
    get_property(level GLOBAL PROPERTY mesh_level_${dependency})
    if("${level}" STREQUAL "")
      message(FATAL_ERROR "mesh_module(${name}): ${dependency} is not declared before it")
    endif()
    if(NOT level LESS M_LEVEL)
      message(FATAL_ERROR "mesh_module(${name}): level ${M_LEVEL} may not depend on ${dependency} of level ${level}")
    endif()
    list(APPEND edges mesh_${dependency})
  endforeach()
  set_property(GLOBAL PROPERTY mesh_level_${name} ${M_LEVEL})

  if(sources)
    add_library(mesh_${name} STATIC ${sources})
    target_include_directories(mesh_${name} PUBLIC "${edge_root}")
    target_link_libraries(mesh_${name} PUBLIC ${edges} ${M_LIBRARIES} PRIVATE mesh_flags ${M_PRIVATE_LIBRARIES})
  else()
    add_library(mesh_${name} INTERFACE)
    target_include_directories(mesh_${name} INTERFACE "${edge_root}")
    target_link_libraries(mesh_${name} INTERFACE ${edges} ${M_LIBRARIES})
  endif()

  # The domain and the node have one thread: there is nothing that the thread sanitizer could see in their tests.
  if(MESH_TSAN AND M_FOLDER MATCHES "^(domain/|node$)")
    set(tests)
  endif()
  if(tests AND MESH_TESTS)
    set(test_edges)
    foreach(dependency IN LISTS M_TEST_DEPENDS)
      list(APPEND test_edges mesh_${dependency})
    endforeach()
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE mesh_${name} ${test_edges} mesh_flags ${M_TEST_LIBRARIES} ${M_PRIVATE_LIBRARIES} GTest::gtest_main)
    if(CMAKE_BUILD_TYPE STREQUAL "Release")
      # A test runs once: it is not worth the time that the optimiser takes over its long bodies. What it tests is as it ships.
      target_compile_options(${name}_test PRIVATE -O1)
    endif()
    target_compile_definitions(${name}_test PRIVATE MESH_SOURCE_DIR="${CMAKE_SOURCE_DIR}" MESH_BINARY_DIR="${CMAKE_BINARY_DIR}")
    mesh_unit_test(${name}_test 300)
  endif()
endfunction()

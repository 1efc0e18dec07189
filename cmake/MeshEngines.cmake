# The Rust engines as one static library, built by Cargo outside the clone so that every clone on the machine
# shares the work. `make` sets MESH_CACHE; without it the cache is where XDG says.
#
# Targets: mesh_engines (the library and its include folders: wasmtime's C and C++ API, sqlite3.h, the bridge).

if(DEFINED ENV{MESH_CACHE})
  set(mesh_cache_default "$ENV{MESH_CACHE}")
elseif(DEFINED ENV{XDG_CACHE_HOME})
  set(mesh_cache_default "$ENV{XDG_CACHE_HOME}/meshwork")
else()
  set(mesh_cache_default "$ENV{HOME}/.cache/meshwork")
endif()
set(MESH_CACHE "${mesh_cache_default}" CACHE PATH "Where slow build outputs are kept, outside the clone")

set(engines_target_dir "${MESH_CACHE}/cargo")
set(engines_output "${CMAKE_BINARY_DIR}/engines")
set(engines_library "${engines_output}/libmesh_engines.a")
set(engines_include "${engines_output}/include")
file(MAKE_DIRECTORY "${engines_include}")

file(GLOB_RECURSE engines_sources CONFIGURE_DEPENDS
  "${CMAKE_SOURCE_DIR}/crates/*.rs" "${CMAKE_SOURCE_DIR}/crates/*.toml" "${CMAKE_SOURCE_DIR}/crates/Cargo.lock")

add_custom_command(
  OUTPUT "${engines_library}"
  COMMAND "${CMAKE_SOURCE_DIR}/cmake/build_engines.sh" "${CMAKE_SOURCE_DIR}/crates" "${engines_target_dir}" "${engines_output}"
  DEPENDS ${engines_sources} "${CMAKE_SOURCE_DIR}/cmake/build_engines.sh" "${CMAKE_SOURCE_DIR}/cmake/mirror_crates.sh"
  USES_TERMINAL
  COMMENT "Building the Rust engines (ten minutes the first time on a machine, seconds afterwards)"
  VERBATIM)
add_custom_target(mesh_engines_build DEPENDS "${engines_library}")

if(MESH_TSAN)
  # The thread sanitizer can be told to overlook what a shared library does (cmake/tsan_defaults.cc), but not an archive.
  set(engines_shared "${engines_output}/libmesh_engines.so")
  add_custom_command(
    OUTPUT "${engines_shared}"
    COMMAND "${CMAKE_CXX_COMPILER}" -shared -o "${engines_shared}"
      -Wl,--whole-archive "${engines_library}" -Wl,--no-whole-archive -Wl,-soname,libmesh_engines.so -pthread -ldl -lm
    DEPENDS "${engines_library}"
    COMMENT "Linking the Rust engines as a shared library"
    VERBATIM)
  add_custom_target(mesh_engines_shared_build DEPENDS "${engines_shared}")
  add_library(mesh_engines_archive SHARED IMPORTED GLOBAL)
  set_target_properties(mesh_engines_archive PROPERTIES IMPORTED_LOCATION "${engines_shared}"
    IMPORTED_SONAME libmesh_engines.so)
  add_dependencies(mesh_engines_archive mesh_engines_shared_build)
else()
  add_library(mesh_engines_archive STATIC IMPORTED GLOBAL)
  set_target_properties(mesh_engines_archive PROPERTIES IMPORTED_LOCATION "${engines_library}")
  add_dependencies(mesh_engines_archive mesh_engines_build)
endif()

add_library(mesh_engines INTERFACE)
target_include_directories(mesh_engines SYSTEM INTERFACE "${engines_include}")
target_link_libraries(mesh_engines INTERFACE mesh_engines_archive Threads::Threads ${CMAKE_DL_LIBS} m)
add_dependencies(mesh_engines mesh_engines_build)

# The dashboard as a library that holds its packed files (src/app/api/dashboard.h). npm builds it outside the clone, once for
# each state of its sources, so that all presets and clones of a machine share the work.
#
# Targets: mesh_dashboard_pack (the library).

enable_language(ASM)

set(dashboard_pack "${CMAKE_BINARY_DIR}/dashboard/dashboard.pack")
file(GLOB_RECURSE dashboard_sources CONFIGURE_DEPENDS
  "${CMAKE_SOURCE_DIR}/web/*.ts" "${CMAKE_SOURCE_DIR}/web/*.tsx" "${CMAKE_SOURCE_DIR}/web/*.css" "${CMAKE_SOURCE_DIR}/web/*.svg"
  "${CMAKE_SOURCE_DIR}/web/*.html" "${CMAKE_SOURCE_DIR}/web/*.json" "${CMAKE_SOURCE_DIR}/web/*.mjs"
  "${CMAKE_SOURCE_DIR}/sdk/js/*.ts" "${CMAKE_SOURCE_DIR}/sdk/js/*.json")
# What npm puts there is no source.
list(FILTER dashboard_sources EXCLUDE REGEX "/(node_modules|dist)/|\\.generated\\.")

add_custom_command(
  OUTPUT "${dashboard_pack}"
  COMMAND "${CMAKE_SOURCE_DIR}/cmake/build_dashboard.sh" "${CMAKE_SOURCE_DIR}" "${MESH_CACHE}/npm" "${dashboard_pack}"
  DEPENDS ${dashboard_sources} "${CMAKE_SOURCE_DIR}/docs/openapi.json" "${CMAKE_SOURCE_DIR}/package.json"
    "${CMAKE_SOURCE_DIR}/package-lock.json" "${CMAKE_SOURCE_DIR}/tsconfig.base.json" "${CMAKE_SOURCE_DIR}/cmake/build_dashboard.sh"
  COMMENT "Building the dashboard (two minutes the first time on a machine)"
  VERBATIM)

configure_file("${CMAKE_SOURCE_DIR}/cmake/dashboard_pack.S.in" "${CMAKE_BINARY_DIR}/dashboard/pack.S" @ONLY)
add_library(mesh_dashboard_pack STATIC "${CMAKE_BINARY_DIR}/dashboard/pack.S")
set_source_files_properties("${CMAKE_BINARY_DIR}/dashboard/pack.S" PROPERTIES OBJECT_DEPENDS "${dashboard_pack}")

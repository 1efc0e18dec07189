# Flags and libraries that every target of ours shares.
# Warnings are errors in our own code; Debian's headers come in as system headers and are exempt.

find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS headers)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
if(MESH_TESTS OR MESH_FUZZ)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()

add_library(mesh_flags INTERFACE)
target_compile_options(mesh_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast
  -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough -Werror
  -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports these on its own std::expected, std::variant and std::string at -O2 and higher.
  target_compile_options(mesh_flags INTERFACE
    -Wno-maybe-uninitialized -Wno-restrict -Wno-stringop-overflow -Wno-stringop-overread -Wno-array-bounds
    -Wno-missing-field-initializers -Wno-dangling-pointer)
else()
  target_compile_options(mesh_flags INTERFACE -Wno-missing-field-initializers -Wno-missing-designated-field-initializers)
endif()
if(CMAKE_UNITY_BUILD)
  # Several sources of a target compiled as one, in a third of the time: what they include is read once. A name of one then
  # hides that of another, and g++ takes the nameless namespaces of those behind the first for a header's. Both warnings stay
  # where each source is compiled by itself.
  target_compile_options(mesh_flags INTERFACE -Wno-shadow)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(mesh_flags INTERFACE -Wno-subobject-linkage)
  endif()
endif()
target_compile_definitions(mesh_flags INTERFACE MESH_VERSION="${PROJECT_VERSION}")
set(MESH_TSAN OFF)
if(MESH_SANITIZE)
  target_compile_options(mesh_flags INTERFACE -fsanitize=${MESH_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(mesh_flags INTERFACE -fsanitize=${MESH_SANITIZE})
  if(MESH_SANITIZE MATCHES "undefined" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # g++ puts these at every access to a member, those in Asio and the standard library too, which takes as long to compile
    # as all the rest. At null and at objects that are too small the address sanitizer stops as well; misaligned objects and
    # those of another type are looked for by the fuzz targets alone, which clang builds.
    target_compile_options(mesh_flags INTERFACE -fno-sanitize=null,alignment,object-size,vptr)
  endif()
  if(MESH_SANITIZE MATCHES "thread")
    set(MESH_TSAN ON)
    # The thread sanitizer does not understand fences. Asio has them around each operation, beside the locks that order
    # these already, so they can go; the one in its reference count stays, and g++ is not to warn of it.
    target_compile_definitions(mesh_flags INTERFACE BOOST_ASIO_DISABLE_FENCED_BLOCK)
    target_compile_options(mesh_flags INTERFACE -Wno-tsan)
  endif()
endif()

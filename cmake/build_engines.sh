#!/usr/bin/env bash
# Builds the Rust static library with Cargo and copies it and its headers to one place for CMake.
# usage: build_engines.sh CRATES_DIR CARGO_TARGET_DIR OUTPUT_DIR
set -euo pipefail
crates=$1 target=$2 output=$3
mkdir -p "$target" "$output/include"
# One lock for all clones: two builds in one target folder would overwrite each other's headers.
exec 9>"$target/.meshwork-lock"
flock 9
export CARGO_TARGET_DIR=$target MESH_ENGINES_INCLUDE=$target/meshwork-include
cd "$("$(dirname "${BASH_SOURCE[0]}")/mirror_crates.sh" "$crates" "$target")"
offline=()
if cargo fetch --locked --offline >/dev/null 2>&1; then offline=(--offline); fi
cargo build --release --locked "${offline[@]}" -p mesh-engines
# Only what changed is copied, so that C++ that includes an unchanged header is not rebuilt.
(cd "$MESH_ENGINES_INCLUDE" && find . -type f) | while read -r file; do
  if ! cmp -s "$MESH_ENGINES_INCLUDE/$file" "$output/include/$file"; then
    mkdir -p "$(dirname "$output/include/$file")"
    cp "$MESH_ENGINES_INCLUDE/$file" "$output/include/$file"
  fi
done
# Without its line tables the archive is a fraction of the size, and every link that reads it is faster.
archive=$target/release/libmesh_engines.a stripped=$target/libmesh_engines.stripped.a
key=$(stat -c '%i %y %s' "$archive") # Cargo may put an older archive back, so its age alone says nothing
if [[ ! -f $stripped || $(cat "$stripped.key" 2>/dev/null) != "$key" ]]; then
  rm -f "$stripped.key"
  objcopy --strip-debug "$archive" "$stripped.new"
  mv "$stripped.new" "$stripped"
  echo "$key" >"$stripped.key"
fi
cp "$stripped" "$output/libmesh_engines.a.new"
mv "$output/libmesh_engines.a.new" "$output/libmesh_engines.a"

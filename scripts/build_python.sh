#!/usr/bin/env bash
# Builds the pre-started CPython: a WebAssembly component that holds the interpreter as it is once its standard library has
# been imported. The tool that makes it, with the interpreter inside, is pinned by digest.
# usage: build_python.sh RUNTIMES_PYTHON_DIR OUTPUT_WASM
set -euo pipefail
source=$(cd "$1" && pwd) output=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
  -r "$source/requirements.txt" >&2
mkdir "$work/app" "$work/wit" "$work/tmp"
cp "$source/_mesh_snapshot.py" "$work/app/"
cp "$source/world.wit" "$work/wit/"
"${CC:-cc}" -shared -fPIC -O1 -o "$work/still.so" "$source/still.c"
# The interpreter sees the build's clock and entropy while it starts: both stand still.
(
  cd "$work"
  env -i PATH="$PATH" HOME="$work" TMPDIR="$work/tmp" LD_PRELOAD="$work/still.so" \
    "$work/venv/bin/componentize-py" --quiet -d wit -w program componentize -p app _mesh_snapshot -o "$work/python.wasm" \
    >"$work/log" 2>&1
) || {
  cat "$work/log" >&2
  exit 1
}
mv "$work/python.wasm" "$output"

#!/usr/bin/env bash
# Builds quickjs-ng as a WASI preview 1 command. The same sources and the same compiler give the same bytes, wherever
# they lie.
# usage: build_quickjs.sh MAIN_C QUICKJS_SOURCE_DIR OUTPUT_WASM
set -euo pipefail
main=$1 source=$2 output=$3
clang=${MESH_WASI_CLANG:-clang-19}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

flags=(--target=wasm32-wasi -isystem /usr/include/wasm32-wasi -O2 -DNDEBUG -w
  -D_GNU_SOURCE -D_WASI_EMULATED_PROCESS_CLOCKS -D_WASI_EMULATED_SIGNAL -DQJS_BUILD_LIBC
  "-I$source" "-ffile-prefix-map=$source=quickjs" "-ffile-prefix-map=$(dirname "$main")=quickjs")
objects=()
jobs=()
for file in "$source"/{quickjs,quickjs-libc,libregexp,libunicode,dtoa}.c "$main"; do
  object=$work/$(basename "$file" .c).o
  objects+=("$object")
  "$clang" "${flags[@]}" -c "$file" -o "$object" &
  jobs+=($!)
done
for job in "${jobs[@]}"; do wait "$job"; done

# The stack lies first, so that overrunning it is a trap and never a write into data; the script's own limit
# (main.c) is lower.
"$clang" --target=wasm32-wasi -fuse-ld=lld -nostdlib -L/usr/lib/wasm32-wasi \
  /usr/lib/wasm32-wasi/crt1-command.o "${objects[@]}" \
  -lc -lm -lwasi-emulated-process-clocks -lwasi-emulated-signal "$("$clang" --target=wasm32-wasi -print-libgcc-file-name)" \
  -Wl,-z,stack-size=2097152 -Wl,--stack-first -Wl,--strip-debug -o "$work/quickjs.wasm"
# The linker writes the name of its output into the module, so the name is always the same until here.
mv "$work/quickjs.wasm" "$output"

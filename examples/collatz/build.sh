#!/usr/bin/env bash
# Makes collatz.wasm from collatz.c with Debian's clang-19 and wasi-libc.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
clang-19 --target=wasm32-wasi -O2 -s -o collatz.wasm collatz.c

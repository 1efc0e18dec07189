#!/usr/bin/env bash
# clang-tidy over every C++ source of ours: what the debug preset compiles one by one, the benchmarks and the fuzz targets. A
# file that passed is not checked again until it, a header that it reads or the rules change; the stamps lie outside the clone.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/common.sh
source "$root/scripts/common.sh"

cd "$root"
stamps=$MESH_CACHE/tidy
mkdir -p "$stamps"
tidy=$("$root/scripts/lint_tools.sh")/clang-tidy
# What the fuzz targets read of libFuzzer's comes with the compiler, not with clang-tidy.
after=-idirafter$(clang++-19 -print-resource-dir)/include
export stamps tidy after
check() {
  local key=$1 build=$2 file=$3
  if [[ -e $stamps/$key ]]; then return 0; fi
  if "$tidy" --quiet -p "$build/tidy" --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-error --extra-arg="$after" "$file" 2>/dev/null; then
    touch "$stamps/$key"
  else
    echo "$file: clang-tidy is not content"
    return 1
  fi
}
export -f check
rules=(.clang-tidy scripts/tidy.sh tools/lint/requirements.txt)
# shellcheck disable=SC2016
{
  node scripts/tidy_keys.mjs "$root" build/debug "" "${rules[@]}"
  node scripts/tidy_keys.mjs "$root" build/fuzz fuzz/ "${rules[@]}"
} | sort -k3 | xargs -P "$(nproc)" -L1 bash -c 'check "$@"' check

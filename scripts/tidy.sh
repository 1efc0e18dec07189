#!/usr/bin/env bash
# clang-tidy over every C++ source of ours that the release preset compiles. A file that passed is not checked again
# until it, a header that it reads or the rules change; the stamps lie outside the clone.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/common.sh
source "$root/scripts/common.sh"

cd "$root"
stamps=$MESH_CACHE/tidy
mkdir -p "$stamps"
export stamps
check() {
  local key=$1 file=$2
  if [[ -e $stamps/$key ]]; then return 0; fi
  if clang-tidy-19 --quiet -p build/release --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-error "$file" 2>/dev/null; then
    touch "$stamps/$key"
  else
    echo "$file: clang-tidy is not content"
    return 1
  fi
}
export -f check
# shellcheck disable=SC2016
node scripts/tidy_keys.mjs "$root" .clang-tidy scripts/tidy.sh cmake/MeshToolchain.cmake | sort -k2 |
  xargs -P "$(nproc)" -L1 bash -c 'check "$@"' check

#!/usr/bin/env bash
# clang-tidy over every C++ source of ours that the release preset compiles. A file that passed is not checked again
# until it, a header of ours or the rules change; the stamps lie outside the clone.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/common.sh
source "$root/scripts/common.sh"

cd "$root"
stamps=$MESH_CACHE/tidy
mkdir -p "$stamps"
common=$(git ls-files -z --cached --others --exclude-standard -- .clang-tidy scripts/tidy.sh 'CMakeLists.txt' 'cmake' '*.h' |
  sort -zu | xargs -0 cat 2>/dev/null | sha256sum | cut -c1-64)
export stamps common
check() {
  local key
  key=$(cat <(echo "$common $1") "$1" | sha256sum | cut -c1-64)
  if [[ -e $stamps/$key ]]; then return 0; fi
  if clang-tidy-19 --quiet -p build/release --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-error "$1" 2>/dev/null; then
    touch "$stamps/$key"
  else
    echo "$1: clang-tidy is not content"
    return 1
  fi
}
export -f check
# shellcheck disable=SC2016
node -e '
  const path = require("path");
  const root = process.argv[1];
  const entries = JSON.parse(require("fs").readFileSync("build/release/compile_commands.json", "utf8"));
  for (const { file, directory } of entries) {
    const name = path.relative(root, path.resolve(directory, file));
    if (!name.startsWith("..") && !name.startsWith("build")) console.log(name);
  }' "$root" | sort -u | xargs -P "$(nproc)" -I{} bash -c 'check "$1"' check {}

#!/usr/bin/env bash
# Installs the pinned linters that Debian lacks (prettier, eslint, clang-tidy) outside the clone, once per set of pins, and
# prints the folder of programs.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/common.sh
source "$root/scripts/common.sh"

key=$(cat "$root"/tools/lint/package*.json "$root/tools/lint/requirements.txt" | sha256sum | cut -c1-16)
folder=$MESH_CACHE/lint/$key
mkdir -p "$MESH_CACHE/lint"
exec 9>"$MESH_CACHE/lint/.lock"
flock 9
if [[ ! -f $folder/done ]]; then
  say "installing the pinned linters"
  mkdir -p "$folder"
  cp "$root"/tools/lint/package*.json "$folder/"
  (cd "$folder" && npm_install)
  pip_install "$folder/venv" "$root/tools/lint/requirements.txt"
  ln -sf "$folder/venv/bin/clang-tidy" "$folder/node_modules/.bin/clang-tidy"
  touch "$folder/done"
fi
echo "$folder/node_modules/.bin"

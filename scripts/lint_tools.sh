#!/usr/bin/env bash
# Installs the pinned JavaScript linters outside the clone, once per set of pins, and prints the folder of programs.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/common.sh
source "$root/scripts/common.sh"

key=$(cat "$root"/tools/lint/package*.json | sha256sum | cut -c1-16)
folder=$MESH_CACHE/lint/$key
mkdir -p "$MESH_CACHE/lint"
exec 9>"$MESH_CACHE/lint/.lock"
flock 9
if [[ ! -f $folder/done ]]; then
  say "installing the pinned JavaScript linters"
  mkdir -p "$folder"
  cp "$root"/tools/lint/package*.json "$folder/"
  (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
  touch "$folder/done"
fi
echo "$folder/node_modules/.bin"

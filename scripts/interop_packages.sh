#!/usr/bin/env bash
# Installs the pinned npm packages of tests/interop outside the clone, once per lock file: other people's
# implementations that the tests compare Meshwork with. tests/interop/CMakeLists.txt looks in the same folder.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/common.sh
source "$root/scripts/common.sh"

key=$(sha256sum <"$root/tests/interop/package-lock.json" | cut -c1-16)
folder=$MESH_CACHE/npm/interop/$key
mkdir -p "$folder"
exec 9>"$MESH_CACHE/npm/interop/.lock"
flock 9
if [[ ! -f $folder/done ]]; then
  say "installing the npm packages that the interop tests compare with"
  cp "$root"/tests/interop/package*.json "$folder/"
  (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
  touch "$folder/done"
fi

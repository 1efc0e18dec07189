#!/usr/bin/env bash
# Installs the pinned packages of tests/interop (npm's, and pip's for tests/interop/openapi) outside the clone, once per lock
# file: other people's implementations and checkers. tests/interop/CMakeLists.txt looks in the same folders.
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
  (cd "$folder" && npm_install)
  touch "$folder/done"
fi

key=$(sha256sum <"$root/tests/interop/openapi/requirements.txt" | cut -c1-16)
folder=$MESH_CACHE/pip/openapi/$key
if [[ ! -f $folder/done ]]; then
  say "installing the checker of the API's description"
  pip_install "$folder" "$root/tests/interop/openapi/requirements.txt"
  touch "$folder/done"
fi

#!/usr/bin/env bash
# Runs the Python client's tests with what sdk/python/requirements-test.txt pins, installed outside the clone once per set of
# pins. Those against real nodes need the program: MESH, or build/release/mesh.
# usage: python_sdk_tests.sh [JUNIT_FILE [PYTEST_ARGUMENTS...]]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/common.sh
source "$root/scripts/common.sh"

junit=$(realpath -m "${1:-$root/build/python_sdk.xml}")
shift || true
requirements=$root/sdk/python/requirements-test.txt
python=$(python3 -c 'import sys; print(*sys.version_info[:2], sep=".")')
folder=$MESH_CACHE/python_sdk/$(cat "$requirements" - <<<"$python" | sha256sum | cut -c1-16)
mkdir -p "$MESH_CACHE/python_sdk" "$(dirname "$junit")"
(
  flock 9
  if [[ ! -f $folder/done ]]; then
    say "installing what the Python client is tested with"
    pip_install "$folder" "$requirements"
    touch "$folder/done"
  fi
) 9>"$MESH_CACHE/python_sdk/.lock"

export MESH=${MESH:-$root/build/release/mesh}
[[ -x $MESH ]] || die "$MESH is not there: build it (make), or name it with MESH"
MESH_RUNTIMES_DIR=$("$root/scripts/runtimes.sh")
export MESH_RUNTIMES_DIR PYTHONDONTWRITEBYTECODE=1
cd "$root/sdk/python"
exec "$folder/bin/python" -m pytest -p no:cacheprovider -q --junit-xml="$junit" "$@"

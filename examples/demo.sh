#!/usr/bin/env bash
# The demonstration: five nodes on this machine run a Python and a WebAssembly job over the data here, every shard is
# re-executed by others, and the results are compared with what an ordinary program computes. MESH names the program.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${MESH:=$here/../build/mesh}"
# Whoever looks on finds the jobs in the dashboard afterwards; where nobody does, or STAY=0, the mesh ends with the jobs.
stay=()
if [[ ${STAY:-} == 1 || (-t 1 && ${STAY:-} != 0) ]]; then stay=(--stay); fi
exec "$MESH" demo --nodes "${NODES:-5}" "${stay[@]}" --exec "$here/demo_jobs.sh"

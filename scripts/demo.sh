#!/usr/bin/env bash
# Builds what is missing, then runs a real job over a mesh on this machine and checks it (examples/demo.sh).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/common.sh
source "$root/scripts/common.sh"

[[ -x $root/examples/demo.sh ]] || die "this tree has no examples/demo.sh, so there is no demo to run."
"$root/scripts/build.sh"
"$root/scripts/runtimes.sh" >/dev/null
export MESH=$root/build/mesh
exec "$root/examples/demo.sh" "$@"

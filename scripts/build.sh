#!/usr/bin/env bash
# Builds the program and leaves it at build/mesh.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/common.sh
source "$root/scripts/common.sh"

"$root/scripts/setup.sh" build
configure release
build release mesh
link_program
say "built build/mesh"

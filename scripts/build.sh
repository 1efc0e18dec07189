#!/usr/bin/env bash
# Builds the program and leaves it at build/mesh.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/common.sh
source "$root/scripts/common.sh"

"$root/scripts/setup.sh" build
configure release
has_target release mesh || die "this tree has no program yet: src/app is not there. The modules build with \`cmake --build build/release\`."
build release mesh
ln -sfn release/bin/mesh "$root/build/mesh"
say "built build/mesh"

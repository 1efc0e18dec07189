#!/usr/bin/env bash
# Rewrites the sources as the formatters want them; `make lint` says what would change.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/common.sh
source "$root/scripts/common.sh"

"$root/scripts/setup.sh" all
cd "$root"
mapfile -t cpp < <(git ls-files '*.cc' '*.h' '*.c')
clang-format-19 -i "${cpp[@]}"
(cd crates && cargo fmt --all && cargo fmt --manifest-path corpus/Cargo.toml)
tools=$("$root/scripts/lint_tools.sh")
"$tools/prettier" --log-level warn --write .

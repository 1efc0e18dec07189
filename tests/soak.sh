#!/usr/bin/env bash
# The long tests: a real mesh under liars and kills. Minutes; `make soak` runs them on what it has built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec ctest --preset release -L '^soak$' --output-on-failure "$@"

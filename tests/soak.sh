#!/usr/bin/env bash
# The long tests of a real mesh: two colluding verifiers by the hundred against the formula, and kills under other seeds than
# the one of `make test`. `make soak` runs them on what it has built. KILL_SEEDS names other seeds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ctest --preset release -L '^soak$' --output-on-failure "$@"
for seed in ${KILL_SEEDS:-2 3 4 5}; do
  MESH_KILLS_SEED=$seed ctest --preset release -R '^integration_kills$' --output-on-failure
done

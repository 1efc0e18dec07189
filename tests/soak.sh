#!/usr/bin/env bash
# The long tests: equal results and equal fuel under every setting of the engine, over a corpus of modules and real programs;
# two colluding verifiers by the hundred against the formula; kills under other seeds than the one of `make test`. `make
# soak` runs them on what it has built. CORPUS_SEED, CORPUS_MODULES and KILL_SEEDS name other seeds and numbers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
corpus=build/release/corpus
build/release/bin/mesh_fuel_corpus corpus "$corpus/mesh-corpus" "${CORPUS_SEED:-1}" 0 "${CORPUS_MODULES:-10000}" "$corpus/different"
build/release/bin/mesh_fuel_corpus programs all "${MESH_RUNTIMES_DIR:-${MESH_CACHE:-$HOME/.cache/meshwork}/runtimes/current}" examples "$corpus/code"
ctest --preset release -L '^soak$' --output-on-failure "$@"
for seed in ${KILL_SEEDS:-2 3 4 5}; do
  MESH_KILLS_SEED=$seed ctest --preset release -R '^integration_kills$' --output-on-failure
done

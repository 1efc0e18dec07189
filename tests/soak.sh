#!/usr/bin/env bash
# The long tests. Of the engine: equal results and equal fuel under every setting, over a corpus of modules and real
# programs. Of a real mesh: two colluding verifiers by the hundred against the formula, 100,000 shards while two of six nodes
# are killed every 20 seconds, each shard proven alone in the end, and kills under other seeds than the one of `make test`.
# Of simulated ones: a thousand nodes for an hour under every fault and every kind of liar, smaller ones under other seeds,
# and how often a wrong result passes against the formula. Of the ledger: ten million operations beside its model, and
# its chain in 3,000 simulated federations with crashes, cuts and lying validators; and 1,000 simulated meshes that pay for
# work over it, with liars and crashes. `make soak` runs them on what it has built. CORPUS_SEED, CORPUS_MODULES, LEDGER_SEED,
# LEDGER_OPERATIONS, LEDGER_WORLDS, PAID_STORMS, KILL_SEEDS, SIM_SEEDS, and for the 100,000 shards MESH_KILLS_SEED, name other
# seeds and numbers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
corpus=build/release/corpus
build/release/bin/mesh_fuel_corpus corpus "$corpus/mesh-corpus" "${CORPUS_SEED:-1}" 0 "${CORPUS_MODULES:-10000}" "$corpus/different"
build/release/bin/mesh_fuel_corpus programs all "${MESH_RUNTIMES_DIR:-${MESH_CACHE:-$HOME/.cache/meshwork}/runtimes/current}" examples "$corpus/code"
MESH_LEDGER_OPERATIONS=${LEDGER_OPERATIONS:-10000000} MESH_LEDGER_SEED=${LEDGER_SEED:-1} build/release/bin/ledger_test --gtest_filter='Model.*'
ctest --preset release -L '^soak$' --output-on-failure "$@"
for seed in ${KILL_SEEDS:-2 3 4 5}; do
  MESH_KILLS_SEED=$seed ctest --preset release -R '^integration_kills$' --output-on-failure
done
commit=$(git describe --always --dirty 2>/dev/null || echo unknown)
MESH_PAID_STORMS=${PAID_STORMS:-1000} build/release/bin/sim_test --gtest_filter='*PaidStorm*'
"$MESH_SIM" --escape 400 --nodes 8
"$MESH_SIM" --ledger "${LEDGER_WORLDS:-3000}" --seed "${LEDGER_SEED:-1}"
for seed in ${SIM_SEEDS:-1 2 3 4 5 6 7 8 9 10}; do
  "$MESH_SIM" --commit "$commit" --seed "$seed" --nodes 40 --hours 0.2
done
"$MESH_SIM" --commit "$commit" --seed 1 --nodes 1000 --hours 0.05
"$MESH_SIM" --commit "$commit" --seed 1 --nodes 1000 --hours 1 --fast-signatures

#!/usr/bin/env bash
# The verbs that are not part of every change: bench, fuzz, sim, soak, screenshots. Each builds its programs and runs them.
# usage: extra.sh bench|fuzz|sim|soak|screenshots [ARGUMENTS...]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/common.sh
source "$root/scripts/common.sh"

verb=$1
shift
"$root/scripts/setup.sh" "$(if [[ $verb == bench ]]; then echo bench; else echo all; fi)"
cd "$root"

need() { [[ -e $1 ]] || die "\`make $verb\` is not built: this tree has no $1."; }

case $verb in
  bench)
    need bench/CMakeLists.txt
    configure release -DMESH_BENCH=ON
    build release mesh mesh_bench mesh_sim
    MESH_RUNTIMES_DIR=$(scripts/runtimes.sh)
    export MESH_RUNTIMES_DIR
    scripts/kubo.sh >/dev/null
    npm_workspace
    cargo_shared build --release --locked --quiet -p mesh-p2p --example stream_speed
    # The page in docs/ shows a run of all cases, or what --docs is asked to put into it.
    where=()
    if (($# == 0)); then where=(--docs docs); fi
    exec python3 bench/run.py --build build/release --json build/bench.json --plot build/bench.svg "${where[@]}" "$@"
    ;;
  screenshots)
    "$root/scripts/build.sh"
    mkdir -p build/test
    exec scripts/js_tests.sh build/test screenshots
    ;;
  sim)
    need sim/CMakeLists.txt
    configure release
    build release mesh_sim
    exec build/release/bin/mesh_sim --commit "$(git describe --always --dirty 2>/dev/null || echo unknown)" "$@"
    ;;
  soak)
    need tests/soak.sh
    "$root/scripts/build.sh"
    build release mesh_liar mesh_fuel_corpus mesh_sim ledger_test sim_test
    MESH_RUNTIMES_DIR=$(scripts/runtimes.sh)
    export MESH_RUNTIMES_DIR
    MESH=$root/build/mesh MESH_SIM=$root/build/release/bin/mesh_sim exec tests/soak.sh "$@"
    ;;
  fuzz)
    need fuzz/CMakeLists.txt
    configure fuzz
    build fuzz fuzz_all
    targets=("$@")
    if ((${#targets[@]} == 0)); then
      for program in build/fuzz/bin/fuzz_*; do targets+=("${program##*/fuzz_}"); done
    fi
    for target in "${targets[@]}"; do
      say "fuzz $target"
      # What is found to be new is kept outside the clone; a crash is left in build/fuzz.
      corpus=$MESH_CACHE/fuzz/$target
      mkdir -p "$corpus"
      seeds=()
      if [[ -d fuzz/corpus/$target ]]; then seeds=("fuzz/corpus/$target"); fi
      log=build/fuzz/$target.log
      [[ -x build/fuzz/bin/fuzz_$target ]] || die "there is no fuzz target $target; fuzz/CMakeLists.txt lists them."
      "build/fuzz/bin/fuzz_$target" -max_total_time="${SECONDS_EACH:-60}" -max_len=65536 -rss_limit_mb=2048 -timeout=10 \
        -artifact_prefix="build/fuzz/$target-" -print_final_stats=1 "$corpus" "${seeds[@]}" >"$log" 2>&1 </dev/null || {
        tail -n 40 "$log" >&2
        die "the fuzz target $target found something; its input lies beside $log."
      }
      grep -E 'number_of_executed_units|peak_rss_mb' "$log"
    done
    ;;
  *) die "there is no verb $verb; there are bench, fuzz, sim and soak." ;;
esac

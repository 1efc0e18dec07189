#!/usr/bin/env bash
# Everything that CI checks. Each step leaves its log in build/test/ and its counts, taken from the report of whatever
# ran the tests; the last lines name what failed and add them up. A step that fails before it can count, counts as one failure.
# usage: test.sh [STEP...]     all steps, or only those named
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/common.sh
source "$root/scripts/common.sh"

cd "$root"
reports=$root/build/test
rm -rf "$reports"
mkdir -p "$reports"

# ctest_step NAME PRESET [CTEST_ARGUMENTS...]
ctest_step() {
  local status=0
  ctest --preset "$2" --output-junit "$reports/$1.xml" "${@:3}" || status=$?
  node scripts/count_junit.mjs "$reports/$1.xml" >"$reports/$1.count"
  return "$status"
}

step_setup() { scripts/setup.sh all; }
step_build() {
  configure release && build release && link_program
}
step_runtimes() { scripts/runtimes.sh; }
step_lint() { scripts/lint.sh "$reports/lint.count"; }
step_unit() { ctest_step unit release -L '^unit$' -j "$(nproc)"; }
# Tests that start meshes or servers of their own would disturb each other's clocks: they run one by one. They wait more than
# they work, so what the sanitizers' steps need is compiled meanwhile, in the time that they leave idle.
step_integration() {
  scripts/interop_packages.sh
  scripts/kubo.sh
  local status=0 ahead=
  if [[ " ${steps[*]} " == *" asan "* ]]; then
    configure asan-ubsan
    configure tsan
    set -m # A process group of its own, so that all of it can be ended.
    chrt --idle 0 sh -c 'cmake --build --preset asan-ubsan --target unit_tests && cmake --build --preset tsan --target unit_tests' \
      >"$reports/ahead.log" 2>&1 &
    ahead=$!
    set +m
  fi
  ctest_step integration release -LE '^(unit|soak)$' || status=$?
  if [[ -n $ahead ]]; then
    # Where it is not done, or failed, the steps that need it go on and say so.
    kill -TERM -- "-$ahead" 2>/dev/null || true
    wait "$ahead" || true
  fi
  return "$status"
}
step_rust() {
  local status=0
  # Test programs are built with the release profile, whose dependencies are there already.
  cargo_shared test --release --workspace --locked --no-fail-fast 2>&1 | tee "$reports/rust.out" || status=$?
  cargo_shared test --manifest-path corpus/Cargo.toml --release --locked 2>&1 | tee -a "$reports/rust.out" || status=$?
  # libtest's only stable report is its closing line, one for each test program.
  awk '/^test result: / { p += $4; f += $6; s += $8 } END { print p + 0, f + 0, s + 0 }' "$reports/rust.out" >"$reports/rust.count"
  awk '/^test .* FAILED$/ { print $2 }' "$reports/rust.out" >>"$reports/rust.count"
  return "$status"
}
# The clients in JavaScript and Python, alone and against real nodes, and the dashboard in a browser.
step_clients() {
  local status=0
  scripts/js_tests.sh "$reports" || status=$?
  scripts/python_sdk_tests.sh "$reports/python.xml" || status=$?
  node scripts/count_junit.mjs "$reports"/js-*.xml "$reports/python.xml" >"$reports/clients.count"
  return "$status"
}
# Unit tests, the simulator's among them, with address and undefined-behaviour sanitizers in the C++; the Rust library
# is as it ships. Of the interpreters JavaScript alone: each of the others is compiled for a minute, in Rust, and makes the same
# calls. The program's own tests need no second build: they are processes, and the modules that they are made of
# are here. Leaks are looked for too.
step_asan() {
  configure asan-ubsan
  build asan-ubsan unit_tests
  local program
  for program in build/asan-ubsan/bin/*_test; do
    grep -q __asan_report <(nm -D "$program") || die "$program is built without the address sanitizer."
    grep -q __ubsan_handle <(nm -D "$program") || die "$program is built without the undefined-behaviour sanitizer."
  done
  ctest_step asan asan-ubsan -j "$(nproc)"
}
# The unit tests of what has threads, with the thread sanitizer in the C++. Left out are those of the domain, the node and
# the simulator, which have one thread (cmake/MeshModule.cmake), and by name (CMakePresets.json) those that compile whole
# interpreters: that takes minutes of Rust, and the sandbox's own tests do the same with small modules. The Rust network would
# give false reports: in its place is a bridge in C++ (src/adapters/p2p/local_bridge.cc), and tests that need sockets skip.
step_tsan() {
  configure tsan
  build tsan unit_tests
  local program
  for program in build/tsan/bin/*_test; do
    grep -q __tsan_read <(nm -D "$program") || die "$program is built without the thread sanitizer."
  done
  ctest_step tsan tsan -j "$(nproc)"
}
step_demo() { scripts/demo.sh; }

all=(setup build lint runtimes unit clients integration rust asan tsan demo)
steps=("${all[@]}")
if (($#)); then steps=("$@"); fi

passed=0 failed=0 skipped=0
table=() failures=()
for step in "${steps[@]}"; do
  declare -F "step_$step" >/dev/null || die "there is no step $step; there are: ${all[*]}."
  say "$step"
  start=$SECONDS
  status=0
  # A subshell with its own -e: within `if` or `||` bash would go on after an error.
  set +e
  (
    set -e
    "step_$step"
  ) </dev/null 2>&1 | tee "$reports/$step.log"
  status=${PIPESTATUS[0]}
  set -e
  p=0 f=0 s=0
  if [[ -s $reports/$step.count ]]; then read -r p f s <"$reports/$step.count"; fi
  case $step in
    # A check of its own: it passes or it does not.
    demo) if ((status == 0)); then p=1; fi ;;
  esac
  if ((status != 0 && f == 0)); then f=1 failures+=("$step: see build/test/$step.log"); fi
  if ((f > 0)) && [[ -s $reports/$step.count ]]; then
    while IFS= read -r line; do failures+=("$step: $line"); done < <(tail -n +2 "$reports/$step.count")
  fi
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  table+=("$(printf '%-12s %6d s %7d passed %5d failed %5d skipped' "$step" $((SECONDS - start)) "$p" "$f" "$s")")
  if ((status != 0)) && [[ $step == setup || $step == build ]]; then
    say "$step failed, so nothing after it can run"
    break
  fi
done

printf '\n'
printf '%s\n' "${table[@]}"
printf '%-12s %6d s, %d skipped\n\n' "in all" "$SECONDS" "$skipped"
if ((${#failures[@]})); then
  printf 'failed in %s\n' "${failures[@]}"
  echo
fi
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0 && passed > 0))

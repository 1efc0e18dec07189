#!/usr/bin/env bash
# Runs every check of form and every static analysis, and prints one line for each. Nothing is rewritten.
# usage: lint.sh [COUNTS_FILE]     writes "PASSED FAILED SKIPPED" there, and a line for each that failed
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/common.sh
source "$root/scripts/common.sh"

counts=${1:-/dev/null}
"$root/scripts/setup.sh" all
cd "$root"
# What clang-tidy reads: how each source is compiled, and the headers that come out of the Rust build.
configure debug -DMESH_BENCH=ON
build debug mesh_engines_build
if [[ ${LINT_QUICK:-0} != 1 ]]; then
  configure fuzz
  build fuzz mesh_engines_build
fi
tools=$("$root/scripts/lint_tools.sh")
export LINT_MODULES=${tools%/.bin}
logs=$root/build/lint
rm -rf "$logs"
mkdir -p "$logs"

# What git would commit: tracked files and new ones that are not ignored, if they are there.
files() {
  git ls-files -z --cached --others --exclude-standard -- "$@" | sort -zu |
    while IFS= read -r -d '' file; do if [[ -f $file ]]; then printf '%s\0' "$file"; fi; done
}
# none PATTERN FILES...: fails and shows the lines if a line matches
none() {
  local pattern=$1
  shift
  if files "$@" | xargs -0 -r grep -nHIE "$pattern" --; then return 1; fi
}

check_cpp_format() { files '*.cc' '*.h' '*.c' | xargs -0 -r clang-format-19 --dry-run --Werror; }
check_cpp_tidy() { "$root/scripts/tidy.sh"; }
check_rust_format() {
  (cd crates && cargo fmt --all --check && cargo fmt --manifest-path corpus/Cargo.toml --check)
}
check_rust_clippy() {
  # In the build's own profile and folder, so that build scripts, macros and what they made are there already.
  cargo_shared clippy --release --workspace --all-targets --locked -- -D warnings
  cargo_shared clippy --manifest-path corpus/Cargo.toml --release --all-targets --locked -- -D warnings
}
check_js_format() { "$tools/prettier" --log-level warn --check .; }
check_js_lint() { files '*.js' '*.mjs' '*.ts' '*.tsx' | xargs -0 -r "$tools/eslint" --max-warnings 0; }
check_shell() { files '*.sh' .ci/run | xargs -0 -r shellcheck -x; }
check_includes() { none '#include "\.\./' '*.cc' '*.h'; }
# The pattern is written in two parts so that it does not find itself.
check_unfinished() { none '\b(TO''DO|FIX''ME|X''XX)\b' 'src' 'crates' 'sim' 'tests' 'bench' 'fuzz' 'scripts' 'cmake' 'examples' 'Makefile' '*.md' ':!tests/fixtures'; }
check_whitespace() { none '[[:blank:]]+$' 'src' 'crates/*.rs' 'scripts' 'cmake' 'CMakeLists.txt' 'Makefile' ':!crates/Cargo.lock'; }

checks=(cpp_format rust_format js_format js_lint shell includes unfinished whitespace)
slow=(rust_clippy cpp_tidy) # these use all cores themselves, so one after the other
if [[ ${LINT_QUICK:-0} == 1 ]]; then slow=(); fi
run() {
  local start=$SECONDS status=passed
  "check_$1" >"$logs/$1.log" 2>&1 </dev/null || status=FAILED
  echo "$status $((SECONDS - start))" >"$logs/$1.status"
}
jobs=()
for check in "${checks[@]}"; do
  run "$check" &
  jobs+=($!)
done
for job in "${jobs[@]}"; do wait "$job"; done
for check in "${slow[@]}"; do run "$check"; done

passed=0 failed=0 names=()
for check in "${checks[@]}" "${slow[@]}"; do
  read -r status seconds <"$logs/$check.status"
  printf '%-14s %-7s %4d s\n' "$check" "$status" "$seconds"
  if [[ $status == passed ]]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    names+=("$check: $(grep -m 1 -E 'error|warning|:[0-9]+:' "$logs/$check.log" | head -c 200 || true)")
    head -n 60 "$logs/$check.log" | sed 's/^/    /'
    echo "    (all of it: build/lint/$check.log)"
  fi
done
printf '%s\n' "$passed $failed 0" "${names[@]}" >"$counts"
((failed == 0))

#!/usr/bin/env bash
# Runs the fuzz targets one after another, or those that are named, and stops at the first finding.
# usage: fuzz/run.sh BUILD_FOLDER [NAME...]     FUZZ_SECONDS (60) is the time for each
# Corpora grow in BUILD_FOLDER/corpus/NAME; a finding is left in BUILD_FOLDER/findings/NAME-*.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
build=$1
shift
source_folder=$(cd "$(dirname "$0")" && pwd)
seconds=${FUZZ_SECONDS:-60}
names=("$@")
if [ ${#names[@]} -eq 0 ]; then
  for file in "$source_folder"/fuzz_*.cc; do
    name=$(basename "$file" .cc)
    names+=("${name#fuzz_}")
  done
fi
mkdir -p "$build/findings"
for name in "${names[@]}"; do
  program=$build/bin/fuzz_$name
  [ -x "$program" ] || { echo "fuzz target $name is not built: $program is not there" >&2; exit 1; }
  corpus=$build/corpus/$name
  mkdir -p "$corpus"
  seeds=()
  if [ -d "$source_folder/corpus/$name" ]; then seeds=("$source_folder/corpus/$name/"); fi
  echo "== $name, $seconds s"
  log=$build/findings/$name.log
  if ! "$program" -max_total_time="$seconds" -max_len=4096 -rss_limit_mb=1024 -timeout=10 -print_final_stats=1 \
      -artifact_prefix="$build/findings/$name-" "$corpus" "${seeds[@]}" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    echo "fuzz target $name found something; its input lies in $build/findings" >&2
    exit 1
  fi
  grep -E "number_of_executed_units|peak_rss_mb" "$log"
done

#!/usr/bin/env bash
# Builds the generator of test modules (crates/corpus, a workspace of its own) and copies it to where CMake wants it.
# usage: build_corpus.sh CRATES_DIR CARGO_TARGET_DIR OUTPUT
set -euo pipefail
crates=$1 target=$2 output=$3
mkdir -p "$target" "$(dirname "$output")"
# The folder and its lock are those of build_engines.sh.
exec 9>"$target/.meshwork-lock"
flock 9
export CARGO_TARGET_DIR=$target
cd "$("$(dirname "${BASH_SOURCE[0]}")/mirror_crates.sh" "$crates" "$target")/corpus"
offline=()
if cargo fetch --locked --offline >/dev/null 2>&1; then offline=(--offline); fi
cargo build --release --locked "${offline[@]}"
cp "$target/release/mesh-corpus" "$output.new"
mv "$output.new" "$output"

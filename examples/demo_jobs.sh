#!/usr/bin/env bash
# Run by `mesh demo --exec`: MESH is the program, MESH_HOME the home of the mesh's first node.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${CXX:-g++}" -O2 -std=c++20 -o "$work/native" "$here/native.cc"

# What a shard pays, in micro-credits: 90 % to whoever runs it, 10 % to whoever re-executes it.
fee=100000

# balances FILE: what each member and the treasury has, and how much there is in all, in micro-credits.
balances() {
  local account
  {
    for account in $("$MESH" federation members -o name); do "$MESH" wallet show "$account" --json; done
    "$MESH" ledger head --json
  } | node "$here/../scripts/balances.mjs" >"$1"
}

# check NAME: compares the job's result with the native one, shows who did what, and tries the proof.
check() {
  local name=$1 id
  if ! cmp "$work/$name.result" "$work/$name.native"; then
    echo "$name: the mesh's result differs from the native one" >&2
    exit 1
  fi
  echo "$name: the mesh's result, equal to the native program's byte for byte:"
  sed 's/^/    /' "$work/$name.result"
  id=$("$MESH" job ls -o name | head -1)
  "$MESH" job explain "$id"
  echo
  # Whoever doubts a result has some seconds to say so; then its escrow is paid out.
  "$MESH" job payment "$id" --wait 120
  balances "$work/after"
  echo
  echo "$name: in credits, before and after (each transaction costs 0.0001, which the treasury has):"
  node "$here/../scripts/balances.mjs" "$work/before" "$work/after"
  mv "$work/after" "$work/before"
  "$MESH" receipt export "$id" --file "$work/$name.car" >"$work/exported" 2>&1
  # With a home where no node runs: the bundle needs none.
  "$MESH" --home "$work/nowhere" receipt verify "$work/$name.car"
  # One changed byte, somewhere in the middle: refused.
  cp "$work/$name.car" "$work/changed.car"
  local at=$(($(stat -c %s "$work/changed.car") / 2)) old
  old=$(od -An -tu1 -j "$at" -N 1 "$work/changed.car" | tr -d ' ')
  printf '%b' "\\x$(printf %x $(((old + 1) % 256)))" | dd of="$work/changed.car" bs=1 seek="$at" conv=notrunc status=none
  if "$MESH" --home "$work/nowhere" receipt verify "$work/changed.car" 2>"$work/refusal"; then
    echo "$name: a bundle with a changed byte was accepted" >&2
    exit 1
  fi
  echo "$name: with one byte changed it is refused: $(cat "$work/refusal")"
  echo
}

balances "$work/before"

echo "== Python: statistics of $(find "$here/data/texts" -type f | wc -l) texts, one shard each"
"$MESH" run "$here/words/main.py" -i "$here/data/texts" --map --fee "$fee" --verifiers 3 >"$work/words.result"
# shellcheck disable=SC2035 # the names are ours and must come out as they are
(cd "$here/data/texts" && LC_ALL=C "$work/native" words *) >"$work/words.native"
check words

echo "== WebAssembly (from C): longest Collatz sequences in $(wc -l <"$here/data/ranges.txt") ranges, one shard each"
"$MESH" run "$here/collatz/collatz.wasm" -i "$here/data/ranges.txt" --map --fee "$fee" --verifiers 3 >"$work/collatz.result"
"$work/native" collatz "$here/data/ranges.txt" >"$work/collatz.native"
check collatz

echo "== The ledger of these five: every block, certificate, signature and amount, checked without a node"
"$MESH" ledger export --car "$work/ledger.car" >/dev/null 2>&1
"$MESH" --home "$work/nowhere" ledger verify --car "$work/ledger.car"

#!/usr/bin/env bash
# Makes a folder equal to crates/, touching only what differs, and prints it. Cargo takes a crate's folder for part of
# its name: built from one folder per machine, every clone finds what another has built. Call it under the lock.
# usage: mirror_crates.sh CRATES_DIR CARGO_TARGET_DIR
set -euo pipefail
crates=$1 mirror=$2/workspace
mkdir -p "$mirror"
cd "$crates"
list() { find . -type f -not -path '*/target/*' | LC_ALL=C sort; }
list | while IFS= read -r file; do
  if ! cmp -s "$file" "$mirror/$file"; then
    mkdir -p "$mirror/$(dirname "$file")"
    cp "$file" "$mirror/$file"
  fi
done
LC_ALL=C comm -13 <(list) <(cd "$mirror" && list) | while IFS= read -r file; do rm -f "${mirror:?}/$file"; done
echo "$mirror"

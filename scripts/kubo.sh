#!/usr/bin/env bash
# Builds the pinned Kubo of tests/interop/kubo outside the clone, once per go.sum: the program that the interop tests compare
# Meshwork with. The last line on stdout is the program. tests/interop/CMakeLists.txt looks in the same folder.
# It needs Go; what it has to be stands in go.mod. An older Go fetches that one as the module it is. Without any Go
# there is no Kubo: this says so and succeeds, and the tests that need it are counted as skipped.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/common.sh
source "$root/scripts/common.sh"

source_folder=$root/tests/interop/kubo
key=$(cat "$source_folder/go.mod" "$source_folder/go.sum" | sha256sum | cut -c1-16)
folder=$MESH_CACHE/kubo/$key
mkdir -p "$MESH_CACHE/kubo"
exec 9>"$MESH_CACHE/kubo/.lock"
flock 9
if [[ -x $folder/ipfs ]]; then
  echo "$folder/ipfs"
  exit 0
fi

wanted=$(awk '$1 == "go" { print $2 }' "$source_folder/go.mod")
at_least() { [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n1) == "$2" ]]; }

go=$(command -v go || true)
if [[ -z $go ]]; then
  say "Kubo is not built, and the tests that need it are skipped: there is no Go. Install any, such as the package golang-go."
  exit 0
fi
have=$(cd / && GOTOOLCHAIN=local "$go" env GOVERSION)
if ! at_least "${have#go}" "$wanted"; then
  say "fetching Go $wanted, which Kubo needs (the one here is ${have#go})"
  # A toolchain is a module, whose hash Go checks as that of any. Go before 1.21 does not know that it could run it.
  module=golang.org/toolchain@v0.0.1-go$wanted.$("$go" env GOOS)-$("$go" env GOARCH)
  toolchain=$(cd / && GOTOOLCHAIN=local GOFLAGS='' "$go" mod download -json "$module" |
    sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p')
  [[ -d $toolchain ]] || die "Go $wanted could not be fetched; install it from https://go.dev, or take go from the PATH to skip its tests."
  # Modules carry no permissions, and are not to be written to.
  new_go=$(mktemp -d "$MESH_CACHE/kubo/go.XXXXXX")
  trap 'rm -rf "$new_go"' EXIT
  cp -r "$toolchain/." "$new_go/"
  chmod -R u+w "$new_go"
  chmod u+x "$new_go"/bin/* "$new_go"/pkg/tool/*/*
  go=$new_go/bin/go
  export GOROOT=$new_go
fi

say "building Kubo (Go modules, some minutes, once per machine)"
mkdir -p "$folder"
(cd "$source_folder" && GOTOOLCHAIN=local GOFLAGS='' GOWORK=off CGO_ENABLED=0 \
  "$go" build -mod=readonly -buildvcs=false -o "$folder/ipfs.new" github.com/ipfs/kubo/cmd/ipfs >&2) ||
  die "Kubo could not be built; see above."
mv "$folder/ipfs.new" "$folder/ipfs"
echo "$folder/ipfs"

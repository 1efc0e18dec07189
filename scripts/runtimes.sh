#!/usr/bin/env bash
# Fetches or builds the pinned interpreters, checks each file and leaves them with a catalogue in one folder outside the clone.
# The last line on stdout is that folder. Fetching happens once per machine and set of pins; afterwards no network is
# needed.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/common.sh
source "$root/scripts/common.sh"

cd "$root/runtimes"
# sorted by name; the contents alone decide the key
key=$(cat package.json package-lock.json sources.json quickjs/* php/* python/* ../scripts/runtimes.sh ../scripts/runtimes.mjs \
  ../scripts/build_quickjs.sh ../scripts/build_python.sh | sha256sum | cut -c1-16)
folder=$MESH_CACHE/runtimes/$key
mkdir -p "$MESH_CACHE/runtimes"
exec 9>"$MESH_CACHE/runtimes/.lock"
flock 9

if [[ ! -f $folder/catalogue.json ]]; then
  work=$(mktemp -d "$MESH_CACHE/runtimes/new.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  mkdir "$work/npm" "$work/out"
  cp package.json package-lock.json "$work/npm/"
  say "fetching the pinned interpreters (npm, about 60 MB, once per machine)"
  (cd "$work/npm" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
  say "building QuickJS for WASI"
  source_folder=$(cargo metadata --locked --format-version 1 --manifest-path quickjs/Cargo.toml |
    node -e 'const m = JSON.parse(require("fs").readFileSync(0));
             const p = m.packages.find((p) => p.name === "libquickjs-ng-sys");
             console.log(require("path").dirname(p.manifest_path));')
  "$root/scripts/build_quickjs.sh" "$PWD/quickjs/main.c" "$source_folder/embed/quickjs" "$work/quickjs.wasm"
  say "building the pre-started Python (PyPI, 17 MB, once per machine)"
  "$root/scripts/build_python.sh" python "$work/python.wasm"
  node "$root/scripts/runtimes.mjs" "$PWD" "$work/npm/node_modules" "$work" "$work/out"
  rm -rf "$folder"
  mv "$work/out" "$folder"
fi
ln -sfn "$key" "$MESH_CACHE/runtimes/current"
echo "$folder"

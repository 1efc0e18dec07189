#!/usr/bin/env bash
# Builds the dashboard with npm, outside the clone, and packs it into one file for src/app/api/dashboard.h.
# usage: build_dashboard.sh ROOT CACHE OUTPUT
set -euo pipefail
root=$1 cache=$2 output=$3
sources=(package.json package-lock.json tsconfig.base.json docs/openapi.json sdk/js web)

cd "$root"
list() { find "${sources[@]}" -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -name '*.generated.*' | LC_ALL=C sort; }
key=$({ list | tr '\n' '\0' | xargs -0 sha256sum; node --version; } | sha256sum | cut -c1-16)
packed=$cache/dashboard/$key.pack
workspace=$cache/workspace
mkdir -p "$cache/dashboard" "$workspace" "$(dirname "$output")"
exec 9>"$cache/dashboard/.lock"
flock 9
if [[ ! -f $packed ]]; then
  # Everything but what npm installed is made anew.
  find "$workspace" -type f -not -path '*/node_modules/*' -not -name '.lock-*' -delete
  list | while IFS= read -r file; do
    mkdir -p "$workspace/$(dirname "$file")"
    cp "$file" "$workspace/$file"
  done
  cd "$workspace"
  lock=.lock-$(cat package.json package-lock.json sdk/js/package.json web/package.json | sha256sum | cut -c1-16)
  if [[ ! -f $lock ]]; then
    rm -f .lock-*
    npm_config_cache=$cache npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    touch "$lock"
  fi
  npm run --silent build >&2
  node web/pack.mjs web/dist "$packed.new"
  mv "$packed.new" "$packed"
  # Those of a few states are kept; what is older is quick to make again.
  find "$cache/dashboard" -name '*.pack' -printf '%T@ %p\n' | sort -rn | tail -n +9 | cut -d' ' -f2- | xargs -r rm -f
fi
cp "$packed" "$output"

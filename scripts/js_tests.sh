#!/usr/bin/env bash
# Tests the JavaScript client and the dashboard: types, components, the client against real nodes, the dashboard in Chromium.
# build/release/mesh must be there. Leaves a JUnit report of each part in FOLDER.
# usage: js_tests.sh FOLDER [PART...]     client, dashboard, nodes, browser; all of these unless told. And screenshots: taken anew, for docs
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/common.sh
source "$root/scripts/common.sh"

reports=$(realpath "$1")
parts=("${@:2}")
if ((${#parts[@]} == 0)); then parts=(client dashboard nodes browser); fi
cd "$root"
npm_workspace
npm run --silent build -w sdk/js >&2
MESH_RUNTIMES_DIR=$(scripts/runtimes.sh)
export MESH_RUNTIMES_DIR MESH=$root/build/release/mesh

status=0
suite() { # suite NAME FOLDER ARGUMENTS...
  (cd "$2" && npx vitest run --reporter=default --reporter=junit --outputFile.junit="$reports/js-$1.xml" "${@:3}") || status=1
}
for part in "${parts[@]}"; do
  case $part in
    client)
      npx tsc -p sdk/js/tsconfig.test.json || status=1
      suite client sdk/js
      ;;
    dashboard)
      npx tsc -b web || status=1
      suite dashboard web
      ;;
    nodes) suite nodes sdk/js -c vitest.nodes.config.ts ;;
    browser)
      npx tsc -p tests/e2e || status=1
      suite browser . -c tests/e2e/vitest.config.ts
      ;;
    screenshots) SCREENSHOTS=$root/docs/screenshots npx vitest run -c tests/e2e/screenshots.config.ts || status=1 ;;
    *) die "there is no part $part" ;;
  esac
done
exit "$status"

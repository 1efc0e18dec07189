# shellcheck shell=bash
# What every script shares: where slow outputs are kept (outside the clone, see README.md) and how words are said.

export MESH_CACHE=${MESH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/meshwork}
export CCACHE_DIR=$MESH_CACHE/ccache
export npm_config_cache=$MESH_CACHE/npm
export npm_config_update_notifier=false
mkdir -p "$MESH_CACHE"

# Words go to stderr: stdout is for results.
say() { printf '==> %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# shellcheck shell=bash
# What every script shares: where slow outputs are kept (outside the clone, see README.md), how words are said, how a
# preset is configured and built.

root=${root:?a script sets this to the folder of the clone before it reads common.sh}

export MESH_CACHE=${MESH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/meshwork}
# The same sources in another clone hit the same entries: paths below the clone are taken relative to it.
export CCACHE_DIR=$MESH_CACHE/ccache
export CCACHE_BASEDIR=$root
export CCACHE_NOHASHDIR=1
export CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-5G}
export npm_config_cache=$MESH_CACHE/npm
export npm_config_update_notifier=false
mkdir -p "$MESH_CACHE/cargo"
if [[ -n ${CI:-} || ! -t 2 ]]; then export CARGO_TERM_PROGRESS_WHEN=never; fi

# Words go to stderr: stdout is for results.
say() { printf '==> %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# configure PRESET [CMAKE_ARGUMENTS...]
configure() {
  (cd "$root" && cmake --preset "$1" --log-level=NOTICE "${@:2}" >&2) || die "CMake could not configure the $1 preset; see above."
}

# build PRESET [TARGETS...]
build() {
  local targets=()
  if (($# > 1)); then targets=(--target "${@:2}"); fi
  (cd "$root" && cmake --build --preset "$1" "${targets[@]}" >&2)
}

# link_program: the release program and its other names, where README.md says they are
link_program() {
  ln -sfn release/mesh "$root/build/mesh"
  ln -sfn release/mesh "$root/build/mesh-cli"
  ln -sfn release/mesh "$root/build/zephymesh_node"
}

# npm_packages: those of the client, the dashboard and their tests, in the clone's node_modules, as package-lock.json has them
npm_packages() (
  cd "$root" || exit
  installed=node_modules/.installed-$(cat package-lock.json package.json sdk/js/package.json web/package.json | sha256sum | cut -c1-16)
  if [[ -f $installed ]]; then return; fi
  say "installing the npm packages of the client and the dashboard"
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
  touch "$installed"
)

# cargo_shared ARGUMENTS...: Cargo in the folder, and under the lock, of cmake/build_engines.sh
cargo_shared() (
  exec 9>"$MESH_CACHE/cargo/.meshwork-lock"
  flock 9
  cd "$("$root/cmake/mirror_crates.sh" "$root/crates" "$MESH_CACHE/cargo")" || exit
  # Without a network it works where everything that the lock files name is on this machine.
  if cargo fetch --locked --offline >/dev/null 2>&1 &&
    cargo fetch --locked --offline --manifest-path corpus/Cargo.toml >/dev/null 2>&1; then
    export CARGO_NET_OFFLINE=true
  fi
  export MESH_ENGINES_INCLUDE=$MESH_CACHE/cargo/meshwork-include CARGO_TARGET_DIR=$MESH_CACHE/cargo
  cargo "$@"
)

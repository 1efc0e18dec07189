#!/usr/bin/env bash
# Checks for what the build needs and installs missing Debian packages where it may: as root, or with sudo that asks
# for no password. Elsewhere it prints the line to run. It never asks.
# usage: setup.sh build|all|bench|package
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/common.sh
source "$root/scripts/common.sh"

# To build and run. clang, lld and wasi-libc compile the JavaScript interpreter to WebAssembly; python3 runs the tool that
# makes the pre-started Python.
packages=(g++ cmake ninja-build ccache pkg-config git
  libboost1.81-dev libsodium-dev nlohmann-json3-dev libfmt-dev libspdlog-dev libcli11-dev libtomlplusplus-dev libgtest-dev
  clang-19 lld-19 libclang-rt-19-dev-wasm32 wasi-libc python3 python3-venv)
if [[ ${1:-build} == all || ${1:-build} == bench ]]; then
  packages+=(clang-format-19 libclang-rt-19-dev libbenchmark-dev iproute2 nftables shellcheck chromium)
  # Any Go will do: scripts/kubo.sh has it fetch the one that is needed.
  if ! command -v go >/dev/null; then packages+=(golang-go); fi
fi
# What `make bench` puts beside a transfer of files, beside transfers of credits and beside the dashboard's server; wrk asks it.
if [[ ${1:-build} == bench ]]; then packages+=(rsync nginx-light aria2 iperf3 curl openssl iputils-ping postgresql wrk); fi

# What `make package` makes its packages with, and a clean Debian to install them in.
if [[ ${1:-build} == package ]]; then packages+=(binutils debootstrap dpkg-dev help2man python3-pip xz-utils); fi

installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null || true)
missing=()
for package in "${packages[@]}"; do
  if ! grep -qx "$package installed" <<<"$installed"; then missing+=("$package"); fi
done
if ((${#missing[@]})); then
  as_root=()
  if ((EUID != 0)); then as_root=(sudo -n); fi
  if ((EUID == 0)) || sudo -n true 2>/dev/null; then
    say "installing Debian packages: ${missing[*]}"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive sh -c \
      'apt-get update -q && apt-get install -q -y --no-install-recommends "$@"' install "${missing[@]}" \
      >"$MESH_CACHE/apt.log" 2>&1 </dev/null || { tail -20 "$MESH_CACHE/apt.log" >&2; die "apt-get failed; its output is in $MESH_CACHE/apt.log."; }
  else
    die "these Debian packages are missing; run: sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
  fi
fi

# at_least HAVE WANT
at_least() { [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n1) == "$2" ]]; }

command -v cargo >/dev/null || die "cargo is missing; install Rust 1.95 or newer from https://rustup.rs."
version=$(cargo --version | awk '{print $2}')
at_least "$version" 1.95 || die "cargo is $version; Rust 1.95 or newer is needed: run rustup update stable."
for program in node npm; do
  command -v "$program" >/dev/null ||
    die "$program is missing; install Node.js 20 or newer from https://nodejs.org or your package manager."
done
version=$(node --version)
at_least "${version#v}" 20 || die "node is $version; Node.js 20 or newer is needed, from https://nodejs.org or your package manager."

#!/usr/bin/env bash
# Installs the package in a clean Debian that has nothing else (debootstrap), and uses it there as a stranger would: a job, the
# dashboard, the manual, the services; then takes it off again. Needs root.
# usage: install_test.sh DEB
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/common.sh
source "$root/scripts/common.sh"

deb=$1
((EUID == 0)) || die "the install test makes a Debian of its own, for which it must be root: sudo packaging/install_test.sh $deb"
base=$MESH_CACHE/package/base-bookworm.tar
# shellcheck disable=SC2016 # apt's own variable
mirror=$(apt-get indextargets --format '$(SITE)' 'Codename: bookworm' 2>/dev/null | head -n 1)
if [[ ! -f $base ]]; then
  say "making a clean Debian"
  mkdir -p "$MESH_CACHE/package"
  made=$(mktemp -d "$MESH_CACHE/package/new.XXXXXX")
  debootstrap --variant=minbase bookworm "$made/root" ${mirror:+"$mirror"} >"$MESH_CACHE/package/debootstrap.log" 2>&1 ||
    die "debootstrap failed; its output is in $MESH_CACHE/package/debootstrap.log."
  tar -C "$made/root" -cf "$base.new" .
  mv "$base.new" "$base"
  rm -rf "$made"
fi

place=$(mktemp -d /tmp/meshwork-install.XXXXXX)
node=
finish() {
  if [[ -n $node ]]; then { kill "$node" && wait "$node"; } 2>/dev/null || true; fi
  for mount in proc dev/shm; do mountpoint -q "$place/$mount" && umount "$place/$mount"; done
  rm -rf "$place"
}
trap finish EXIT
tar -C "$place" -xf "$base"
# Of the machine's own settings only where packages come from.
cp -a /etc/apt/. "$place/etc/apt/"
cp /etc/resolv.conf "$place/etc/resolv.conf"
mount -t proc proc "$place/proc"
mount -t tmpfs tmpfs "$place/dev/shm"
cp "$deb" "$place/tmp/meshwork.deb"
there=(chroot "$place" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive)
inside() { "${there[@]}" "$@"; }

say "installing the package there"
{
  inside apt-get update -q
  inside apt-get install -q -y --no-install-recommends systemd /tmp/meshwork.deb
} >"$MESH_CACHE/package/install.log" 2>&1 || { tail -20 "$MESH_CACHE/package/install.log" >&2; die "the package does not install."; }

passed=0
check() { # check WHAT COMMAND...
  if "${@:2}" >"$place/tmp/said" 2>&1; then
    passed=$((passed + 1))
    echo "ok    $1"
  else
    echo "FAILED $1"
    tail -5 "$place/tmp/said"
    exit 1
  fi
}
says() { [[ $("${@:2}" 2>&1) == *"$1"* ]]; }

check "the version" says "mesh " inside mesh version
check "its other names" inside mesh-cli --help
check "the user exists" inside getent passwd meshwork
echo 'print(sum(range(10)))' >"$place/tmp/sum.py"
check "a Python function runs, with the runtimes of the package" says 45 inside env MESH_NO_MDNS=1 \
  MESH_LISTEN=/ip4/127.0.0.1/tcp/0 mesh run /tmp/sum.py --quiet
check "the demonstration, with the example of the package" inside mesh demo
check "the manual" test -s "$place/usr/share/man/man1/mesh-run.1.gz"
check "completions" grep -q complete "$place/usr/share/bash-completion/completions/mesh"
up=(mesh --home /tmp/home up --api 127.0.0.1:0 --listen /ip4/127.0.0.1/tcp/0 --json)
exec 8< <(exec "${there[@]}" MESH_NO_MDNS=1 "${up[@]}" 2>/dev/null)
node=$!
# It prints one line once it listens.
read -r facts <&8 || die "the node of the package does not start."
address=$(node -e 'console.log(JSON.parse(process.argv[1]).api.split("#")[0])' "$facts")
check "the dashboard is inside" says '<div id="root">' node -e 'fetch(process.argv[1]).then((r) => r.text()).then(console.log)' "$address"
kill "$node"
wait "$node" || true
node=
for unit in system user; do
  check "the $unit's service is well-formed" inside env XDG_RUNTIME_DIR=/tmp systemd-analyze verify --man=no "--$unit" "/usr/lib/systemd/$unit/meshwork.service"
done
check "it goes again" inside apt-get purge -q -y meshwork
nothing_left() { [[ -z $(find "$place/usr" "$place/etc" -name '*meshwork*' -not -path '*/apt/*' -print -quit) && ! -e $place/usr/bin/mesh ]]; }
check "and leaves nothing" nothing_left
echo "$passed checks of the installed package passed"

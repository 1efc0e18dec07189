#!/usr/bin/env bash
# Makes what others install, in build/package: a Debian package and a tarball (the program with the dashboard inside, the language
# runtimes, services, manual pages, completions), a Python wheel and an npm tarball of the clients; then installs the package in a
# clean Debian and runs a function there. The same sources give the same bytes.
# usage: package.sh [--no-install-test]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/common.sh
source "$root/scripts/common.sh"

"$root/scripts/setup.sh" package
"$root/scripts/build.sh"
cd "$root"
runtimes=$(scripts/runtimes.sh)
version=$(build/mesh version | cut -d' ' -f2)
architecture=$(dpkg --print-architecture)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s)
export SOURCE_DATE_EPOCH
out=$root/build/package
rm -rf "$out"
tree=$out/tree
mkdir -p "$tree"/usr/{bin,lib/{systemd/{system,user},sysusers.d},share/{man/man1,meshwork/runtimes,doc/meshwork}}
umask 022

# ---- The tree that both have.

install -m 755 build/release/mesh "$tree/usr/bin/mesh"
strip --strip-unneeded "$tree/usr/bin/mesh"
ln -s mesh "$tree/usr/bin/mesh-cli"
ln -s mesh "$tree/usr/bin/zephymesh_node"
install -m 644 "$runtimes"/* "$tree/usr/share/meshwork/runtimes/"
# What "mesh demo" runs.
mkdir -p "$tree/usr/share/meshwork/examples/data"
cp -r examples/words "$tree/usr/share/meshwork/examples/"
cp -r examples/data/texts "$tree/usr/share/meshwork/examples/data/"
install -m 644 packaging/meshwork.service "$tree/usr/lib/systemd/system/meshwork.service"
install -m 644 packaging/meshwork-user.service "$tree/usr/lib/systemd/user/meshwork.service"
install -m 644 packaging/meshwork.sysusers "$tree/usr/lib/sysusers.d/meshwork.conf"
install -m 644 README.md "$tree/usr/share/doc/meshwork/README.md"
install -m 644 LICENSE "$tree/usr/share/doc/meshwork/copyright"
completion() { mkdir -p "$tree/usr/share/$(dirname "$2")" && build/mesh completion "$1" >"$tree/usr/share/$2"; }
completion bash bash-completion/completions/mesh
completion zsh zsh/vendor-completions/_mesh
completion fish fish/vendor_completions.d/mesh.fish

# One page for the program and one for each command, from what --help says.
# help2man runs one program: a command is given to it as a program of its own.
page() { # page NAME COMMAND...
  local wrapper=$out/help/$1 about
  mkdir -p "$out/help"
  printf '#!/bin/sh\nexec %q %s "$@"\n' "$root/build/mesh" "${*:2}" >"$wrapper"
  chmod 755 "$wrapper"
  about=$("$wrapper" --help | head -n 1)
  help2man --no-info --version-string="$version" --name="${about#Meshwork: }" --manual=Meshwork --source="meshwork $version" \
    "$wrapper" | gzip -9n >"$tree/usr/share/man/man1/$1.1.gz"
}
page mesh
commands=$(build/mesh --help | sed -n '/^Subcommands:/,$p' | awk 'NR > 1 && NF && !/not built yet/ { print $1 }')
for command in $commands; do page "mesh-$command" "$command"; done
rm -rf "$out/help"

# ---- The tarball: the same under one folder, to be unpacked anywhere.

name=meshwork-$version-linux-$architecture
mkdir "$out/$name"
cp -a "$tree/usr/bin" "$tree/usr/share" "$out/$name/"
cp README.md LICENSE "$out/$name/"
as_made=(--sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH")
tar "${as_made[@]}" -C "$out" -cf - "$name" | gzip -9n >"$out/$name.tar.gz"
rm -rf "${out:?}/$name"

# ---- The Debian package.

mkdir -p "$tree/DEBIAN" "$out/debian"
touch "$out/debian/control" # dpkg-shlibdeps looks for it
depends=$(cd "$out" && dpkg-shlibdeps -O "$tree/usr/bin/mesh" | sed -n 's/^shlibs:Depends=//p')
rm -rf "$out/debian"
[[ -n $depends ]] || die "dpkg-shlibdeps names no library"
cat >"$tree/DEBIAN/control" <<CONTROL
Package: meshwork
Version: $version
Architecture: $architecture
Maintainer: The Meshwork developers <meshwork@localhost>
Installed-Size: $(du -sk "$tree/usr" | cut -f1)
Depends: $depends
Recommends: ca-certificates
Section: net
Priority: optional
Description: one computer out of the machines there are
 Meshwork finds peers by itself, shares files by content hash, runs functions in a
 deterministic sandbox on whoever makes the best offer, and checks every result by
 re-execution on nodes that the worker could not choose.
CONTROL
cat >"$tree/DEBIAN/postinst" <<'POSTINST'
#!/bin/sh
set -e
if [ "$1" = configure ]; then
  # Without systemd the user is made by hand, for whoever starts the node by other means.
  if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers meshwork.conf
  elif ! getent passwd meshwork >/dev/null; then
    useradd --system --home-dir /var/lib/meshwork --shell /usr/sbin/nologin --user-group meshwork
  fi
  if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
fi
POSTINST
cat >"$tree/DEBIAN/prerm" <<'PRERM'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then systemctl disable --now meshwork.service || true; fi
PRERM
chmod 755 "$tree/DEBIAN/postinst" "$tree/DEBIAN/prerm"
(cd "$tree" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
find "$tree" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
deb=$out/meshwork_${version}_$architecture.deb
dpkg-deb --root-owner-group -Zxz --build "$tree" "$deb" >/dev/null
rm -rf "$tree"

# ---- The clients.

say "the Python client's wheel"
python3 -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$out" sdk/python
say "the JavaScript client's tarball"
npm_workspace
npm run --silent build -w sdk/js >&2
npm pack --silent --workspace sdk/js --pack-destination "$out" >&2

say "made: $(cd "$out" && echo ./*)"
if [[ ${1:-} != --no-install-test ]]; then packaging/install_test.sh "$deb"; fi

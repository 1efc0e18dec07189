"""Real nodes on loopback for the integration tests. Every process is a child of this one, and only these are ended."""

import contextlib
import ctypes
import json
import os
import signal
import socket
import socketserver
import subprocess
import threading
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[3]
MESH = os.environ.get("MESH") or str(ROOT / "build/release/mesh")
CACHE = Path(
    os.environ.get("MESH_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "meshwork"
)
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def environment():
    kept = ("MESH_CACHE", "MESH_RUNTIMES_DIR")
    return {name: value for name, value in os.environ.items() if not name.startswith("MESH") or name in kept}


# A disk of its own is a tmpfs that one process alone sees; who is not root needs a namespace of users for it, too.
NAMESPACES = ["--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount"]


def has_own_disks():
    """Whether this system lets a test give a node a disk of its own."""
    mount = ["--propagation", "private", "--", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(["unshare", *NAMESPACES, *mount], capture_output=True).returncode == 0


def own_disk(folder, mib):
    """What goes before a command that is to have a disk of its own at a folder."""
    script = f'mkdir -p "$0" && mount -t tmpfs -o size={mib}m tmpfs "$0" && exec "$@"'
    return ["unshare", *NAMESPACES, "--propagation", "private", "--", "sh", "-c", script, str(folder)]


class Node:
    def __init__(self, home, joins=(), flags=(), disk_mib=None):
        self.home = Path(home)
        self.command = own_disk(home, disk_mib) if disk_mib else []
        self.command += [MESH, "up", "--home", str(home), "--cache", str(CACHE / "compiled"), "--no-mdns", "--json"]
        self.command += ["--api", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/tcp/0", *flags]
        for address in joins:
            self.command += ["--join", address]
        self.start()

    def start(self):
        with open(f"{self.home}.log", "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=subprocess.PIPE, stderr=log, env=environment(), preexec_fn=die_with_parent
            )
        line = self.process.stdout.readline()
        if not line:
            self.end()
            raise RuntimeError("a node did not start: " + Path(f"{self.home}.log").read_text()[-2000:])
        facts = json.loads(line)
        self.address = facts["addresses"][0]
        self.url, self.token = facts["api"].split("/#token=")

    @property
    def files(self):
        """Where the files of its home can be seen: a disk of its own is there for the node alone."""
        return Path(f"/proc/{self.process.pid}/root{self.home}")

    def enlarge_disk(self, mib):
        users = ["--user", "--preserve-credentials"] if "--user" in NAMESPACES else []
        remount = ["mount", "-o", f"remount,size={mib}m", str(self.home)]
        subprocess.run(["nsenter", "--target", str(self.process.pid), *users, "--mount", *remount], check=True)

    def end(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Proxy:
    """A way to a node that cuts the first connections on which `path` is asked for, each after so many bytes more."""

    def __init__(self, node, path, cuts):
        self.path = path.encode()
        self.cuts = list(cuts)
        self.node = urlsplit(node.url)
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def handler(self):
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                with socket.create_connection((proxy.node.hostname, proxy.node.port)) as node:
                    there = threading.Thread(target=self.ask, args=(node,), daemon=True)
                    self.left = None
                    there.start()
                    with contextlib.suppress(OSError):
                        self.answer(node)
                    for end in (node, self.request):
                        with contextlib.suppress(OSError):
                            end.shutdown(socket.SHUT_RDWR)
                    there.join()

            def ask(self, node):
                # A node answers to its own name alone.
                own = urlsplit(proxy.url).netloc.encode()
                with contextlib.suppress(OSError):
                    while data := self.request.recv(65536):
                        if proxy.path in data and proxy.cuts:
                            self.left = proxy.cuts.pop(0)
                        node.sendall(data.replace(own, proxy.node.netloc.encode()))
                    node.shutdown(socket.SHUT_WR)

            def answer(self, node):
                while data := node.recv(65536):
                    if self.left is not None:
                        data = data[: self.left]
                        self.left -= len(data)
                    self.request.sendall(data)
                    if self.left == 0:
                        return

        return Handler


def until(condition, what, limit_s=60):
    pause = threading.Event()
    for _ in range(limit_s * 20):
        if value := condition():
            return value
        pause.wait(0.05)
    raise AssertionError(f"not within {limit_s} s: {what}")


@contextlib.contextmanager
def running(count, folder, flags=(), disk_mib=None):
    """So many nodes that know each other and what each can do."""
    import meshwork

    nodes = []
    try:
        for number in range(count):
            nodes.append(Node(folder / f"node{number}", [node.address for node in nodes], flags, disk_mib))
        for node in nodes:
            with meshwork.connect(url=node.url, token=node.token) as mesh:
                until(
                    lambda mesh=mesh: (
                        sum(peer.connected and peer.resources is not None for peer in mesh.peers()) >= count - 1
                    ),
                    "the nodes know each other",
                )
        yield nodes
    finally:
        for node in nodes:
            node.end()

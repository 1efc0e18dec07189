"""Files from one program to another of its kind, on this machine alone: ours and what stands beside it.

usage: transfer_tasks.py loopback|transports|small|large|refresh|holders|delay, with the work as JSON on stdin

The work: mesh, cache, ipfs and stream_speed (programs; null where there is none), folder, and what each part says below.
Every copy is compared with what was sent. Prints one JSON object; what could not be measured is {"missing": why}. Run by
transfer.py inside namespaces that hold nothing but a loopback device and what this makes in them."""

import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "integration"))

from delay import Delay
from machines import Machine, run
from nodes import Node

HZ = os.sysconf("SC_CLK_TCK")


def cpu_s(*pids):
    """CPU time of these processes and of those that they waited for."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / HZ


def timed(command, pids=(), limit_s=600, **more):
    """Runs a command: its output, and what it took: seconds, and CPU seconds of it and of these processes."""
    before, children = cpu_s(*pids), os.times()
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False, **more)
    seconds = time.perf_counter() - begin
    if done.returncode != 0:
        raise RuntimeError(f"{Path(command[0]).name} failed: {done.stderr.strip()[-300:]}")
    now = os.times()
    own = now.children_user + now.children_system - children.children_user - children.children_system
    return done.stdout, {"seconds": seconds, "cpu_s": own + cpu_s(*pids) - before}


def write_random(path, mebibytes):
    with open(path, "wb") as file:
        for _ in range(mebibytes):
            file.write(os.urandom(1 << 20))


MAX_TOUCHED = 2 << 30


def touch_memory(file):
    """Has the machine hold memory for two copies of this file, of 2 GiB at most, just before something writes them.

    A virtual machine's host may take back what has been free for seconds; the first write to each page then costs ten times
    as much as any other, which is the machine's doing and not the program's that happens to come first."""
    part = bytes(1 << 20)
    with tempfile.TemporaryFile(dir=file.parent, buffering=0) as scratch:
        for _ in range(min(2 * file.stat().st_size, MAX_TOUCHED) >> 20):
            scratch.write(part)


def sha256_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def same(path, other):
    if subprocess.run(["cmp", "-s", path, other], check=False).returncode != 0:
        raise RuntimeError(f"{other} is not what was sent")


def same_tree(path, other):
    if subprocess.run(["diff", "-rq", path, other], capture_output=True, check=False).returncode != 0:
        raise RuntimeError(f"{other} is not what was sent")


def small_files(folder, count):
    """Text of 200 bytes each, a thousand to a folder."""
    draw = random.Random(count)
    for number in range(count):
        place = folder / f"{number // 1000:03}"
        if number % 1000 == 0:
            place.mkdir(parents=True)
        (place / f"{number % 1000:03}.txt").write_text("".join(draw.choices("abcdefghijklm nopqrst\n", k=200)))


def wait_for(condition, what, limit_s=30):
    limit = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > limit:
            raise RuntimeError(f"{what} did not come about within {limit_s} s")
        time.sleep(0.02)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# ---- Ours.


class Ours:
    """Nodes that know each other, each with its own home."""

    def __init__(self, work, folder, count):
        self.mesh, self.nodes = work["mesh"], []
        folder.mkdir()
        for i in range(count):
            first = [node.addresses[0] for node in self.nodes[:1]]
            self.nodes.append(Node(self.mesh, str(folder / f"node{i}"), work["cache"], first))
        for node in self.nodes[1:]:
            wait_for(lambda node=node: any(peer["connected"] for peer in node.ask("GET", "/api/v1/peers")), "a connection")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            node.stop()

    def pids(self):
        return [node.process.pid for node in self.nodes]

    def command(self, number, *words):
        return [self.mesh, "--home", self.nodes[number].home, "assets", *map(str, words)]

    def knows(self, number, cid):
        return subprocess.run(self.command(number, "find", cid), capture_output=True, check=False).returncode == 0

    def add(self, number, path, *flags):
        out, took = timed(self.command(number, "add", path, *flags), self.pids())
        return out.strip(), took


def our_copy(work, folder, file):
    """Adds and gets one file, as it is listed on the local network."""
    with Ours(work, folder, 2) as ours:
        cid, added = ours.add(0, file, "--visibility", "lan")
        wait_for(lambda: ours.knows(1, cid), "word of the file")
        touch_memory(file)
        out, got = timed(ours.command(1, "get", cid, "--path"), ours.pids())
        same(file, out.strip())
        return {"add": added, "get": got, "peak_mb": [node.memory_mb()["VmHWM"] for node in ours.nodes]}


# ---- Kubo.


class Kubo:
    """Two daemons with the layout that ours has, which reach nothing but each other."""

    SETTINGS = {
        "Bootstrap": [],
        "AutoConf": {"Enabled": False},
        "DNS.Resolvers": {},
        "Routing": {"Type": "none"},
        "Routing.DelegatedRouters": [],
        "Ipns.DelegatedPublishers": [],
        "AutoNAT": {"ServiceMode": "disabled"},
        "AutoTLS.Enabled": False,
        "Swarm.RelayClient.Enabled": False,
        "Swarm.RelayService.Enabled": False,
        "Swarm.EnableHolePunching": False,
        "Swarm.DisableNatPortMap": True,
        "Discovery.MDNS.Enabled": False,
        "Provide.Enabled": False,
        "Addresses.Gateway": "",
    }

    def __init__(self, ipfs, folder):
        self.ipfs, self.folder, self.daemons = ipfs, folder, []
        folder.mkdir()
        for number in range(2):
            self.run(number, "init", "--profile=test,unixfs-v1-2025")
            own = {"Addresses.Swarm": ["/ip4/127.0.0.1/tcp/0"], "Addresses.API": f"/ip4/127.0.0.1/tcp/{25001 + number}"}
            for name, value in {**self.SETTINGS, **own}.items():
                self.run(number, "config", "--json", name, json.dumps(value))
        for number in range(2):
            log = open(folder / f"{number}.log", "wb")  # noqa: SIM115 (the daemon's, for its life)
            self.daemons.append(subprocess.Popen([ipfs, "daemon"], env=self.env(number), stdout=log, stderr=log))
            wait_for(lambda number=number: listens(25001 + number), "Kubo")
        addresses = self.run(0, "id", "-f", "<addrs>").split()
        self.run(1, "swarm", "connect", next(one for one in addresses if "127.0.0.1" in one))

    def env(self, number):
        return {
            "IPFS_PATH": str(self.folder / str(number)),
            "IPFS_TELEMETRY": "off",
            "HOME": str(self.folder),
            "PATH": os.environ["PATH"],
        }

    def run(self, number, *words):
        return timed([self.ipfs, *words], env=self.env(number))[0]

    def timed(self, number, *words, limit_s=600):
        pids = [daemon.pid for daemon in self.daemons]
        return timed([self.ipfs, *words], pids, limit_s, env=self.env(number))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for daemon in self.daemons:
            daemon.kill()
            daemon.wait()


def kubo_copy(work, folder, file):
    with Kubo(work["ipfs"], folder) as kubo:
        touch_memory(file)
        cid, added = kubo.timed(0, "add", "-Q", str(file))
        touch_memory(file)
        _, got = kubo.timed(1, "get", "-o", str(folder / "got"), cid.strip())
        same(file, folder / "got")
        return {"add": added, "get": got}


# ---- Others, one file each.


@contextlib.contextmanager
def server(command, port):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: process.poll() is not None or listens(port), command[0])
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} did not start")
        yield process
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def nginx(folder):
    """Serves FOLDER/www on 28080 and, over TLS 1.3 with AES-128-GCM, on 28443."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    timed(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        + ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)]
    )
    kept = " ".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error;\n"
        f"user root; events {{}} http {{ access_log off; sendfile on; {kept}\n"
        f"server {{ listen 127.0.0.1:28080; root {folder}/www; }}\n"
        f"server {{ listen 127.0.0.1:28443 ssl; ssl_certificate {certificate}; ssl_certificate_key {key};\n"
        f"ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256; root {folder}/www; }} }}\n"
    )
    with server(["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error")], 28443) as process:
        yield process


def over_http(_, folder, file, words):
    (folder / "www").mkdir(parents=True)
    os.link(file, folder / "www/file")
    command = [word.format(folder=folder, sha256=sha256_of(file)) for word in words]
    with nginx(folder) as process:
        touch_memory(file)
        _, took = timed(command, [process.pid])
    same(file, folder / "got")
    return {"get": took}


def curl_copy(work, folder, file):
    return over_http(work, folder, file, ["curl", "-sk", "-o", "{folder}/got", "https://127.0.0.1:28443/file"])


def aria2_copy(work, folder, file):
    words = ["aria2c", "--no-conf", "-q", "-x4", "-s4", "--file-allocation=none", "--checksum=sha-256={sha256}"]
    return over_http(work, folder, file, [*words, "-d", "{folder}", "-o", "got", "http://127.0.0.1:28080/file"])


def rsync_copy(_, folder, file):
    (folder / "www").mkdir(parents=True)
    os.link(file, folder / "www/file")
    (folder / "rsyncd.conf").write_text(
        f"use chroot = no\npid file = {folder}/pid\n[m]\npath = {folder}/www\nread only = yes\nuid = root\ngid = root\n"
    )
    words = ["rsync", "--daemon", "--no-detach", "--address=127.0.0.1", "--port=28730", f"--config={folder}/rsyncd.conf"]
    with server(words, 28730) as process:
        touch_memory(file)
        _, took = timed(
            ["rsync", "--whole-file", "--inplace", "rsync://127.0.0.1:28730/m/file", str(folder / "got")], [process.pid]
        )
    same(file, folder / "got")
    return {"get": took}


def raw_tcp(_, folder, file):
    """As many bytes as the file has, from memory to memory."""
    size = file.stat().st_size
    with server(["iperf3", "-s", "-B", "127.0.0.1", "-p", "28201"], 28201) as process:
        _, took = timed(["iperf3", "-c", "127.0.0.1", "-p", "28201", "-n", str(size), "-J"], [process.pid])
    return {"get": took}


def libp2p_stream(work, folder, file):
    """As many bytes as the file has, over one encrypted stream of rust-libp2p, from memory to memory."""
    if work["stream_speed"] is None:
        raise FileNotFoundError(2, "not built", "stream_speed")
    process = subprocess.Popen([work["stream_speed"], "serve"], stdout=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().strip()
        out, _ = timed([work["stream_speed"], "send", address, str(file.stat().st_size)], [process.pid])
        return {"get": {"seconds": float(out), "cpu_s": cpu_s(process.pid)}}
    finally:
        process.kill()
        process.wait()


def openssl_hash(_, folder, file):
    return {"get": timed(["openssl", "dgst", "-sha256", str(file)])[1]}


COPIES = {
    "openssl": openssl_hash,
    "mesh": our_copy,
    "stream": libp2p_stream,
    "kubo": kubo_copy,
    "tcp": raw_tcp,
    "rsync": rsync_copy,
    "curl": curl_copy,
    "aria2": aria2_copy,
}


def attempt(copy, *words):
    try:
        return copy(*words)
    except FileNotFoundError as error:
        return {"missing": f"there is no {error.filename} here"}
    except (RuntimeError, subprocess.TimeoutExpired, OSError) as error:
        return {"missing": str(error)[:300]}


def loopback(work):
    """One file of `mebibytes`, fresh for each of `repetitions`; all take turns."""
    folder = Path(work["folder"])
    found = {name: [] for name in COPIES}
    for repetition in range(work["repetitions"]):
        file = folder / "file"
        write_random(file, work["mebibytes"])
        os.sync()
        for name, copy in COPIES.items():
            place = folder / f"{name}{repetition}"
            if found[name] and "missing" in found[name][-1]:
                continue
            found[name].append(attempt(copy, work, place, file))
            shutil.rmtree(place, ignore_errors=True)
    return {"bytes": work["mebibytes"] << 20, **found}


# ---- Over which transport.


LISTEN = {"tcp": "/ip4/127.0.0.1/tcp/0", "quic": "/ip4/127.0.0.1/udp/0/quic-v1"}


def transport_copy(work, folder, file, listen):
    """Gets one file from a holder that listens over these transports, and is met over the first of them."""
    folder.mkdir()
    nodes = []
    try:
        nodes.append(Node(work["mesh"], str(folder / "holder"), work["cache"], listen=[LISTEN[way] for way in listen]))
        sign = {"tcp": "/tcp/", "quic": "/quic-v1/"}[listen[0]]
        first = [address for address in nodes[0].addresses if sign in address][:1]
        nodes.append(Node(work["mesh"], str(folder / "getter"), work["cache"], first, listen=list(LISTEN.values())))
        holder, getter = ([work["mesh"], "--home", node.home, "assets"] for node in nodes)
        cid = timed([*holder, "add", str(file), "--visibility", "lan"])[0].strip()

        def knows():
            return subprocess.run([*getter, "find", cid], capture_output=True, check=False).returncode == 0

        wait_for(knows, "word of the file")
        touch_memory(file)
        out, took = timed([*getter, "get", cid, "--path"], [node.process.pid for node in nodes])
        same(file, out.strip())
        transfer = nodes[1].ask("GET", "/api/v1/transfers")["transfers"][0]
        return {"get": took, "came_by": {one["transport"]: one["bytes"] for one in transfer["holders"][0]["transports"]}}
    finally:
        for node in nodes:
            node.stop()


def transports(work):
    """One file of `mebibytes`, fresh for each of `repetitions`, over TCP, over QUIC, and by choice; they take turns."""
    folder = Path(work["folder"])
    found = {"tcp": [], "quic": [], "choice": []}
    for repetition in range(work["repetitions"]):
        file = folder / "file"
        write_random(file, work["mebibytes"])
        os.sync()
        for name, runs in found.items():
            place = folder / f"{name}{repetition}"
            runs.append(attempt(transport_copy, work, place, file, ("tcp", "quic") if name == "choice" else (name,)))
            shutil.rmtree(place, ignore_errors=True)
    return {"bytes": work["mebibytes"] << 20, **found}


# ---- Many small files.


def small(work):
    """A folder of `small_files` files. Kubo is given `patience` times as long as ours took."""
    folder = Path(work["folder"])
    small_files(folder / "tree", work["small_files"])
    with Ours(work, folder / "mesh", 2) as ours:
        cid, added = ours.add(0, folder / "tree")
        _, got = timed(ours.command(1, "get", cid, "-o", folder / "got"), ours.pids())
        same_tree(folder / "tree", folder / "got")
    shutil.rmtree(folder / "got")
    figures = {"files": work["small_files"], "mesh": {"add": added, "get": got}}

    def kubo():
        with Kubo(work["ipfs"], folder / "kubo") as daemons:
            root, their_add = daemons.timed(0, "add", "-rQ", str(folder / "tree"))
            if root.strip() != cid:
                raise RuntimeError(f"Kubo calls the folder {root.strip()}, we {cid}")
            limit_s = max(30.0, work["patience"] * got["seconds"])
            try:
                _, their_get = daemons.timed(1, "get", "-o", str(folder / "got"), cid, limit_s=limit_s)
                same_tree(folder / "tree", folder / "got")
            except subprocess.TimeoutExpired:
                their_get = {"more_than_s": limit_s}
            return {"add": their_add, "get": their_get}

    figures["kubo"] = attempt(kubo)
    return figures


def refresh(work):
    """A share of `small_files` files that nobody has changed, looked at again; `find` beside it, which stats each too."""
    folder = Path(work["folder"])
    small_files(folder / "tree", work["small_files"])
    with contextlib.closing(Stopping(work, folder / "home", ["--share", str(folder / "tree")])) as stopping:
        command = [work["mesh"], "--home", stopping.node.home, "assets", "refresh", "--json"]
        first = json.loads(timed(command)[0])
        if first["files"] != work["small_files"]:
            raise RuntimeError(f"of the share {first['files']} files were found")
        runs, finds = [], []
        for _ in range(work["repetitions"]):
            out, took = timed(command, [stopping.node.process.pid])
            if json.loads(out)["read_files"] != 0:
                raise RuntimeError("a file that nobody changed was read again")
            runs.append(took)
            finds.append(timed(["find", str(folder / "tree"), "-type", "f", "-printf", "%s %T@\n"])[1])
        return {"files": work["small_files"], "mesh": runs, "find": finds}


class Stopping:
    def __init__(self, work, home, flags):
        self.node = Node(work["mesh"], str(home), work["cache"], flags=flags)

    def close(self):
        self.node.stop()


def large(work):
    """The memory of both ends of a transfer of `large_mebibytes`."""
    folder = Path(work["folder"])
    write_random(folder / "file", work["large_mebibytes"])
    return {"bytes": work["large_mebibytes"] << 20, "mesh": our_copy(work, folder / "mesh", folder / "file")}


# ---- Links.


class Elsewhere:
    """A node on a machine of its own."""

    def __init__(self, work, machine, home, address, join=()):
        flags = ["--listen", f"/ip4/{address}/tcp/4001"]
        words = [work["mesh"], "up", "--home", str(home), "--cache", work["cache"], "--no-mdns", "--json"]
        words += ["--api", "127.0.0.1:0", *flags, *(word for one in join for word in ("--join", one))]
        log = open(f"{home}.log", "wb")  # noqa: SIM115 (the node's, for its life)
        self.machine, self.home, self.mesh = machine, home, work["mesh"]
        self.process = subprocess.Popen([*machine.enter, *words], stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a node did not start: {Path(f'{home}.log').read_text()[-300:]}")
        self.address = next(one for one in json.loads(line)["addresses"] if address in one)

    def assets(self, *words):
        return timed([*self.machine.enter, self.mesh, "--home", str(self.home), "assets", *map(str, words)])

    def count_holders(self, cid):
        with contextlib.suppress(RuntimeError):  # It says so by its exit code that nobody has it.
            return len(json.loads(self.assets("find", cid, "--json")[0]))
        return 0

    def stop(self):
        self.process.terminate()
        self.process.wait()


def get_from(getter, file, cid, holders):
    wait_for(lambda: getter.count_holders(cid) == holders, f"word of {holders} holders")
    out, took = getter.assets("get", cid, "--path")
    same(file, out.strip())
    return took


def holders(work):
    """A file of `link_mebibytes` from one holder and from four, each behind a link of 100 Mbit/s."""
    folder = Path(work["folder"])
    run("ip", "link", "add", "br0", "type", "bridge")
    run("ip", "link", "set", "br0", "up")
    figures = {"bytes": work["link_mebibytes"] << 20}
    file = folder / "file"
    write_random(file, work["link_mebibytes"])
    machines = []
    for number in range(5):
        machine = Machine()
        machines.append(machine)
        machine.plug("eth0", f"10.77.0.{number + 1}/24", "br0", f"port{number}")
        if number > 0:
            machine.run("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "100mbit", "burst", "64kb", "latency", "50ms")
    for count in (1, 4):
        nodes = []
        try:
            for number in range(1, count + 1):
                node = Elsewhere(work, machines[number], folder / f"{count}-{number}", f"10.77.0.{number + 1}")
                nodes.append(node)
                cid = node.assets("add", file, "--visibility", "lan")[0].strip()
            getter = Elsewhere(work, machines[0], folder / f"{count}-0", "10.77.0.1", [node.address for node in nodes])
            nodes.append(getter)
            figures[str(count)] = get_from(getter, file, cid, count)
        finally:
            for node in nodes:
                node.stop()
    return figures


def delay(work):
    """A file of `link_mebibytes` over a link with a round trip of 60 ms, and iperf3 over the same."""
    folder = Path(work["folder"])
    file = folder / "file"
    write_random(file, work["link_mebibytes"])
    ends = [Machine(), Machine()]
    figures = {"bytes": work["link_mebibytes"] << 20, "iperf3_bytes_per_s": []}
    with Delay(ends, ["10.78.0.1", "10.78.0.2"], work["round_trip_ms"]):
        holder = getter = server_process = None
        try:
            ping = timed([*ends[0].enter, "ping", "-c", "5", "-i", "0.2", "10.78.0.2"])[0]
            figures["ping_ms"] = float(re.search(r"= [\d.]+/([\d.]+)/", ping)[1])
            server_process = subprocess.Popen([*ends[1].enter, "iperf3", "-s"], stdout=subprocess.DEVNULL)
            time.sleep(0.5)

            def iperf3():
                # From the other end to this one, as the file goes.
                words = ["iperf3", "-c", "10.78.0.2", "-R", "-n", str(figures["bytes"]), "-J"]
                end = json.loads(timed([*ends[0].enter, *words])[0])["end"]
                figures["iperf3_bytes_per_s"].append(end["sum_received"]["bits_per_second"] / 8)

            iperf3()
            holder = Elsewhere(work, ends[1], folder / "holder", "10.78.0.2")
            cid = holder.assets("add", file, "--visibility", "everybody")[0].strip()
            getter = Elsewhere(work, ends[0], folder / "getter", "10.78.0.1", [holder.address])
            figures["mesh"] = get_from(getter, file, cid, 1)
            iperf3()
        finally:
            for node in (holder, getter):
                if node is not None:
                    node.stop()
            if server_process is not None:
                server_process.terminate()
                server_process.wait()
    return figures


if __name__ == "__main__":
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    parts = {"loopback": loopback, "transports": transports, "small": small, "large": large, "refresh": refresh, "holders": holders, "delay": delay}
    json.dump(parts[sys.argv[1]](json.load(sys.stdin)), results)
    results.close()

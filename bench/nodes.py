"""Real nodes on loopback for the benchmarks, and one job at a time through the API of one of them."""

import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path


class JobFailed(RuntimeError):
    """What a job came to instead of what it was to be."""


class Events:
    """The events' WebSocket: as much of RFC 6455 as a reader of small text frames needs."""

    def __init__(self, host, port, token):
        self.sock = socket.create_connection((host, port), timeout=120)
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall(
            f"GET /api/v1/events HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: meshwork.v1\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        self.stream = self.sock.makefile("rb")
        status = self.stream.readline().decode().strip()
        if " 101 " not in status:
            raise RuntimeError(f"the events' WebSocket was refused: {status}")
        while self.stream.readline().strip():
            pass

    def next(self):
        text = b""
        while True:
            first, length = self.stream.read(2)
            if length & 0x80:
                raise RuntimeError("a server masked a frame")
            if length == 126:
                length = int.from_bytes(self.stream.read(2), "big")
            elif length == 127:
                length = int.from_bytes(self.stream.read(8), "big")
            payload = self.stream.read(length)
            kind = first & 0x0F
            if kind == 8:
                raise RuntimeError("the node closed the events' WebSocket")
            if kind == 9:  # ping: answered, masked by zeros
                self.sock.sendall(bytes([0x8A, 0x80 | length]) + bytes(4) + payload)
            if kind in (0, 1):
                text += payload
                if first & 0x80:
                    return json.loads(text)

    def close(self):
        self.stream.close()
        self.sock.close()


class Node:
    """`mesh up` with a home of its own; the compiled code is shared."""

    def __init__(self, mesh, home, cache, join=(), flags=(), listen=("/ip4/127.0.0.1/tcp/0",)):
        self.command = [
            mesh,
            "up",
            "--home",
            home,
            "--cache",
            cache,
            "--no-mdns",
            "--json",
            "--api",
            "127.0.0.1:0",
            *(word for address in listen for word in ("--listen", address)),
            *flags,
            *(word for address in join for word in ("--join", address)),
        ]
        self.home = home
        with open(Path(home).with_suffix(".log"), "ab") as log:
            begin = time.perf_counter()
            self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=log)
        line = self.process.stdout.readline()
        self.speaks_s = time.perf_counter() - begin
        if not line:
            raise RuntimeError(f"a node did not start: {self.process.communicate()}")
        facts = json.loads(line)
        self.addresses = facts["addresses"]
        link, self.token = facts["api"].split("/#token=")
        self.host, port = link.removeprefix("http://").split(":")
        self.port = int(port)
        self.api = http.client.HTTPConnection(self.host, self.port, timeout=600)
        self.ask("GET", "/api/v1/node")
        self.answers_s = time.perf_counter() - begin

    def ask(self, method, path, body=None):
        headers = {"Authorization": "Bearer " + self.token}
        if body is not None:
            headers["Content-Type"] = "application/json"
        self.api.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self.api.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {content.decode()}")
        return content if path.partition("?")[0].endswith("/result") else json.loads(content)

    def memory_mb(self):
        wanted = ("VmRSS", "VmHWM", "RssAnon", "RssFile")
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return {name: int(fields[name].split()[0]) / 1024 for name in wanted}

    def forget_peak_memory(self):
        """From now on VmHWM is the peak since this moment."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def stop(self):
        self.api.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


@contextlib.contextmanager
def mesh_of(mesh, count, folder, cache):
    """Nodes that all know each other and what each can do."""
    nodes = []
    folder.mkdir(exist_ok=True)
    try:
        for i in range(count):
            nodes.append(Node(mesh, str(folder / f"node{i}"), cache, [node.addresses[0] for node in nodes]))
        limit = time.monotonic() + 60
        for node in nodes:
            while (
                sum(peer["connected"] and peer["resources"] is not None for peer in node.ask("GET", "/api/v1/peers"))
                < count - 1
            ):
                if time.monotonic() > limit:
                    raise RuntimeError("the nodes did not find each other within a minute")
                time.sleep(0.1)
        yield nodes
    finally:
        for node in nodes:
            node.stop()


def through_api(node, events, task):
    """Seconds from the request to the result in hand, and the moments between by what happened."""
    node.api.close()  # an idle one may have been closed by the node
    begin = time.perf_counter()
    job = node.ask("POST", "/api/v1/tasks", task)["id"]
    moments = {"accepted": time.perf_counter() - begin}
    while True:
        event = events.next()
        now = time.perf_counter() - begin
        if event.get("job") != job:
            continue
        name = event["kind"] + (" " + event["phase"] if event["kind"] == "job.phase" else "")
        moments.setdefault(name, now)  # the first and the last of each kind
        moments[name + " (last)"] = now
        if event["kind"] == "job.done":
            break
    result = node.ask("GET", f"/api/v1/tasks/{job}/result")
    moments["result"] = time.perf_counter() - begin
    view = node.ask("GET", f"/api/v1/tasks/{job}")
    if view["unverified"] or view["phase"] != "done" or result != b"hello\n":
        raise JobFailed(
            f"the job is {view['phase']}, unverified: {view['unverified']}, with {result!r}: {view.get('failure')}"
        )
    return moments


def many_shards(node, source, inputs, verifiers, **more):
    """Seconds from the request until it was answered and until the job had ended, done as it was asked for; and its
    id."""
    task = {
        "function": {"language": "wat", "source": source},
        "map": True,
        "inputs": [{"text": text} for text in inputs],
        "verifiers": verifiers,
        **more,
    }
    node.api.close()
    begin = time.perf_counter()
    job = node.ask("POST", "/api/v1/tasks", task)["id"]
    accepted = time.perf_counter() - begin
    while True:
        view = node.ask("GET", f"/api/v1/tasks/{job}")
        if view["ended"]:
            break
        time.sleep(0.005)
    seconds = time.perf_counter() - begin
    if view["phase"] != "done" or bool(view["unverified"]) != (verifiers == 0):
        raise JobFailed(
            f"a job of {len(inputs)} shards is {view['phase']}: {view.get('failure') or 'not as it was asked for'}"
        )
    return accepted, seconds, job


def did_of(mesh, home):
    done = subprocess.run([mesh, "--home", home, "node", "id", "--json"], capture_output=True, check=True)
    return json.loads(done.stdout)["did"]


def until(condition, what, limit_s=60):
    limit = time.monotonic() + limit_s
    while not (value := condition()):
        if time.monotonic() > limit:
            raise RuntimeError(f"not within {limit_s} s: {what}")
        time.sleep(0.05)
    return value


@contextlib.contextmanager
def federation_of(mesh, founders, members, folder, cache, flags=(), gift=0):
    """Nodes of a new federation that all know each other and have its ledger: founders, who validate, and members with
    a gift of so many micro-credits."""
    nodes = []
    folder.mkdir(exist_ok=True)
    homes = [str(folder / f"node{i}") for i in range(founders + members)]
    others = [word for home in homes[1:founders] for word in ("--founder", did_of(mesh, home))]
    did_of(mesh, homes[0])
    subprocess.run([mesh, "--home", homes[0], "federation", "found", "bench", *others], capture_output=True, check=True)
    try:
        for i, home in enumerate(homes):
            terms = {"credits": gift} if i >= founders else {}
            token = [nodes[0].ask("POST", "/api/v1/invitations", terms)["token"]] if nodes else []
            addresses = [node.addresses[0] for node in nodes]
            nodes.append(Node(mesh, home, cache, [*token, *addresses], flags))
        for node in nodes:
            until(
                lambda node=node: (
                    sum(peer["connected"] and peer["resources"] is not None for peer in node.ask("GET", "/api/v1/peers"))
                    >= len(nodes) - 1
                ),
                "the nodes of a federation know each other",
            )
        # Each validator's first transaction is one that nobody asked for.
        for node in nodes:
            until(
                lambda node=node: node.ask("GET", "/api/v1/ledger/accounts/self")["sequence"] >= (node in nodes[:founders])
                and node.ask("GET", "/api/v1/ledger/accounts/self")["exists"]
                and node.ask("GET", "/api/v1/ledger")["waiting"] == 0,
                "each node of a federation has its account",
            )
        yield nodes
    finally:
        for node in nodes:
            node.stop()

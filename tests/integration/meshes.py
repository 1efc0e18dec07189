"""Meshes of real processes on loopback for the integration tests. MESH names the program, MESH_LIAR the node that lies.

Every process is a child of this one, and only these are ever ended."""

import base64
import ctypes
import hashlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import unittest
from collections import deque
from pathlib import Path

MESH = os.environ["MESH"]
LIAR = os.environ["MESH_LIAR"]
HERE = Path(__file__).resolve().parent
COLLATZ = HERE.parent.parent / "examples/collatz/collatz.wasm"
# Compiled code is the only thing that the nodes share: else each of them would compile the same module again.
CACHE = Path(os.environ.get("MESH_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "meshwork")


PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)


def die_with_parent():
    """In the child: a node never outlives this program, however that ends."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def environment():
    kept = ("MESH_CACHE", "MESH_RUNTIMES_DIR")
    return {name: value for name, value in os.environ.items() if not name.startswith("MESH") or name in kept}


def until(condition, what, limit_s=60):
    """Asks again and again until the condition holds; an AssertionError says what did not come to be in time."""
    pause = threading.Event()
    for _ in range(limit_s * 20):
        value = condition()
        if value:
            return value
        pause.wait(0.05)
    raise AssertionError(f"not within {limit_s} s: {what}")


def collatz_truth(shards, width):
    """What collatz.wasm answers for the inputs "k+1 k+width": the first start of the longest sequence in each window."""
    known = {1: 1}
    lengths = [0]
    for start in range(1, shards + width + 1):
        value, path = start, []
        while value not in known:
            path.append(value)
            value = value // 2 if value % 2 == 0 else 3 * value + 1
        length = known[value]
        for value in reversed(path):
            length += 1
            if value <= 1 << 20:
                known[value] = length
        lengths.append(known[start])
    truth, best = [], deque()  # Starts of which no later one in the window is longer, longest first.
    for start in range(1, shards + width):
        while best and lengths[best[-1]] < lengths[start]:
            best.pop()
        best.append(start)
        if start >= width:
            while best[0] <= start - width:
                best.popleft()
            truth.append(f"{best[0]} {lengths[best[0]]}\n".encode())
    return truth


def raw_cid(content):
    """The CIDv1 (raw, sha2-256, base32) of a file of one block."""
    return "b" + base64.b32encode(b"\x01\x55\x12\x20" + hashlib.sha256(content).digest()).decode().lower().rstrip("=")


def collatz_inputs(shards, width):
    return [f"{k + 1} {k + width}" for k in range(shards)]


class Process:
    """A node, with what its API says, if it has one. `facts` is the line that it prints once it listens."""

    def __init__(self, command, home):
        self.home = Path(home)
        self.log = open(f"{home}.log", "ab")  # noqa: SIM115, closed by end()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, env=environment(), preexec_fn=die_with_parent)  # noqa: PLW1509, no threads here
        line = self.process.stdout.readline()
        if not line:
            self.end()
            raise RuntimeError(f"{command[0]} did not start: " + Path(f"{home}.log").read_text()[-2000:])
        self.facts = json.loads(line)
        self.address = self.facts["addresses"][0]
        self.peer = self.address.split("/p2p/")[1]
        if "api" in self.facts:
            base, self.token = self.facts["api"].split("/#token=")
            self.authority = base.removeprefix("http://")

    @property
    def short(self):
        return self.peer[-8:]

    def end(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.authority, timeout=60)
        headers = {"Authorization": "Bearer " + self.token}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {data[:500]!r}")
        return json.loads(data) if response.getheader("Content-Type", "").startswith("application/json") else data

    def knows(self, count):
        peers = self.ask("GET", "/api/v1/peers")
        return sum(1 for peer in peers if peer["connected"] and peer["resources"]) >= count

    def submit(self, function, inputs, **more):
        body = {"function": function, "inputs": [{"text": text} for text in inputs], "map": True, **more}
        return self.ask("POST", "/api/v1/tasks", body)["id"]

    def job(self, job):
        return self.ask("GET", f"/api/v1/tasks/{job}")

    def wait(self, job, limit_s):
        """The job's view once it has ended; in the error is what it waits for."""
        try:
            return until(lambda: (view := self.job(job))["ended"] and view, f"the end of job {job}", limit_s)
        except AssertionError as error:
            view = self.job(job)
            open_shards = [row for row in self.shards(job, view["shards"]) if row["state"] not in ("accepted", "unverified")]
            raise AssertionError(f"{error}; {view}; {len(open_shards)} open, such as {open_shards[:3]}") from None

    def shards(self, job, count):
        rows = []
        while len(rows) < count:
            rows += self.ask("GET", f"/api/v1/tasks/{job}/shards?first={len(rows)}&count={min(1000, count - len(rows))}")
        return rows

    def result(self, job, shard):
        return self.ask("GET", f"/api/v1/tasks/{job}/result?shard={shard}")


class Node(Process):
    """`mesh up`. `enter`: the words that lead to where it runs, if that is not here."""

    def __init__(self, home, joins=(), flags=(), enter=(), listen=("/ip4/127.0.0.1/tcp/0",)):
        self.enter = enter
        command = [*enter, MESH, "up", "--home", str(home), "--cache", str(CACHE), "--no-mdns", "--api", "127.0.0.1:0", "--json", *flags]
        for address in listen:
            command += ["--listen", address]
        for address in joins:
            command += ["--join", address]
        super().__init__(command, home)

    def add(self, content):
        return self.mesh("assets", "add", content).decode().strip()

    def mesh(self, *words):
        """A command of the command line, for this node: its output."""
        done = subprocess.run([*self.enter, MESH, "--home", str(self.home), *map(str, words)], capture_output=True, env=environment(), check=False)
        if done.returncode != 0:
            raise RuntimeError(f"mesh {words}: exit code {done.returncode}: {done.stderr.decode()}")
        return done.stdout


class Liar(Process):
    def __init__(self, home, mode, joins=(), slots=1, partner=None, flags=()):
        command = [LIAR, mode, "--home", str(home), "--cache", str(CACHE), "--slots", str(slots), *flags]
        if partner:
            command += ["--partner", partner.peer]
        for address in joins:
            command += ["--join", address]
        super().__init__(command, home)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="mesh-integration-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.nodes = []

    def say(self, text):
        print(f"\n    {self.id().split('.')[-1]}: {text}", flush=True)

    def started(self, node):
        self.addCleanup(node.end)
        self.nodes.append(node)
        return node

    def honest(self, count, *flags):
        """So many nodes more, each joined to all that are there."""
        return [
            self.started(Node(self.folder / f"node{len(self.nodes)}", [node.address for node in self.nodes], ("--slots", "1", *flags)))
            for _ in range(count)
        ]

    def liars(self, *modes, slots=1):
        """One of each mode; "backs" backs the first of them."""
        liars = []
        for mode in modes:
            joins = [node.address for node in self.nodes]
            partner = liars[0] if mode == "backs" else None
            liars.append(self.started(Liar(self.folder / f"node{len(self.nodes)}", mode, joins, slots, partner)))
        return liars

    def all_meet(self, *observers):
        for node in observers or [node for node in self.nodes if isinstance(node, Node)]:
            until(lambda node=node: node.knows(len(self.nodes) - 1), f"{node.home.name} sees all {len(self.nodes) - 1} others")


IDLE = ("--slots", "1", "--no-work")


class Federation(Case):
    """Nodes of a federation with a ledger, known by their numbers."""

    def home(self, number):
        return self.folder / f"node{number}"

    def run_mesh(self, number, *words):
        """A command with a home in which no node need run: exit code, output, errors."""
        done = subprocess.run([MESH, "--home", str(self.home(number)), *map(str, words)], capture_output=True, env=environment(), check=False)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def did(self, number):
        return json.loads(self.run_mesh(number, "node", "id", "--json")[1])["did"]

    def write_charter(self, count):
        """So many founders, each a validator with one vote; none of them is up."""
        others = [word for number in range(1, count) for word in ("--founder", self.did(number))]
        code, _, errors = self.run_mesh(0, "federation", "found", "town", *others)
        self.assertEqual(code, 0, errors)

    def found(self, count):
        """The same, all of them up."""
        self.write_charter(count)
        self.up(0)
        token = self.token(uses=1)
        for number in range(1, count):
            self.up(number, token)
        return token

    def up(self, number, *joins, flags=IDLE):
        """Starts a node, or starts it again."""
        return self.place(number, Node(self.home(number), [*joins, *self.others(number)], flags))

    def others(self, number):
        return [other.address for place, other in enumerate(self.nodes) if place != number]

    def place(self, number, node):
        self.addCleanup(node.end)
        self.nodes[number:number + 1] = [node]
        return node

    def kill(self, number):
        self.nodes[number].end(signal.SIGKILL)

    def token(self, **terms):
        return self.nodes[0].ask("POST", "/api/v1/invitations", terms)["token"]

    def ledger(self, number):
        return self.nodes[number].ask("GET", "/api/v1/ledger")

    def balance(self, number, did):
        return int(self.nodes[number].ask("GET", f"/api/v1/ledger/accounts/{did}")["balance"])

    def chain(self, number):
        """The names of all final blocks, by height."""
        names, before = {}, None
        while True:
            page = self.nodes[number].ask("GET", "/api/v1/ledger/blocks?limit=100" + (f"&before={before}" if before else ""))
            names.update({block["height"]: block["cid"] for block in page["blocks"]})
            before = page["next"]
            if before is None:
                return names

    def agree(self, numbers, at_least):
        """All have the same chain, which is so high; it is given back."""
        for number in numbers:
            until(lambda number=number: self.ledger(number)["durable_height"] >= at_least, f"node {number} is at height {at_least}")
        chains = [self.chain(number) for number in numbers]
        common = min(max(chain) for chain in chains)
        for chain in chains[1:]:
            self.assertEqual([chain[height] for height in range(1, common + 1)], [chains[0][height] for height in range(1, common + 1)])
        return chains[0]

    def verify(self, number):
        """Of a home whose node is stopped."""
        code, output, errors = self.run_mesh(number, "ledger", "verify", "--json")
        self.assertEqual(code, 0, errors)
        report = json.loads(output)
        self.assertTrue(report["valid"])
        return report

    def account(self, number):
        return self.nodes[number].ask("GET", "/api/v1/ledger/accounts/self")

    def worth(self, number):
        """Balance and bond, in micro-credits."""
        account = self.account(number)
        return int(account["balance"]) + int(account["bonded"])

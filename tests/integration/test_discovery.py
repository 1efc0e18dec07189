"""Nodes that know nothing of each other meet by mDNS, on a network that exists only for this test.

Each node is a machine of its own: a network namespace with a link to a bridge, below a namespace without any way out. So
nothing that they send leaves this test, and nothing on the real network reaches them."""

import hashlib
import json
import random
import signal
import subprocess
import time
from pathlib import Path

from machines import Lan, main, needs_walls
from meshes import CACHE, MESH, Case, Process, die_with_parent, environment, until

PATIENCE_S = 30


class Stranger(Process):
    """`mesh up` as a person types it: no --join."""

    def __init__(self, machine, home, federation):
        self.machine = machine
        super().__init__([*machine.enter, MESH, "up", "--home", str(home), "--cache", str(CACHE), "--slots", "1",
                          "--listen", "/ip4/0.0.0.0/tcp/0", "--api", "127.0.0.1:0", "--federation", federation, "--json"], home)

    def peers(self):
        """What `mesh peers` says, by PeerId."""
        words = [*self.machine.enter, MESH, "--home", str(self.home), "peers", "--json"]
        done = subprocess.run(words, capture_output=True, env=environment(), check=True)
        return {peer["peer"]: peer for peer in json.loads(done.stdout)}

    def connected(self, other):
        peer = self.peers().get(other.peer)
        return peer if peer and peer["connected"] and peer["agent"] else None

    def works_with(self, other):
        """Knows what the other could do for it: only members of one federation tell each other."""
        peer = self.connected(other)
        return peer if peer and peer["resources"] else None


class Launched:
    """A node as ZephyMesh's launcher starts it, by a user with a home of his own: no argument, no setting, only a project's
    folder with a staticmodelpool."""

    def __init__(self, machine, folder):
        self.machine = machine
        self.project = folder / "project"
        self.pool = self.project / "staticmodelpool"
        self.pool.mkdir(parents=True)
        self.environment = environment() | {"HOME": str(folder)}
        self.log = open(folder / "log", "ab")  # noqa: SIM115, closed by end()
        program = Path(MESH).with_name("zephymesh_node")
        self.process = subprocess.Popen([*machine.enter, program], cwd=self.project, env=self.environment, stdout=self.log,
                                        stderr=self.log, preexec_fn=die_with_parent)  # noqa: PLW1509, no threads here
        until((self.project / "zephymesh_ports.json").exists, "the ports file", PATIENCE_S)

    def mesh(self, *words):
        return subprocess.run([*self.machine.enter, MESH, *map(str, words)], capture_output=True, env=self.environment, check=False)

    def told(self, *words):
        done = self.mesh(*words, "--json")
        return json.loads(done.stdout) if done.returncode == 0 else []

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.log.close()


@needs_walls
class Discovery(Lan, Case):
    def stranger(self, name, federation):
        return self.started(Stranger(self.machine(), self.folder / name, federation))

    def launched(self, name):
        (self.folder / name).mkdir()
        node = Launched(self.machine(), self.folder / name)
        self.addCleanup(node.end)
        return node

    def test_a_model_put_into_the_pool_is_found_fetched_and_served_on(self):
        nodes = one, two, three = [self.launched(name) for name in ("one", "two", "three")]
        for node in nodes:
            until(lambda node=node: sum(peer["connected"] for peer in node.told("peers")) == 2, "all know each other", PATIENCE_S)
        content = random.Random(1).randbytes(3_000_001)
        (one.pool / "tiny.gguf").write_bytes(content)
        self.assertEqual(one.mesh("assets", "refresh").returncode, 0)
        begin = time.monotonic()
        until(lambda: two.told("assets", "find", "tiny.gguf"), "the second node hears of the file", PATIENCE_S)
        self.say(f"found by its name {time.monotonic() - begin:.2f} s after the refresh, at {two.told('assets', 'find', 'tiny.gguf')[0]['peer'][-8:]}")
        done = two.mesh("assets", "get", "tiny.gguf", "--path")
        self.assertEqual(done.returncode, 0, done.stderr)
        place = Path(done.stdout.decode().strip())
        self.assertEqual(hashlib.sha256(place.read_bytes()).digest(), hashlib.sha256(content).digest())
        until(lambda: len(three.told("assets", "find", "tiny.gguf")) == 2, "the third node hears of both holders", PATIENCE_S)
        one.end()
        until(lambda: len(three.told("assets", "find", "tiny.gguf")) == 1, "the first holder is gone from the list", PATIENCE_S)
        copy = self.folder / "copy.gguf"
        done = three.mesh("assets", "get", "tiny.gguf", "-o", copy)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(copy.read_bytes(), content)

    def test_two_nodes_find_each_other(self):
        one = self.stranger("one", "home")
        two = self.stranger("two", "home")
        until(lambda: one.works_with(two) and two.works_with(one), "the two nodes work with each other", PATIENCE_S)
        seen = {one: one.peers()[two.peer], two: two.peers()[one.peer]}
        self.say(", ".join(f"{node.home.name}: {peer['found']} at {peer['address']}" for node, peer in seen.items()))
        # Whoever dialed, and it may have been both, knew the address by mDNS; there is nobody else who could have told.
        self.assertIn("mdns", [peer["found"] for peer in seen.values()])
        for node, peer in seen.items():
            self.assertIn(peer["found"], ("mdns", "inbound"))
            self.assertTrue(peer["address"].startswith("/ip4/10.11.12."), peer)
            table = subprocess.run([*node.machine.enter, MESH, "--home", str(node.home), "peers"], capture_output=True, text=True, env=environment(), check=True)
            self.assertIn(peer["found"], table.stdout)

    def test_another_federation_is_met_but_not_joined(self):
        one = self.stranger("one", "home")
        foreign = self.stranger("foreign", "elsewhere")
        until(lambda: one.connected(foreign) and foreign.connected(one), "the first node and the foreigner are connected", PATIENCE_S)
        # Members know what each other could do as soon as they have met: had the foreigner been one, so would it by then.
        two = self.stranger("two", "home")
        until(lambda: one.works_with(two) and two.works_with(one), "the members work with each other", PATIENCE_S)
        until(lambda: two.connected(foreign) and foreign.connected(two), "the second node and the foreigner are connected", PATIENCE_S)
        for member in (one, two):
            self.assertIsNone(member.peers()[foreign.peer]["resources"])
            self.assertIsNone(foreign.peers()[member.peer]["resources"])


if __name__ == "__main__":
    main()

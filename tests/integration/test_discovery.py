"""Nodes that know nothing of each other meet by mDNS, on a network that exists only for this test.

Each node is a machine of its own: a network namespace with a link to a bridge, below a namespace without any way out. So
nothing that they send leaves this test, and nothing on the real network reaches them."""

import json
import subprocess

from machines import Machine, main, needs_walls, run
from meshes import CACHE, MESH, Case, Process, environment, until

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


@needs_walls
class Discovery(Case):
    def setUp(self):
        super().setUp()
        run("ip", "link", "add", "lan0", "type", "bridge")
        run("ip", "link", "set", "lan0", "up")
        self.addCleanup(run, "ip", "link", "delete", "lan0")

    def stranger(self, name, federation):
        machine = Machine()
        self.addCleanup(machine.end)
        number = len(self.nodes) + 1
        machine.plug("lan", f"10.11.12.{number}/24", "lan0", f"port{number}")
        return self.started(Stranger(machine, self.folder / name, federation))

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

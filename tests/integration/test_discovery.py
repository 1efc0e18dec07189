"""Nodes that know nothing of each other meet by mDNS, on a network that exists only for this test.

Each node is a machine of its own: a network namespace with a link to a bridge, below a namespace without any way out. So
nothing that they send leaves this test, and nothing on the real network reaches them."""

import json
import os
import subprocess
import sys
import unittest

from meshes import CACHE, MESH, Case, Process, environment, until

INSIDE = "MESH_DISCOVERY_INSIDE"
# With a user namespace anybody may; where that is forbidden, root may without one.
WALLS = (["unshare", "--user", "--map-root-user", "--net"], ["unshare", "--net"])
PATIENCE_S = 30


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")


def why_no_walls():
    """Tries what the network below needs, and says what is missing; with the wall that works."""
    reasons = []
    for wall in WALLS:
        trial = "ip link add br0 type bridge && ip link add a0 type veth peer name b0 && unshare --net true"
        try:
            done = subprocess.run([*wall, "sh", "-c", trial], capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            return None, f"no {error.filename} here"
        if done.returncode == 0:
            return wall, ""
        reasons.append(done.stderr.strip().replace("\n", "; "))
    return None, "no network namespaces here: " + " / ".join(reasons)


class Machine:
    """A network namespace on the bridge; it lives as long as the process that holds it."""

    def __init__(self, number):
        self.holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.holder.stdout.readline()  # From now on the namespace is there.
        run("ip", "link", "add", f"port{number}", "type", "veth", "peer", "name", "lan", "netns", str(self.holder.pid))
        run("ip", "link", "set", f"port{number}", "master", "lan0", "up")
        for words in (("link", "set", "lo", "up"), ("addr", "add", f"10.11.12.{number}/24", "dev", "lan"), ("link", "set", "lan", "up")):
            run(*self.enter, "ip", *words)

    @property
    def enter(self):
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net"]

    def end(self):
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()


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


@unittest.skipUnless(os.environ.get(INSIDE) == "yes", os.environ.get(INSIDE, "") or "not started by its own main program")
class Discovery(Case):
    def setUp(self):
        super().setUp()
        run("ip", "link", "add", "lan0", "type", "bridge")
        run("ip", "link", "set", "lan0", "up")
        self.addCleanup(run, "ip", "link", "delete", "lan0")

    def stranger(self, name, federation):
        machine = Machine(len(self.nodes) + 1)
        self.addCleanup(machine.end)
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
    if INSIDE not in os.environ:
        wall, why = why_no_walls()
        environ = os.environ | {INSIDE: "yes" if wall else why}
        command = [*(wall or []), sys.executable, *sys.argv]
        os.execvpe(command[0], command, environ)
    unittest.main()

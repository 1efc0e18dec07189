"""Nodes behind two different NATs reach each other, with nothing but the address of a node that both can dial.

Three machines on a network of public addresses, which exists only for this test (machines.py): a relay, and two routers
that translate addresses as home routers do (nftables masquerade; what nobody inside asked for is dropped). Behind each
router is a node at the same private address. What the routers do with ports decides which way is taken."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

from machines import TRIAL, Machine, main, needs_walls, run
from meshes import CACHE, MESH, Case, Process, environment, until

PATIENCE_S = 150
RULES = """
table ip nat {{
  chain out {{
    type nat hook postrouting priority srcnat;
    oifname "wan" masquerade {ports}
  }}
}}
table ip guard {{
  chain to_router {{
    type filter hook input priority filter; policy drop;
    ct state established,related accept
  }}
  chain through {{
    type filter hook forward priority filter; policy drop;
    iifname "lan" accept
    ct state established,related accept
  }}
}}
"""
# Linux gives a connection the port that it has inside, if that is free, whomever it goes to; or else one by chance each time.
SAME_PORT, RANDOM_PORTS = "", "fully-random"
RELAY, LISTEN = "11.0.0.2", ("/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1")


class Behind(Process):
    """`mesh up` on a machine of its own, joined to the addresses."""

    def __init__(self, machine, home, joins=()):
        self.machine = machine
        command = [*machine.enter, MESH, "up", "--home", str(home), "--cache", str(CACHE), "--slots", "1", "--no-mdns",
                   "--api", "127.0.0.1:0", "--federation", "home", "--json"]
        for address in LISTEN:
            command += ["--listen", address]
        for address in joins:
            command += ["--join", address]
        super().__init__(command, home)

    def mesh(self, *words):
        done = subprocess.run([*self.machine.enter, MESH, "--home", str(self.home), *map(str, words)], capture_output=True, env=environment(), check=False)
        if done.returncode != 0:
            raise RuntimeError(f"mesh {words}: exit code {done.returncode}: {done.stderr.decode()}")
        return done.stdout

    def reach(self):
        return json.loads(self.mesh("node", "status", "--json"))["reach"]

    def held(self):
        """The relays that took its reservation."""
        return [relay for relay in self.reach()["relays"] if relay["held"]]

    def way_to(self, other):
        """The transport of the connection, once both have said who they are."""
        for peer in json.loads(self.mesh("peers", "--json")):
            if peer["peer"] == other.peer and peer["connected"] and peer["agent"] and peer["resources"]:
                return peer["transport"]
        return None

    def doctor(self):
        """What `mesh doctor` says, by the name of the check."""
        checks = {}
        for check in json.loads(self.mesh("doctor", "--json")):
            checks.setdefault(check["check"], []).append(check["text"])
        return checks


@needs_walls
class Nat(Case):
    def setUp(self):
        super().setUp()
        run("ip", "link", "add", "wan0", "type", "bridge")
        run("ip", "link", "set", "wan0", "up")
        self.addCleanup(run, "ip", "link", "delete", "wan0")

    def machine(self):
        machine = Machine()
        self.addCleanup(machine.end)
        return machine

    def home_behind(self, number, ports):
        """A machine at 192.168.1.2 behind a router at 11.0.0.NUMBER."""
        router, machine = self.machine(), self.machine()
        router.plug("wan", f"11.0.0.{number}/24", "wan0", f"port{number}")
        router.join("lan", "192.168.1.1/24", machine, "eth", "192.168.1.2/24")
        machine.run("ip", "route", "add", "default", "via", "192.168.1.1")
        router.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        with tempfile.NamedTemporaryFile("w", suffix=".nft", dir=self.folder) as rules:
            rules.write(RULES.format(ports=ports))
            rules.flush()
            router.run("nft", "-f", rules.name)
        return machine

    def meet(self, transport, ports):
        """Two nodes behind two routers, and the relay that both know; each is told that nobody can dial it."""
        public = self.machine()
        public.plug("eth", f"{RELAY}/24", "wan0", "port2")
        relay = self.started(Behind(public, self.folder / "relay"))
        address = {"tcp": f"/ip4/{RELAY}/tcp/4001", "quic": f"/ip4/{RELAY}/udp/4001/quic-v1"}[transport] + f"/p2p/{relay.peer}"
        homes = [self.home_behind(number, ports) for number in (11, 12)]
        nodes = [self.started(Behind(home, self.folder / f"node{index}", [address])) for index, home in enumerate(homes)]
        until(lambda: relay.reach()["relaying"], "the relay is found to be reachable, and relays", PATIENCE_S)
        reach = relay.reach()
        self.assertEqual(reach["reachability"], "public")
        self.assertTrue(reach["address"].startswith(f"/ip4/{RELAY}/"), reach)
        for node in nodes:
            until(node.held, "a node behind a NAT has a slot at the relay", PATIENCE_S)
            self.assertEqual(node.reach()["reachability"], "private")
        return relay, *nodes

    def fetch(self, source, to, size):
        """What one adds the other gets, byte for byte, once the two are connected."""
        until(lambda: to.way_to(source), "the two are connected", PATIENCE_S)
        content = self.folder / "content"
        content.write_bytes(os.urandom(size))
        cid = source.mesh("assets", "add", content).decode().strip()
        got = self.folder / "got"
        to.mesh("assets", "get", cid, "-o", got)
        self.assertEqual(Path(got).read_bytes(), content.read_bytes())

    def directly(self, transport):
        relay, one, two = self.meet(transport, SAME_PORT)
        for node, other in ((one, two), (two, one)):
            way = until(lambda node=node, other=other: (way := node.way_to(other)) not in (None, "relay") and way, "the nodes are connected directly", PATIENCE_S)
            self.assertEqual(way, transport)
        punches = [punch for node in (one, two) for punch in node.reach()["hole_punches"]]
        self.assertTrue(any(punch["done"] for punch in punches), punches)
        self.say("; ".join(punch["text"] for punch in punches))
        for source, to in ((one, two), (two, one)):
            self.fetch(source, to, 24 << 20)
        # More than a relay carries came through, and the way is still direct.
        self.assertEqual((one.way_to(two), two.way_to(one)), (transport, transport))
        self.assertIn(f"through relay {relay.short}", one.doctor()["reach"][0])
        self.assertIn("succeeded", " ".join(one.doctor().get("direct", []) + two.doctor().get("direct", [])))

    def test_holes_are_punched_with_quic(self):
        self.directly("quic")

    def test_holes_are_punched_with_tcp(self):
        self.directly("tcp")

    def test_where_ports_are_drawn_the_relay_carries(self):
        _, one, two = self.meet("quic", RANDOM_PORTS)
        for node, other in ((one, two), (two, one)):
            until(lambda node=node, other=other: node.way_to(other), "the nodes are connected", PATIENCE_S)
        until(lambda: one.reach()["hole_punches"] or two.reach()["hole_punches"], "hole punching was tried", PATIENCE_S)
        punches = [punch for node in (one, two) for punch in node.reach()["hole_punches"]]
        self.assertFalse(any(punch["done"] for punch in punches), punches)
        self.say("; ".join(punch["text"] for punch in punches))
        for source, to in ((one, two), (two, one)):
            self.fetch(source, to, 2 << 20)
        self.assertEqual((one.way_to(two), two.way_to(one)), ("relay", "relay"))
        # More than a relay carries at a time: it ends the connection, a new one is made, and the rest goes there.
        self.fetch(one, two, 24 << 20)
        self.assertIn("failed", " ".join(one.doctor().get("direct", []) + two.doctor().get("direct", [])))


if __name__ == "__main__":
    main(TRIAL + " && nft add table ip trial && nft add chain ip trial out '{ type nat hook postrouting priority srcnat; }' && nft add rule ip trial out masquerade fully-random")

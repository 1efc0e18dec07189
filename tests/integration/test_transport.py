"""Content goes over TCP or QUIC, whichever is the faster: between two machines that exist only for this test (machines.py),
with a cable on which packet filters make one of the two slow, or shut it, also in the middle of a transfer."""

import hashlib
import random
import re
import subprocess

from machines import TRIAL, Machine, main, needs_walls
from meshes import MESH, Case, Node, environment, until

MIB = 1 << 20
SIZE = 160 * MIB
HOLDER, GETTER = "10.9.0.1", "10.9.0.2"
TCP, QUIC = "tcp sport 4001", "udp sport 4001"  # What leaves the holder.
SLOW = "limit rate over 4 mbytes/second burst 200 kbytes drop"


class There(Node):
    """A node on a machine of its own."""

    def __init__(self, machine, home, listen, joins=(), flags=()):
        self.machine = machine
        super().__init__(home, joins, ("--slots", "1", *flags), machine.enter, listen)

    def ask(self, method, path, body=None):
        with self.machine.inside():
            return super().ask(method, path, body)


@needs_walls
class Transport(Case):
    def setUp(self):
        super().setUp()
        self.machines = [Machine(), Machine()]
        for machine in self.machines:
            self.addCleanup(machine.end)
        holder, getter = self.machines
        holder.join("eth", f"{HOLDER}/24", getter, "eth", f"{GETTER}/24")
        self.nft("add table ip wall")
        self.nft("add chain ip wall out { type filter hook output priority filter; }")

    def nft(self, rule):
        self.machines[0].run("nft", rule)

    def filter(self, *rules):
        """These and no others from now on."""
        self.nft("flush chain ip wall out")
        for rule in rules:
            self.nft(f"add rule ip wall out {rule}")

    def meet(self, listen=("tcp", "quic"), flags=()):
        """The holder of a file, and one that knows it by its address over the first of the transports."""
        share = self.folder / "share"
        share.mkdir()
        noise = random.Random(7)
        with open(share / "large.bin", "wb") as file:
            for _ in range(SIZE // MIB):
                file.write(noise.randbytes(MIB))
        ways = {"tcp": "/ip4/{}/tcp/4001", "quic": "/ip4/{}/udp/4001/quic-v1"}
        holder = self.started(There(self.machines[0], self.folder / "holder", [ways[way].format(HOLDER) for way in listen],
                                    flags=("--share", str(share), *flags)))
        first = next(address for address in holder.facts["addresses"] if ways[listen[0]].format(HOLDER) in address)
        getter = self.started(There(self.machines[1], self.folder / "getter", [way.format(GETTER) for way in ways.values()], [first]))
        until(lambda: getter.ask("GET", "/api/v1/query/asset?name=large.bin")["found"], "the file is found")
        self.assertEqual([peer["transport"] for peer in getter.ask("GET", "/api/v1/peers") if peer["connected"]], [listen[0]])
        return holder, getter

    def transfer(self, getter):
        transfers = getter.ask("GET", "/api/v1/transfers")["transfers"]
        return transfers[0] if transfers else None

    def by(self, getter):
        """Bytes by transport."""
        view = self.transfer(getter)
        return {one["transport"]: one["bytes"] for holder in (view["holders"] if view else []) for one in holder["transports"]}

    def finish(self, holder, getter, place):
        view = self.transfer(getter)
        self.assertEqual((view["state"], view["bytes_fetched"]), ("done", SIZE))  # No leaf came twice.
        with open(place, "rb") as copy, open(self.folder / "share/large.bin", "rb") as file:
            self.assertEqual(hashlib.file_digest(copy, "sha256").digest(), hashlib.file_digest(file, "sha256").digest())
        figures = [f"{one['transport']} {one['bytes'] >> 20} MiB at {one['bytes_per_s'] / 1e6:.0f} MB/s"
                   for one in view["holders"][0]["transports"]]
        sent = int(re.search(rb"^meshwork_bytes_served_total (\d+)", holder.ask("GET", "/metrics"), re.M)[1])
        self.say(f"{', '.join(figures)}; {sent / SIZE:.3f} times the file was sent")
        return sent

    def get(self, holder, getter):
        place = getter.mesh("assets", "get", "large.bin", "--path").decode().strip()
        self.finish(holder, getter, place)
        return self.by(getter)

    def test_quic_carries_where_it_is_the_faster(self):
        self.filter(f"{TCP} {SLOW}")
        by = self.get(*self.meet())
        self.assertGreater(by["quic"], SIZE / 2)

    def test_tcp_carries_where_it_is_the_faster(self):
        self.filter(f"{QUIC} {SLOW}")
        by = self.get(*self.meet(("quic", "tcp")))
        self.assertGreater(by["tcp"], SIZE / 2)

    def test_a_firewall_that_swallows_one_of_them_is_no_matter(self):
        self.filter(f"{QUIC} drop")
        by = self.get(*self.meet())
        self.assertEqual(by, {"tcp": SIZE})

    def test_a_peer_with_one_transport_is_left_with_it(self):
        for only in ("tcp", "quic"):
            with self.subTest(only):
                by = self.get(*self.meet((only,)))
                self.assertEqual(by, {only: SIZE})
                for node in self.nodes:
                    node.end()
                for name in ("share", "holder", "getter"):
                    (self.folder / name).rename(self.folder / f"{only}-{name}")

    def test_when_the_faster_one_dies_the_other_goes_on(self):
        self.filter(f"{TCP} {SLOW}")
        holder, getter = self.meet(flags=("--upload-mbit", "240"))  # So that it is not over before it dies.
        command = [*getter.enter, MESH, "--home", str(getter.home), "assets", "get", "large.bin", "--path"]
        asked = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(), text=True)
        until(lambda: self.by(getter).get("quic", 0) > 24 * MIB, "it goes over QUIC")
        before = self.by(getter)
        self.filter(f"{QUIC} drop")
        place = asked.communicate(timeout=120)[0].strip()
        sent = self.finish(holder, getter, place)
        by = self.by(getter)
        self.assertGreater(by["tcp"], before["tcp"] + 24 * MIB)
        # What was on its way is lost: what lay in the buffers between the processes.
        self.assertLess(sent, SIZE + 16 * MIB)


if __name__ == "__main__":
    main(TRIAL + " && nft add table ip trial && nft add chain ip trial out '{ type filter hook output priority filter; }' && nft add rule ip trial out udp sport 1 limit rate over 1 mbytes/second drop")

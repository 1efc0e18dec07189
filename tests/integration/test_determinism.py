"""A Python function that asks for all that could differ (hashes, time, entropy, orders) gives the same everywhere."""

import unittest

from meshes import Case, Node, until

TASKS = 50
SOURCE = """import os, random, sys, time
print(hash('a'), hash(b'b'), hash((1, 'c')))
print(random.random(), random.getrandbits(64), random.sample(range(1000), 5))
print(time.time(), time.monotonic(), time.perf_counter())
print({'alpha', 'beta', 'gamma', 'delta', 'epsilon'}, frozenset('determinism'))
print({name: len(name) for name in ('x', 'yy', 'zzz')}, list({object: 1, int: 2}))
print(os.urandom(4).hex(), id(object()) == id(object()), sorted(os.environ), os.listdir('/'))
print(sys.stdin.read())
"""


class Determinism(Case):
    def in_mesh(self, federation):
        """50 tasks of the function with the same input on two nodes: the set of (bytes, log, fuel), the workers."""
        first = len(self.nodes)
        workers = [self.join(first, federation) for _ in range(2)]
        publisher = self.join(first, federation, "--no-work")
        for node in (*workers, publisher):
            until(lambda node=node: node.knows(2), f"{node.home.name} sees both others")
        function = {"language": "python", "source": SOURCE}
        job = publisher.submit(function, ["the same input"] * TASKS, verifiers=0)
        view = publisher.wait(job, 240)
        self.assertEqual(view["phase"], "done", (view["failure"], view["notes"]))
        rows = publisher.shards(job, TASKS)
        self.assertEqual({row["decision"] for row in rows}, {"unverified"})  # Compared here, all of them.
        ran = {peer: sum(1 for row in rows if row["worker"] == peer) for peer in {row["worker"] for row in rows}}
        self.assertEqual(set(ran), {node.peer for node in workers}, "both nodes ran some")
        # And as tasks of their own: another intent, another publisher's secret, the same work.
        again = publisher.submit(view["function"], ["the same input"], verifiers=0)
        self.assertEqual(publisher.wait(again, 60)["phase"], "done")
        rows += publisher.shards(again, 1)
        output = publisher.result(job, 0)
        federation_cid = publisher.ask("GET", "/api/v1/node")["federation"]["cid"]
        for node in (*workers, publisher):
            node.end()
        self.say(f"federation {federation}: {len(rows)} runs, {sorted(ran.values())} of them on {len(ran)} nodes, "
                 f"fuel {sorted({row['fuel'] for row in rows})}")
        return {(row["result"], row["log"], row["fuel"]) for row in rows}, output, view["function"], federation_cid

    def join(self, first, federation, *flags):
        joins = [node.address for node in self.nodes[first:]]
        return self.started(Node(self.folder / f"node{len(self.nodes)}", joins, ("--slots", "1", "--federation", federation, *flags)))

    def test_equal_bytes_and_fuel(self):
        here, output, function, federation = self.in_mesh("local")
        self.assertEqual(len(here), 1, here)
        there, other_output, other_function, other_federation = self.in_mesh("elsewhere")
        self.assertNotEqual(federation, other_federation)
        self.assertEqual(function, other_function)
        self.assertEqual(here, there)
        self.assertEqual(output, other_output)
        lines = output.decode().splitlines()
        self.assertEqual(len(lines), 7, output)
        self.assertEqual(lines[-1], "the same input")
        self.say(f"{lines[:3]} everywhere")


if __name__ == "__main__":
    unittest.main()

"""Processes killed with -9 and started again while a job of 2,000 shards runs: nothing is lost, nothing is counted twice."""

import json
import os
import random
import signal
import subprocess
import threading
import time
import unittest

from meshes import COLLATZ, MESH, Case, Node, collatz_inputs, collatz_truth, environment, raw_cid

SEED = int(os.environ.get("MESH_KILLS_SEED", "1"))
SHARDS = 2000
WIDTH = 30_000  # About 15 ms a shard: a minute in all on two cores, twice as long as the kills take.
NODES = 7
KILLS = 20


class Kills(Case):
    def victim(self, role, job, chance):
        """A node that has that role in the job right now; any but the publisher if none has it at this moment."""
        if role == "publisher":
            return 0
        rows = self.nodes[0].shards(job, SHARDS)
        if role == "worker":
            peers = {row["worker"] for row in rows if row["state"] == "running"}
        else:
            peers = {seat["peer"] for row in rows if row["state"] == "verifying" for seat in row["seats"]}
        busy = [number for number in range(1, NODES) if self.nodes[number].peer in peers]
        return chance.choice(busy or range(1, NODES))

    def restarted(self, number, down_s):
        node = self.nodes[number]
        node.end(signal.SIGKILL)
        threading.Event().wait(down_s)  # Part of the scenario: for so long it is away.
        others = [other.address for other in self.nodes if other is not node]
        self.nodes[number] = Node(node.home, others, ("--slots", "1"))
        self.addCleanup(self.nodes[number].end)

    def test_twenty_kills(self):
        chance = random.Random(SEED)
        self.honest(NODES)
        self.all_meet(self.nodes[0])
        job = self.nodes[0].submit(self.nodes[0].add(COLLATZ), collatz_inputs(SHARDS, WIDTH), verifiers=3, limits={"total_ms": 400_000})
        began = time.monotonic()
        roles = ["worker", "verifier", "publisher"] + [chance.choice(("worker", "verifier", "publisher")) for _ in range(KILLS - 3)]
        # How far the job is when each falls: spread at random over its first third, since shards are decided by the hundred
        # and the job goes on while a node is away.
        moments = sorted(chance.randrange(1, SHARDS // 3) for _ in range(KILLS))
        killed = {"worker": 0, "verifier": 0, "publisher": 0}
        down = 0.0
        pause = threading.Event()
        for role, moment in zip(roles, moments, strict=True):
            while (view := self.nodes[0].job(job))["finished"] < moment and not view["ended"]:
                self.assertLess(time.monotonic() - began, 400, view)
                pause.wait(0.02)
            self.assertFalse(view["ended"], f"the job ended before all kills: {view['phase']} {view['failure']}")
            away = chance.uniform(0.0, 0.6)
            victim = self.victim(role, job, chance)
            print(f"    {time.monotonic() - began:6.1f} s: {view['finished']} shards done, kill node {victim} ({role}) for {away:.2f} s", flush=True)
            self.restarted(victim, away)
            down += away
            killed[role] += 1
        view = self.nodes[0].wait(job, int(os.environ.get("MESH_KILLS_WAIT_S", "300")))
        seconds = time.monotonic() - began
        self.assertEqual(view["phase"], "done", (view["failure"], view["notes"]))
        self.assertEqual(view["finished"], SHARDS)
        rows = self.nodes[0].shards(job, SHARDS)
        for number, truth in enumerate(collatz_truth(SHARDS, WIDTH)):
            self.assertEqual((rows[number]["shard"], rows[number]["decision"]), (number, "accepted"), rows[number])
            self.assertEqual(rows[number]["result"], raw_cid(truth), rows[number])
        self.assertEqual(self.nodes[0].result(job, SHARDS - 1), collatz_truth(SHARDS, WIDTH)[-1])

        proof = self.folder / "proof.car"
        self.nodes[0].mesh("receipt", "export", job, "--file", proof)
        for node in self.nodes:
            node.end()
        checked = subprocess.run([MESH, "receipt", "verify", str(proof), "--json"], capture_output=True, env=environment(), check=False)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        report = json.loads(checked.stdout)
        figures = {name: report[name] for name in ("shards_total", "accepted", "unverified", "missing")}
        self.assertEqual(figures, {"shards_total": SHARDS, "accepted": SHARDS, "unverified": 0, "missing": 0})
        awarded_again = sum(1 for row in rows if row["story"])
        self.say(f"{SHARDS} shards over {NODES} processes in {seconds:.1f} s with {sum(killed.values())} kills {killed}, "
                 f"{down:.1f} s down in all; {awarded_again} shards with a story; bundle of {proof.stat().st_size >> 10} KiB verified offline; seed {SEED}")


if __name__ == "__main__":
    unittest.main()

"""Liars in a mesh of 8 real processes with 3 verifiers: never accepted, never blamed on the honest, named by explain."""

import math
import subprocess
import time
import unittest

from meshes import COLLATZ, LIAR, Case, Node, collatz_inputs, collatz_truth, raw_cid

WIDTH = 2000


class Liars(Case):
    def attacked(self, *modes, shards=60, slots=1, **more):
        """A job on a mesh of a publisher, these liars and honest nodes up to 8: (publisher, liars, its shards)."""
        began = time.monotonic()
        publisher = self.honest(1)[0]
        liars = self.liars(*modes, slots=slots)
        self.honest(8 - len(self.nodes))
        self.all_meet(publisher)
        function = publisher.add(COLLATZ)
        job = publisher.submit(function, collatz_inputs(shards, WIDTH), verifiers=3, bid_window_ms=5000, **more)
        view = publisher.wait(job, 120)
        rows = publisher.shards(job, shards)
        self.assertEqual(view["phase"], "done", (view["failure"], view["notes"]))
        self.assertFalse(view["unverified"])
        for number, truth in enumerate(collatz_truth(shards, WIDTH)):
            self.assertEqual(rows[number]["decision"], "accepted", rows[number])
            self.assertEqual(rows[number]["result"], raw_cid(truth), rows[number])
        # Same work, same fuel, and the liars' is in none of it.
        fuel = {row["result"]: row["fuel"] for row in rows}
        self.assertEqual(view["fuel"], sum(row["fuel"] for row in rows))
        self.assertTrue(all(fuel[row["result"]] > 0 for row in rows))

        told = publisher.mesh("job", "explain", job).decode()
        blamed = {peer["peer"]: peer["penalty"] for peer in publisher.ask("GET", "/api/v1/peers") if peer["penalty"]}
        honest = {node.peer for node in self.nodes} - {liar.peer for liar in liars}
        self.assertEqual(honest & blamed.keys(), set(), blamed)
        disagreed = {seat["peer"] for row in rows for seat in row["seats"] if seat["state"] == "disagreed"}
        self.assertEqual(honest & disagreed, set())
        self.assertEqual({liar.peer for liar in liars}, blamed.keys(), told)
        for liar in liars:
            self.assertIn(liar.short, told)
        seats = sum(1 for row in rows for seat in row["seats"] if seat["state"] == "agreed")
        proof = self.folder / "proof.car"
        publisher.mesh("receipt", "export", job, "--file", proof)
        self.say(f"{shards} shards accepted, all right, {seats} agreeing seats, {len(blamed)} blamed: {sorted(set(blamed.values()))}; "
                 f"{time.monotonic() - began:.1f} s")
        return publisher, liars, rows, told

    def test_worker_alone(self):
        _, liars, rows, told = self.attacked("result")
        self.assertRegex(told, rf"{liars[0].short} was rejected by")
        self.assertNotIn(liars[0].peer, {row["worker"] for row in rows})

    def test_worker_with_one_colluding_verifier(self):
        # Two that back each other against an honest worker would be two colluding verifiers, which is at the quorum.
        # The first of them gets so many shards at once that the other sits on one of them, whoever is drawn.
        _, liars, rows, told = self.attacked("result", "backs", slots=32)
        self.assertRegex(told, rf"{liars[0].short} was rejected by")
        self.assertRegex(told, rf"{liars[1].short} backed the rejected worker {liars[0].short}")
        self.assertNotIn(liars[0].peer, {row["worker"] for row in rows})

    def test_verifier_alone(self):
        _, liars, rows, _ = self.attacked("verifier")
        disagreed = [row["shard"] for row in rows for seat in row["seats"] if seat == {"peer": liars[0].peer, "state": "disagreed"}]
        self.assertTrue(disagreed)

    def test_right_bytes_with_wrong_fuel(self):
        _, liars, rows, told = self.attacked("fuel")
        self.assertRegex(told, rf"{liars[0].short} was rejected by")
        self.assertNotIn(liars[0].peer, {row["worker"] for row in rows})

    def test_copied_commitment(self):
        limits = {"reveal_ms": 3000}
        _, liars, rows, _ = self.attacked("copy", limits=limits)
        agreed = [row["shard"] for row in rows for seat in row["seats"] if seat == {"peer": liars[0].peer, "state": "agreed"}]
        self.assertEqual(agreed, [])


class TwoColluders(Case):
    """A lying worker and two colluding verifiers, at the quorum: they pass when both are drawn."""

    JOBS = 240
    AT_ONCE = 40  # One batch is awarded before its first verdict makes the worker unwelcome.

    def test_passes_as_often_as_the_formula_says(self):
        began = time.monotonic()
        numerator, denominator = map(int, subprocess.run([LIAR, "formula", "6", "2", "3", "2"], capture_output=True, check=True).stdout.split())
        chance = numerator / denominator
        self.assertEqual((numerator, denominator), (4, 20))
        # The first liar offers the most, so that it wins the awards; the others are as good as the honest.
        workers = [*self.liars("result", slots=16), *self.liars("result", "result"), *self.honest(4)]
        joins = [node.address for node in workers]
        lies = {liar.peer for liar in workers[:3]}
        truth = collatz_truth(1, WIDTH)[0]
        draws = passed = ended = failed = 0
        for batch in range(self.JOBS // self.AT_ONCE):
            # A publisher that knows nobody yet: an old one would give no more work to whom it caught.
            publisher = Node(self.folder / f"publisher{batch}", joins, ("--no-work",))
            self.addCleanup(publisher.end)
            self.nodes = [*workers, publisher]
            self.all_meet(publisher)
            function = publisher.add(COLLATZ)
            jobs = [publisher.submit(function, collatz_inputs(1, WIDTH), verifiers=3, bid_window_ms=5000) for _ in range(self.AT_ONCE)]
            for job in jobs:
                view = publisher.wait(job, 120)
                ended += 1
                row = publisher.shards(job, 1)[0]
                # Two colluders who are drawn for an honest worker's shard reject it, and so a job may fail too.
                if view["phase"] != "done":
                    self.assertRegex(view["failure"], "^(rejected|disputed|no-workers-left): ")
                    failed += 1
                rejected = [line for line in row["story"] if "was rejected by" in line]
                if rejected:
                    # Only what became of the first worker says something about the formula.
                    draws += any(liar.short in rejected[0] for liar in workers[:3])
                elif view["phase"] == "done" and row["result"] != raw_cid(truth):
                    draws += 1
                    passed += 1
                    self.assertIn(row["worker"], lies)
            publisher.end()
        sigma = math.sqrt(draws * chance * (1 - chance))
        self.say(f"{ended} jobs ({failed} failed), {draws} whose first worker lied, {passed} passed: {passed / max(draws, 1):.3f}; "
                 f"formula {numerator}/{denominator} = {chance:.3f}, 4 sigma {4 * sigma / max(draws, 1):.3f}; {time.monotonic() - began:.1f} s")
        self.assertEqual(ended, self.JOBS)
        self.assertGreaterEqual(draws, self.JOBS // 3)
        self.assertLessEqual(abs(passed - draws * chance), 4 * sigma)


if __name__ == "__main__":
    unittest.main()

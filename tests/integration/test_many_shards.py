"""100,000 shards over six processes, two of which are killed with -9 and started again every 20 seconds: all of them end, each
once and right, and what proves a shard does so alone."""

import json
import os
import random
import signal
import subprocess
import threading
import time
import unittest

from meshes import MESH, Case, Node, environment, raw_cid, until

SEED = int(os.environ.get("MESH_KILLS_SEED", "1"))
SHARDS = int(os.environ.get("MESH_SHARDS", "100000"))
NODES = 6
EVERY_S = 20
AT_ONCE = 2
WANTED_S = 150  # How long the job is made to take without kills, so that there are several rounds of them on any machine.
LEAST_KILLS = 6
SAMPLES = 25

# A generator's state after so many steps, from an input of eight bytes. Every shard's result is another one, and one
# multiplication tells what it must be (truth).
FACTOR, TERM = 6364136223846793005, 1442695040888963407
STEPS = """(module (memory (export "memory") 1)
  (func (export "mesh_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "mesh_run") (param $at i32) (param $size i32) (result i64) (local $state i64) (local $left i32)
    (local.set $state (i64.load (local.get $at)))
    (local.set $left (i32.const {steps}))
    (loop $next
      (local.set $state (i64.add (i64.mul (local.get $state) (i64.const {factor})) (i64.const {term})))
      (br_if $next (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (i64.store (i32.const 2048) (local.get $state))
    (i64.const {packed})))"""


def function(steps):
    return {"language": "wat", "source": STEPS.format(steps=steps, factor=FACTOR, term=TERM, packed=2048 << 32 | 8)}


def inputs(first, count):
    return [f"{number:08d}" for number in range(first, first + count)]


def truth(texts, steps):
    """The results that function(steps) has for these inputs."""
    modulus = 1 << 64
    # x -> a x + b, applied so many times, by squaring.
    factor, term, a, b = 1, 0, FACTOR, TERM
    while steps:
        if steps & 1:
            factor, term = a * factor % modulus, (a * term + b) % modulus
        a, b = a * a % modulus, (a * b + b) % modulus
        steps >>= 1
    return [((factor * int.from_bytes(text.encode(), "little") + term) % modulus).to_bytes(8, "little") for text in texts]


def memory_mib(process):
    """The most that the process has had in memory so far."""
    with open(f"/proc/{process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) >> 10


class ManyShards(Case):
    def calibrated_steps(self):
        """So many that the job takes about WANTED_S here, from a job of its first shards' kind that nothing disturbs."""
        sample, steps = 4000, 100_000
        began = time.monotonic()
        job = self.nodes[0].submit(function(steps), inputs(SHARDS, sample), verifiers=3)
        view = self.nodes[0].wait(job, 300)
        self.assertEqual(view["phase"], "done", view)
        each = (time.monotonic() - began) / sample
        chosen = min(50 * steps, max(steps, int(steps * WANTED_S / (SHARDS * each))))
        self.say(f"{1e3 * each:.2f} ms a shard of {steps} steps without kills; the job has {chosen} steps a shard")
        return job, chosen

    def kill_two(self, chance, began):
        """Two at once, and both are away for a moment: what either of them had is lost to the other."""
        down = chance.sample(range(NODES), AT_ONCE)
        away = chance.uniform(0.0, 2.0)
        finished = self.nodes[0].job(self.job)["finished"]
        print(f"    {time.monotonic() - began:6.1f} s: {finished} shards done, kill nodes {down} for {away:.2f} s", flush=True)
        if 0 in down:
            self.publisher_mib = max(self.publisher_mib, memory_mib(self.nodes[0].process))
        for number in down:
            self.nodes[number].end(signal.SIGKILL)
        threading.Event().wait(away)  # Part of the scenario.
        for number in down:
            others = [node.address for node in self.nodes if node.process.poll() is None]
            self.nodes[number] = Node(self.nodes[number].home, others, ("--slots", "1"))
            self.addCleanup(self.nodes[number].end)
        return 0 in down

    def test_two_of_six_killed_every_20_seconds(self):
        chance = random.Random(SEED)
        self.publisher_mib = 0
        self.honest(NODES)
        self.all_meet(self.nodes[0])
        first, steps = self.calibrated_steps()
        texts = inputs(0, SHARDS)
        began = time.monotonic()
        self.job = self.nodes[0].submit(function(steps), texts, verifiers=3)
        submitted = time.monotonic() - began
        rounds = publisher_kills = 0
        pause = threading.Event()
        while not (view := self.nodes[0].job(self.job))["ended"]:
            self.assertLess(time.monotonic() - began, 2400, view)
            if time.monotonic() - began >= EVERY_S * (rounds + 1):
                publisher_kills += self.kill_two(chance, began)
                rounds += 1
            pause.wait(0.1)
        seconds = time.monotonic() - began
        self.assertEqual((view["phase"], view["finished"], view["unverified"]), ("done", SHARDS, False), (view["failure"], view["notes"]))
        self.assertGreaterEqual(AT_ONCE * rounds, LEAST_KILLS, f"the job took {seconds:.1f} s")
        self.publisher_mib = max(self.publisher_mib, memory_mib(self.nodes[0].process))

        rows = self.nodes[0].shards(self.job, SHARDS)
        self.assertEqual([row["shard"] for row in rows], list(range(SHARDS)))
        right = truth(texts, steps)
        for row, result in zip(rows, right, strict=True):
            self.assertEqual((row["state"], row["decision"], row["result"]), ("accepted", "accepted", raw_cid(result)), row)
        for number in chance.sample(range(SHARDS), SAMPLES):
            self.assertEqual(self.nodes[0].result(self.job, number), right[number])
        # Each task ended, once, and nobody runs anything for it any more.
        jobs = {job["id"]: job["phase"] for job in self.nodes[0].ask("GET", "/api/v1/tasks")}
        self.assertEqual(jobs, {first: "done", self.job: "done"})
        for node in self.nodes:
            until(lambda node=node: (facts := node.ask("GET", "/api/v1/node"))["running"] + facts["queued"] == 0, f"{node.home.name} is idle")
        awarded_again = sum(1 for row in rows if row["story"])
        self.say(f"{SHARDS} shards over {NODES} processes in {seconds:.1f} s ({SHARDS / seconds:.0f} a second; the request took {submitted:.1f} s) with "
                 f"{AT_ONCE * rounds} kills, {publisher_kills} of them of the publisher; {awarded_again} shards with a story; the publisher had at most "
                 f"{self.publisher_mib} MiB; seed {SEED}")
        self.check_proofs(chance, [raw_cid(result) for result in right])

    def verify(self, *words):
        return subprocess.run([MESH, "--home", str(self.folder / "nowhere"), "receipt", "verify", *map(str, words), "--json"],
                              capture_output=True, env=environment(), check=False)

    def check_proofs(self, chance, results):
        whole = self.folder / "whole.car"
        began = time.monotonic()
        self.nodes[0].mesh("receipt", "export", self.job, "--file", whole)
        exported = time.monotonic() - began
        samples = sorted(chance.sample(range(SHARDS), SAMPLES))
        began = time.monotonic()
        for shard in samples:
            self.nodes[0].mesh("receipt", "export", self.job, "--shard", shard, "--file", self.folder / f"{shard}.car")
        each_exported = (time.monotonic() - began) / SAMPLES
        for node in self.nodes:
            node.end()

        # Every one of them alone, by what is cut out of the whole.
        began = time.monotonic()
        checked = self.verify(whole, "--each-shard")
        seconds = time.monotonic() - began
        self.assertEqual(checked.returncode, 0, checked.stderr)
        report = json.loads(checked.stdout)
        figures = {name: report[name] for name in ("shards_total", "accepted", "unverified", "missing")}
        self.assertEqual(figures, {"shards_total": SHARDS, "accepted": SHARDS, "unverified": 0, "missing": 0})
        self.assertEqual(report["alone"]["shards"], SHARDS)
        self.assertEqual([row["result"] for row in report["shards"]], results)
        # And some as the publisher hands them out, which no changed bit leaves standing.
        sizes, refused = [], 0
        for shard in samples:
            bundle = self.folder / f"{shard}.car"
            checked = self.verify(bundle, "--shard", shard)
            self.assertEqual(checked.returncode, 0, checked.stderr)
            rows = json.loads(checked.stdout)["shards"]
            self.assertEqual([(row["shard"], row["decision"], row["result"]) for row in rows], [(shard, "accepted", results[shard])])
            good = bundle.read_bytes()
            sizes.append(len(good))
            for at in chance.sample(range(len(good)), 4):
                bundle.write_bytes(good[:at] + bytes([good[at] ^ 1 << chance.randrange(8)]) + good[at + 1:])
                self.assertEqual(self.verify(bundle, "--shard", shard).returncode, 6, f"byte {at} of shard {shard}")
                refused += 1
        self.say(f"the whole bundle has {whole.stat().st_size >> 20} MiB, exported in {exported:.1f} s; each of {SHARDS} shards proven alone in {seconds:.1f} s, by "
                 f"{report['alone']['bundles']} bundles of at most {report['alone']['largest_bytes'] >> 10} KiB; {SAMPLES} exported in {each_exported:.2f} s each, "
                 f"{min(sizes) >> 10} to {max(sizes) >> 10} KiB; {refused} with one bit changed refused")


if __name__ == "__main__":
    unittest.main()

"""Tasks with sealed inputs in a real mesh: whoever runs a shard reads its input, and nobody else; results, quorum and proofs are
those of any task."""

import json
import random
import signal
import struct
import subprocess
import threading
import unittest
from pathlib import Path

from meshes import MESH, Case, Node, environment, until

MIB = 1 << 20
SHARDS = 8

# Writes the sum of its input's bytes, modulo 2^32, as four bytes. If they begin with "spin", it goes round before, six million times
# what the next byte is: with "~" for about a second.
SUM = """(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "_start") (local $sum i32) (local $at i32) (local $end i32) (local $spins i32)
    (loop $more
      (i32.store (i32.const 0) (i32.const 4096)) (i32.store (i32.const 4) (i32.const 65536))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
      (if (i32.load (i32.const 16)) (then
        (if (i32.eq (i32.load (i32.const 4096)) (i32.const 0x6e697073))
          (then (local.set $spins (i32.mul (i32.load8_u (i32.const 4100)) (i32.const 6000000)))))
        (local.set $at (i32.const 4096))
        (local.set $end (i32.add (i32.const 4096) (i32.load (i32.const 16))))
        (loop $each
          (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get $at))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br_if $each (i32.lt_u (local.get $at) (local.get $end))))
        (br $more))))
    (loop $spin (if (local.get $spins) (then
      (local.set $spins (i32.sub (local.get $spins) (i32.const 1)))
      (br $spin))))
    (i32.store (i32.const 100) (local.get $sum))
    (i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 4))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))))"""


def truth(content):
    return struct.pack("<I", sum(content) % 2**32)


class SealedTasks(Case):
    def setUp(self):
        super().setUp()
        self.function = self.folder / "sum.wat"
        self.function.write_text(SUM)
        self.inputs = self.folder / "inputs"
        self.inputs.mkdir()
        chance = random.Random(9)
        # What is looked for afterwards: every kilobyte of every input has it.
        self.secret = chance.randbytes(16).hex().encode()
        self.contents = []
        for number in range(SHARDS):
            # The last has several leaves.
            size = 3 * MIB if number == SHARDS - 1 else 20_000
            content = b"".join(self.secret + chance.randbytes(1000) for _ in range(size // 1000))
            self.contents.append(content)
            (self.inputs / f"private-name-{number}").write_bytes(content)

    def assert_nowhere(self, texts, *nodes):
        """In no file of a home folder; it is read while its node is down."""
        for node in nodes:
            for file in filter(Path.is_file, node.home.rglob("*")):
                content = file.read_bytes()
                for text in texts:
                    self.assertFalse(text in content, (file, text))

    def run_job(self, node, *words):
        """The job's id of `mesh run`, and what it writes."""
        done = subprocess.run([MESH, "--home", str(node.home), "run", str(self.function), *map(str, words)],
                              capture_output=True, env=environment(), check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return next(line.split()[1] for line in done.stderr.decode().splitlines() if line.startswith("job ")), done.stdout

    def results(self, node, job):
        return [node.result(job, shard) for shard in range(SHARDS)]

    def verified(self, node, job):
        """The job's proof, checked where there is no node."""
        bundle = self.folder / "bundle.car"
        node.mesh("receipt", "export", job, "--file", bundle)
        empty = self.folder / "empty"
        empty.mkdir(exist_ok=True)
        done = subprocess.run([MESH, "--home", str(empty), "receipt", "verify", str(bundle), "--json"], capture_output=True,
                              env=environment(), check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return json.loads(done.stdout)

    def test_nobody_but_who_runs_it_reads_an_input(self):
        publisher, *others = self.honest(5)
        self.all_meet()
        job, _ = self.run_job(publisher, "-i", self.inputs, "--map", "--sealed")
        view = publisher.job(job)
        self.assertEqual((view["phase"], view["unverified"], view["sealed"]), ("done", False, True))
        self.assertEqual(self.results(publisher, job), [truth(content) for content in self.contents])
        for row in publisher.shards(job, SHARDS):
            self.assertEqual(row["decision"], "accepted")
            self.assertEqual([seat["state"] for seat in row["seats"]], ["agreed"] * 3)
        proof = self.verified(publisher, job)
        self.assertEqual((proof["accepted"], proof["missing"], proof["sealed"]), (SHARDS, 0, True))
        # Again, by the same function on what is plain: the same results, and the text lies about, where it is looked for.
        plain, _ = self.run_job(publisher, "-i", self.inputs / "private-name-0")
        self.assertEqual(publisher.result(plain, 0), truth(self.contents[0]))
        for node in self.nodes:
            node.end()
        with self.assertRaises(AssertionError):
            self.assert_nowhere([self.secret], *others)
        parts = [content[at + 32 : at + 64] for content in self.contents[1:] for at in range(0, len(content), 10_320)]
        self.assert_nowhere([*parts, b"private-name-"], *self.nodes)

    def test_who_is_not_asked_to_run_it_has_sealed_bytes(self):
        publisher, *_ = self.honest(5)
        self.all_meet()
        cids = [publisher.mesh("assets", "add", "--for", "self", self.inputs / f"private-name-{n}").decode().strip() for n in range(SHARDS)]
        outsider = self.started(Node(self.folder / "outsider", [node.address for node in self.nodes], ("--slots", "1", "--no-work")))
        self.all_meet(outsider)
        words = [word for cid in cids for word in ("-i", f"cid:{cid}")]
        job, _ = self.run_job(publisher, *words, "--map", "--sealed")
        self.assertEqual(self.results(publisher, job), [truth(content) for content in self.contents])
        for cid, content in zip(cids, self.contents, strict=True):
            done = subprocess.run([MESH, "--home", str(outsider.home), "assets", "get", cid, "--from", publisher.peer],
                                  capture_output=True, env=environment(), check=False)
            self.assertEqual((done.returncode, done.stdout), (5, b""), done.stderr.decode())
            sealed = outsider.mesh("assets", "get", cid, "--sealed")
            self.assertGreater(len(sealed), len(content))
            self.assertNotIn(self.secret, sealed)
        # What is not sealed for the publisher is no input of a sealed task.
        plain = publisher.add(self.inputs / "private-name-0")
        for bad, why in ((plain, "is not sealed"), (self.sealed_for(publisher, outsider), "but not for this node")):
            done = subprocess.run([MESH, "--home", str(publisher.home), "run", str(self.function), "-i", f"cid:{bad}", "--sealed"],
                                  capture_output=True, env=environment(), check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn(why, done.stderr.decode())

    def sealed_for(self, author, reader):
        did = reader.ask("GET", "/api/v1/node")["did"]
        return author.mesh("assets", "add", "--for", did, self.inputs / "private-name-1").decode().strip()

    def test_who_has_no_part_in_a_shard_is_refused_its_key(self):
        self.honest(5)
        (curious,) = self.liars("asks")
        self.all_meet()
        publisher = self.nodes[0]
        job = publisher.submit({"language": "wat", "source": SUM}, [f"{n + 1} of them" for n in range(SHARDS)], sealed=True, verifiers=3)
        self.assertEqual(publisher.wait(job, 120)["phase"], "done")
        refused = [row for row in publisher.ask("GET", f"/api/v1/tasks/{job}/explain")["refused"] if row["peer"] == curious.peer]
        self.assertTrue(refused)
        for row in refused:
            self.assertIn("not-yours: this node is neither the worker of shard", row["reason"])
        # It had no advantage and no harm of it.
        self.assertEqual([row["decision"] for row in publisher.shards(job, SHARDS)], ["accepted"] * SHARDS)

    def test_killed_publisher_and_workers_go_on(self):
        self.honest(6)
        self.all_meet()
        texts = [f"spin~{n}" for n in range(12)]
        job = self.nodes[0].submit({"language": "wat", "source": SUM}, texts, sealed=True, verifiers=3, fuel=10**12, limits={"total_ms": 280_000})
        for victim in (0, 3, 0, 4):
            until(lambda: any(row["state"] != "waiting" for row in self.nodes[0].shards(job, 12)), "the job is under way")
            self.assertFalse(self.nodes[0].job(job)["ended"], "the job ended before all kills")
            node = self.nodes[victim]
            node.end(signal.SIGKILL)
            threading.Event().wait(0.3)  # Part of the scenario: for so long it is away.
            self.nodes[victim] = Node(node.home, [other.address for other in self.nodes if other is not node], ("--slots", "1"))
            self.addCleanup(self.nodes[victim].end)
        publisher = self.nodes[0]
        view = publisher.wait(job, 280)
        self.assertEqual(view["phase"], "done", (view["failure"], view["notes"]))
        for shard, text in enumerate(texts):
            self.assertEqual(publisher.result(job, shard), truth(text.encode()))
        self.assertEqual(self.verified(publisher, job)["accepted"], 12)

    def test_reduce_runs_on_results_which_are_not_sealed(self):
        publisher, *_ = self.honest(5)
        self.all_meet()
        _, folded = self.run_job(publisher, "-i", self.inputs, "--map", "--sealed", "--reduce", self.function)
        lines = b"".join(one if one.endswith(b"\n") else one + b"\n" for one in map(truth, self.contents))
        self.assertEqual(folded, truth(lines))

    def test_a_node_alone_opens_its_own(self):
        (alone,) = self.honest(1)
        job, out = self.run_job(alone, "-i", self.inputs / "private-name-0", "--sealed")
        self.assertEqual(out, truth(self.contents[0]))
        self.assertTrue(alone.job(job)["unverified"])
        alone.end()
        self.assert_nowhere([self.secret], alone)


if __name__ == "__main__":
    unittest.main()

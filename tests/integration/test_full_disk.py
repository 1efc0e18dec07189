"""Disks that take nothing for a while, and a crash after it: nothing is promised meanwhile, nothing is lost, and the job goes on.

A limit on file sizes stands for the full disk: the kernel refuses the writes, and the database answers as it does to ENOSPC."""

import resource
import signal
import threading
import unittest

from meshes import COLLATZ, Case, Node, collatz_inputs, collatz_truth, raw_cid, until

SHARDS = 600
WIDTH = 30_000
NODES = 6
FULL_S = 2.0


class FullDisk(Case):
    def fills(self, node):
        _, most = resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (0, most))

    def has_room(self, node):
        _, most = resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (most, most))

    def readiness(self, node):
        """Empty if it is ready, else why not."""
        try:
            node.ask("GET", "/readyz")
        except RuntimeError as error:
            return str(error)
        return ""

    def finished(self, job, least):
        view = self.nodes[0].job(job)
        self.assertFalse(view["ended"], (view["phase"], view["failure"]))
        return view["finished"] >= least

    def test_publisher_and_worker(self):
        self.honest(NODES)
        self.all_meet(self.nodes[0])
        publisher = self.nodes[0]
        function = publisher.add(COLLATZ)
        job = publisher.submit(function, collatz_inputs(SHARDS, WIDTH), verifiers=3, limits={"total_ms": 400_000})
        pause = threading.Event()
        said = {}
        for least, node in ((SHARDS // 10, publisher), (SHARDS // 4, self.nodes[1])):
            until(lambda least=least: self.finished(job, least), f"{least} shards")
            self.fills(node)
            said[node] = until(lambda node=node: self.readiness(node), f"{node.home.name} says that it cannot write")
            pause.wait(FULL_S)  # Part of the scenario: for so long the disk is full.
            if node is publisher:
                with self.assertRaisesRegex(RuntimeError, "507"):  # Insufficient Storage
                    publisher.submit(function, ["1 2"])
            self.has_room(node)
            until(lambda node=node: not self.readiness(node), f"{node.home.name} can write again")
        for text in said.values():
            self.assertIn("the store cannot write", text)

        # What was written since has no hole: the publisher starts again from it in the middle of the job.
        until(lambda: self.finished(job, SHARDS // 3), "a third")
        publisher.end(signal.SIGKILL)
        self.nodes[0] = publisher = Node(publisher.home, [node.address for node in self.nodes[1:]], ("--slots", "1"))
        self.addCleanup(publisher.end)
        view = publisher.wait(job, 300)
        self.assertEqual((view["phase"], view["finished"]), ("done", SHARDS), (view["failure"], view["notes"]))
        rows = publisher.shards(job, SHARDS)
        for number, truth in enumerate(collatz_truth(SHARDS, WIDTH)):
            self.assertEqual((rows[number]["decision"], rows[number]["result"]), ("accepted", raw_cid(truth)), rows[number])
        self.say(f"{SHARDS} shards, all right, with two disks full for {FULL_S:.0f} s each and one kill; said meanwhile: {said[self.nodes[1]]}")


if __name__ == "__main__":
    unittest.main()

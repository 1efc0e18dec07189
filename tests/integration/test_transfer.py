"""Shared files on their way: getters that are killed, holders that go or change what they hold, and what is nobody's business.

MESH_TRANSFER_MIB and MESH_TRANSFER_KILLS make the first of them larger (`make soak`: 1 GiB, 10 kills)."""

import hashlib
import os
import random
import re
import signal
import struct
import subprocess
import unittest
from pathlib import Path

from meshes import MESH, Case, Node, environment, raw_cid, until

MIB = 1 << 20
SIZE = int(os.environ.get("MESH_TRANSFER_MIB", "160")) * MIB
KILLS = int(os.environ.get("MESH_TRANSFER_KILLS", "4"))


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def served(node):
    """Bytes of blocks that a node has sent to its peers."""
    return int(re.search(rb"^meshwork_bytes_served_total (\d+)", node.ask("GET", "/metrics"), re.M)[1])


class Transfers(Case):
    def sharing(self, name="holder", joins=(), flags=()):
        share = self.folder / f"{name}-share"
        share.mkdir(exist_ok=True)
        node = self.started(Node(self.folder / name, joins, ("--slots", "1", "--share", str(share), *flags)))
        return node, share

    def getter(self, *holders, name="getter"):
        return self.started(Node(self.folder / name, [node.address for node in holders], ("--slots", "1")))

    def put(self, path, size, seed):
        noise = random.Random(seed)
        with open(path, "wb") as file:
            for _ in range(size // MIB):
                file.write(noise.randbytes(MIB))
            file.write(noise.randbytes(size % MIB))
        return digest(path)

    def finds(self, node, name):
        return until(lambda: (answer := node.ask("GET", f"/api/v1/query/asset?name={name}"))["found"] and answer, f"{name} is found")

    def get(self, node, name):
        """A command that runs beside this."""
        return subprocess.Popen([MESH, "--home", str(node.home), "assets", "get", name, "--path"], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env=environment(), text=True)

    def transfer(self, node):
        transfers = node.ask("GET", "/api/v1/transfers")["transfers"]
        return transfers[0] if transfers else None

    def test_a_killed_getter_fetches_nothing_twice(self):
        holder, share = self.sharing()
        sha256 = self.put(share / "large.bin", SIZE, 1)
        holder.mesh("assets", "refresh")
        getter = self.getter(holder)
        self.finds(getter, "large.bin")
        asked = self.get(getter, "large.bin")
        place = getter.home / "fetched/lan/holder-share/large.bin"
        for kill in range(KILLS):
            enough = SIZE * (kill + 1) // (KILLS + 1)
            until(lambda: place.exists() or (view := self.transfer(getter)) and view["bytes_here"] >= enough, f"{enough} bytes have come", 120)
            getter.end(signal.SIGKILL)
            getter = self.getter(holder)  # It goes on by itself.
        asked.communicate()
        self.assertNotEqual(asked.returncode, 0)  # The node that it asked is gone.
        until(place.exists, "all has come", 120)
        self.assertEqual(digest(place), sha256)
        sent = served(holder)
        self.say(f"{SIZE} bytes, {KILLS} kills: {sent} bytes sent, {sent / SIZE:.4f} times")
        # What was on its way when a kill came is lost: a leaf that had begun, and what buffers between the processes hold.
        self.assertLessEqual(sent, SIZE + KILLS * 5 * MIB)
        self.assertEqual(getter.mesh("assets", "get", "large.bin", "--path").decode().strip(), str(place))

    def test_what_was_fetched_is_served_on(self):
        first, share = self.sharing()
        sha256 = self.put(share / "model.gguf", 5 * MIB + 1, 2)
        first.mesh("assets", "refresh")
        second = self.getter(first, name="second")
        self.finds(second, "model.gguf")
        place = second.mesh("assets", "get", "model.gguf", "--path").decode().strip()
        self.assertEqual(digest(place), sha256)
        first.end()
        third = self.getter(second, name="third")
        self.finds(third, "model.gguf")
        copy = self.folder / "copy.gguf"
        third.mesh("assets", "get", "model.gguf", "-o", copy)
        self.assertEqual(digest(copy), sha256)
        # Under the path that it has had all along.
        answer = third.ask("GET", "/api/v1/query/asset?filepath=holder-share/model.gguf")
        self.assertEqual((answer["found"], answer["assetInfo"]["sha256"]), (True, sha256))

    def test_a_model_says_what_it_is_on_another_node(self):
        def text(value):
            return struct.pack("<Q", len(value)) + value

        header = b"GGUF" + struct.pack("<IQQ", 3, 1, 2)
        header += text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama")
        header += text(b"llama.context_length") + struct.pack("<II", 4, 4096)
        header += text(b"token_embd.weight") + struct.pack("<IQQIQ", 2, 64, 32, 1, 0)
        holder, share = self.sharing()
        (share / "tiny.gguf").write_bytes(header + bytes(8192))
        (share / "broken.gguf").write_bytes(header[:50])
        holder.mesh("assets", "refresh")
        getter = self.getter(holder)
        wanted = {"format": "gguf", "architecture": "llama", "parameters": 2048, "quantisation": "F16", "context_tokens": 4096}
        self.assertEqual(self.finds(getter, "tiny.gguf")["holdings"][0]["asset"]["model"], wanted)
        self.assertIsNone(self.finds(getter, "broken.gguf")["holdings"][0]["asset"]["model"])
        found = getter.ask("GET", "/api/v1/query/asset?architecture=llama")["holdings"]
        self.assertEqual([holding["asset"]["path"] for holding in found], ["tiny.gguf"])
        self.assertIn(b"llama 2.0 K F16, 4096 tokens", getter.mesh("assets", "find", "tiny.gguf", "-o", "wide"))
        self.assertIn(b"llama 2.0 K F16, 4096 tokens", holder.mesh("assets", "ls", "-o", "wide"))

    def test_pins_hold_what_is_here_and_what_was_added_can_be_taken_back(self):
        holder, share = self.sharing()
        self.put(share / "kept.bin", 3 * MIB, 6)
        holder.mesh("assets", "refresh")
        getter = self.getter(holder)
        found = self.finds(getter, "kept.bin")
        for refused in (("pin", "kept.bin"), ("pin", found["holdings"][0]["asset"]["cid"]), ("unpin", "kept.bin")):
            with self.assertRaisesRegex(RuntimeError, "exit code 4"):
                getter.mesh("assets", *refused)
        getter.mesh("assets", "get", "kept.bin", "--path")
        until(lambda: getter.ask("GET", "/api/v1/query/asset?name=kept.bin")["source"] == "local", "it is the getter's, too")
        cid = getter.mesh("assets", "pin", "kept.bin").decode().strip()
        self.assertEqual(cid, found["holdings"][0]["asset"]["cid"])
        getter.end()
        getter = self.getter(holder)  # A later process knows it still.
        pins = getter.ask("GET", "/api/v1/pins")["pins"]
        self.assertEqual([(pin["cid"], pin["path"]) for pin in pins], [(cid, "holder-share/kept.bin")])
        self.assertIn(cid.encode(), getter.mesh("assets", "pins"))
        self.assertEqual(getter.mesh("assets", "unpin", "kept.bin").decode().strip(), cid)
        self.assertEqual(getter.ask("GET", "/api/v1/pins")["pins"], [])

        own = self.folder / "own.txt"
        own.write_bytes(b"added, and taken back")
        added = holder.mesh("assets", "add", "--copy", own).decode().strip()
        getter.ask("POST", f"/api/v1/assets/{added}/fetch", {"from": [holder.peer], "timeout_ms": 20000})
        holder.mesh("assets", "pin", added)  # A pin shows nothing to anybody.
        holder.mesh("assets", "rm", added)
        with self.assertRaisesRegex(RuntimeError, "exit code 4"):
            holder.mesh("assets", "rm", added)
        third = self.getter(holder, name="third")
        with self.assertRaises(RuntimeError):
            third.ask("POST", f"/api/v1/assets/{added}/fetch", {"from": [holder.peer], "timeout_ms": 5000})
        self.assertEqual(holder.ask("GET", f"/api/v1/assets/{added}"), own.read_bytes())

    def test_a_quota_takes_what_was_used_least_recently_and_never_a_pin(self):
        holder, share = self.sharing()
        for number in range(3):  # Nearly all of them is the same leaf, which comes once; they take their room all the same.
            with open(share / f"{number}.bin", "wb") as file:
                file.truncate(600 * MIB)
                file.seek(-1, os.SEEK_END)
                file.write(bytes([number + 1]))
        holder.mesh("assets", "refresh")
        getter = self.started(Node(self.folder / "getter", [holder.address], ("--slots", "1", "--fetched-gib", "1")))
        places = []
        for number in range(2):
            self.finds(getter, f"{number}.bin")
            places.append(Path(getter.mesh("assets", "get", f"{number}.bin", "--path").decode().strip()))
        self.assertEqual([place.exists() for place in places], [False, True])
        until(lambda: self.finds(getter, "0.bin")["source"] == "peer" and self.finds(getter, "1.bin")["source"] == "local", "it says so")
        getter.mesh("assets", "pin", "1.bin")
        with self.assertRaisesRegex(RuntimeError, "pinned, in use or being fetched"):
            getter.mesh("assets", "get", "2.bin", "--path")
        self.assertTrue(places[1].exists())
        self.assertEqual(list((getter.home / "fetched").rglob("*.part")), [])
        getter.mesh("assets", "unpin", "1.bin")
        place = Path(getter.mesh("assets", "get", "2.bin", "--path").decode().strip())
        self.assertEqual((places[1].exists(), place.stat().st_size), (False, 600 * MIB))

    def test_two_gets_of_one_file_are_one_transfer(self):
        holder, share = self.sharing()
        sha256 = self.put(share / "twice.bin", 24 * MIB, 3)
        holder.mesh("assets", "refresh")
        getter = self.getter(holder)
        self.finds(getter, "twice.bin")
        commands = [self.get(getter, "twice.bin") for _ in range(3)]
        places = {command.communicate(timeout=120)[0].strip() for command in commands}
        self.assertEqual([command.returncode for command in commands], [0, 0, 0])
        self.assertEqual(len(places), 1)
        self.assertEqual(digest(places.pop()), sha256)
        self.assertLess(served(holder), 25 * MIB)

    def test_a_file_that_changes_while_it_is_served_is_never_sent_wrong(self):
        for change in ("replaced", "truncated", "deleted"):
            with self.subTest(change):
                holder, share = self.sharing(change)
                path = share / f"{change}.bin"
                sha256 = self.put(path, 96 * MIB, 4)
                holder.mesh("assets", "refresh")
                getter = self.getter(holder, name=f"getter-{change}")
                self.finds(getter, path.name)
                asked = self.get(getter, path.name)
                until(lambda: (view := self.transfer(getter)) and view["bytes_here"] > 0, "it has begun")
                if change == "replaced":
                    os.replace(share / self.other(share), path)
                elif change == "truncated":
                    os.truncate(path, 12345)
                else:
                    path.unlink()
                out, words = asked.communicate(timeout=120)
                if asked.returncode == 0:  # All had been read before.
                    self.assertEqual(digest(out.strip()), sha256)
                else:
                    self.say(words.strip())
                    self.assertFalse((getter.home / f"fetched/lan/{change}-share/{path.name}").exists())
                holder.end()
                getter.end()

    def other(self, share):
        self.put(share / "other.part", 96 * MIB, 5)
        return "other.part"

    def test_what_is_not_declared_is_answered_as_what_is_not_there(self):
        holder, share = self.sharing()
        secret = b"what nobody was told of" * 100
        (self.folder / "secret.txt").write_bytes(secret)
        (share / "link.txt").symlink_to(self.folder / "secret.txt")
        (share / ".hidden").write_bytes(secret)
        (share / "open.txt").write_bytes(b"anybody's")
        holder.mesh("assets", "refresh")
        getter = self.getter(holder)
        self.finds(getter, "open.txt")
        answers = set()
        for content in (secret, b"what does not exist"):
            cid = raw_cid(content)
            with self.assertRaises(RuntimeError) as refused:
                getter.ask("POST", f"/api/v1/assets/{cid}/fetch", {"timeout_ms": 10000})
            answers.add(str(refused.exception).replace(cid, "CID"))
            for path in ("link.txt", ".hidden", "secret.txt", "../secret.txt"):
                self.assertFalse(getter.ask("GET", f"/api/v1/query/asset?filepath={path}")["found"])
        self.assertEqual(len(answers), 1, answers)
        self.say(answers.pop())


if __name__ == "__main__":
    unittest.main()

"""Sealed content in a real mesh: who cannot read it keeps it and serves it on, for whom it is meant opens it."""

import random
import subprocess
import unittest
from pathlib import Path

from meshes import MESH, Case, Node, environment, until

MIB = 1 << 20


class Sealed(Case):
    def setUp(self):
        super().setUp()
        self.share = self.folder / "share"
        self.share.mkdir()
        (self.author,) = self.honest(1)
        self.reader, self.keeper = (
            self.started(Node(self.folder / name, [node.address for node in self.nodes], ("--slots", "1", *flags)))
            for name, flags in (("reader", ()), ("keeper", ("--share", str(self.share))))
        )
        self.all_meet()
        self.content = random.Random(6).randbytes(3 * MIB + 12_345)
        self.secret = self.folder / "secret.bin"
        self.secret.write_bytes(self.content)
        self.out = self.folder / "out"
        self.out.mkdir()

    def did(self, node):
        return node.ask("GET", "/api/v1/node")["did"]

    def seal(self, *recipients):
        words = [word for recipient in recipients for word in ("--for", recipient)]
        return self.author.mesh("assets", "add", *words, self.secret).decode().strip()

    def refused(self, node, *words):
        """The exit code of a command of this node that fails, and what it says; it has written nothing."""
        done = subprocess.run([MESH, "--home", str(node.home), *map(str, words)], capture_output=True, env=environment(), check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual((done.stdout, list(self.out.iterdir())), (b"", []))
        text = done.stderr.decode()
        self.assertTrue(text.startswith("error: "), text)
        return done.returncode, text

    def test_served_on_by_who_cannot_read_it(self):
        cid = self.seal(self.did(self.reader))
        for node, holder in ((self.author, ()), (self.keeper, ("--from", self.author.peer))):
            code, why = self.refused(node, "assets", "get", cid, *holder, "-o", self.out / "opened")
            self.assertEqual(code, 5)
            self.assertIn(f"sealed for {self.did(self.reader)}, not for this node ({self.did(node)})", why)
        kept = self.folder / "kept"
        self.keeper.mesh("assets", "get", cid, "--from", self.author.peer, "--sealed", "-o", kept)
        sealed = kept.read_bytes()
        self.assertEqual(len(sealed), len(self.content) + 179 + 4 * 17)
        for at in range(0, len(self.content) - 32, 100_000):
            self.assertNotIn(self.content[at : at + 32], sealed)
        # Added as it is it has the same name, and is served.
        self.assertEqual(self.keeper.add(kept), cid)
        self.author.end()
        opened = self.out / "opened"
        self.reader.mesh("assets", "get", cid, "--from", self.keeper.peer, "-o", opened)
        self.assertEqual(opened.read_bytes(), self.content)
        self.assertEqual(self.reader.mesh("assets", "get", cid), self.content)
        self.assertEqual(self.reader.mesh("assets", "get", cid, "--sealed"), sealed)

    def test_shared_under_a_name(self):
        cid = self.seal(self.did(self.reader), "self")
        kept = self.share / "secret.sealed"
        self.keeper.mesh("assets", "get", cid, "--from", self.author.peer, "--sealed", "-o", kept)
        self.keeper.mesh("assets", "refresh")
        for node in (self.author, self.reader):
            until(lambda node=node: node.ask("GET", "/api/v1/query/asset?name=secret.sealed")["found"], "the sealed file is found")
        # The author sealed it for itself, too.
        for node in (self.author, self.reader):
            opened = self.out / node.home.name
            node.mesh("assets", "get", "secret.sealed", "-o", opened)
            self.assertEqual(opened.read_bytes(), self.content)
            opened.unlink()
        # What is kept, to be served on, is sealed.
        place = Path(self.reader.mesh("assets", "get", "secret.sealed", "--path").decode().strip())
        self.assertEqual(place.read_bytes(), kept.read_bytes())
        self.reader.mesh("assets", "get", "secret.sealed", "--sealed", "-o", self.folder / "copy")
        self.assertEqual((self.folder / "copy").read_bytes(), kept.read_bytes())
        code, _ = self.refused(self.keeper, "assets", "get", "secret.sealed", "-o", self.out / "opened")
        self.assertEqual(code, 5)

    def test_what_was_altered_is_not_opened(self):
        own = self.reader.mesh("assets", "add", "--for", "self", self.secret).decode().strip()
        sealed = self.reader.ask("GET", f"/api/v1/assets/{own}")
        # In the header, in the first chunk, in later ones; cut off; continued.
        forms = [sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in (9, 60, 170, 5000, 2 * MIB + 7, len(sealed) - 1)]
        forms += [sealed[:100], sealed[:-1], sealed[: 2 * MIB], sealed + b"x"]
        bad = self.folder / "bad"
        for number, form in enumerate(forms):
            with self.subTest(number):
                bad.write_bytes(form)
                cid = self.reader.add(bad)
                self.refused(self.reader, "assets", "get", cid, "-o", self.out / "opened")
                self.assertEqual(self.reader.mesh("assets", "get", cid, "--sealed"), form)


if __name__ == "__main__":
    unittest.main()

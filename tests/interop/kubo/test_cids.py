"""The same file or folder has the same CID in Meshwork as in Kubo with the profile unixfs-v1-2025, and what one shards the
other reads. MESH names the program, IPFS the Kubo that scripts/kubo.sh builds; nothing of it runs but offline commands."""

import http.client
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "integration"))
from meshes import Node  # noqa: E402

IPFS = Path(os.environ["IPFS"])
MIB = 1 << 20
PLAIN_LIMIT = 256 << 10
DEEP = ("1241711", "464870")  # The first 40 bits of their murmur3-x64-64 are the same.


def varint_bytes(value):
    return max(1, -(-value.bit_length() // 7))


def plain_bytes(names, bytes_each):
    """The size of the block of a plain folder of raw files: what decides whether it is sharded."""

    def field(size):
        return 1 + varint_bytes(size) + size

    return field(2) + sum(field(field(36) + field(len(name)) + 1 + varint_bytes(bytes_each)) for name in names)


def names_of(target):
    """Names of empty files in a folder whose plain block has exactly `target` bytes."""
    each = plain_bytes(["0000" + "n" * 200], 0) - plain_bytes([], 0)
    names = [f"{number:04}" + "n" * 200 for number in range(target // each - 1)]
    for letter in "ab":
        names.append(letter)
        while plain_bytes(names, 0) < target and len(names[-1]) < 255:
            names[-1] += letter
    assert plain_bytes(names, 0) == target
    return names


@unittest.skipUnless(IPFS.exists(), f"no Kubo at {IPFS}: scripts/kubo.sh builds it where there is Go")
class Cids(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = Path(tempfile.mkdtemp(prefix="mesh-kubo-"))
        cls.addClassCleanup(shutil.rmtree, cls.top, ignore_errors=True)
        cls.ipfs("init", "--profile=unixfs-v1-2025")
        cls.node = Node(cls.top / "node")
        cls.addClassCleanup(cls.node.end)

    @classmethod
    def ipfs(cls, *words):
        """An offline command of Kubo: its output."""
        own = {"IPFS_PATH": str(cls.top / "ipfs"), "IPFS_TELEMETRY": "off", "HOME": str(cls.top), "PATH": os.environ["PATH"]}
        done = subprocess.run([IPFS, "--offline", *map(str, words)], capture_output=True, env=own, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"ipfs {words}: exit code {done.returncode}: {done.stderr.decode()}")
        return done.stdout

    def setUp(self):
        self.work = Path(tempfile.mkdtemp(dir=self.top))

    def same(self, path):
        """The CID that both give `path`."""
        kubos = self.ipfs("add", "--recursive", "--hidden", "--quieter", "--only-hash", path).decode().strip()
        self.assertEqual(self.node.add(path), kubos, path.name)
        return kubos

    def files(self, names, content=b""):
        folder = self.work / "folder"
        folder.mkdir()
        for name in names:
            (folder / name).write_bytes(content)
        return folder

    def is_sharded(self, folder):
        """By Kubo, which says what its own block is: a plain folder's data is the type alone."""
        cid = self.ipfs("add", "--recursive", "--hidden", "--quieter", folder).decode().strip()
        return json.loads(self.ipfs("dag", "get", cid))["Data"]["/"]["bytes"] != "CAE"

    def read_back(self, cid):
        """Imports Kubo's blocks below `cid` and writes them out again."""
        car = self.ipfs("dag", "export", "--progress=false", cid)
        connection = http.client.HTTPConnection(self.node.authority, timeout=120)
        headers = {"Authorization": "Bearer " + self.node.token, "Content-Type": "application/octet-stream"}
        connection.request("POST", "/api/v1/assets?car=1", car, headers)
        response = connection.getresponse()
        self.assertLess(response.status, 300, response.read()[:500])
        connection.close()
        out = self.work / "out"
        self.node.mesh("assets", "get", cid, "-o", out)
        return out

    def test_files_of_every_shape(self):
        noise = random.Random(5).randbytes(3 * MIB + 7)
        for size in (0, 1, MIB - 1, MIB, MIB + 1, len(noise)):
            with self.subTest(size=size):
                path = self.work / f"{size}.bin"
                path.write_bytes(noise[:size])
                self.same(path)

    def test_a_sparse_file_of_three_gib(self):
        path = self.work / "sparse.bin"
        with path.open("wb") as file:
            file.truncate(3 << 30)
            file.seek((1 << 30) + 5)
            file.write(b"not only zeros")
        self.same(path)
        stored = sum(file.stat().st_blocks * 512 for file in self.node.home.rglob("*") if file.is_file())
        self.assertLess(stored, 256 * MIB, "each different block is kept once")

    def test_folders(self):
        folder = self.work / "folder"
        (folder / "empty").mkdir(parents=True)
        self.assertEqual(self.same(folder / "empty"), "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354")
        deep = folder / "nested/more/and more"
        deep.mkdir(parents=True)
        (deep / "large.bin").write_bytes(bytes(5 * MIB))
        (folder / "nested/a.txt").write_bytes(b"a")
        (folder / ".hidden").write_bytes(b"hidden")
        self.same(folder)

    def test_names_of_every_kind(self):
        names = ["gr\u00fc\u00dfe", "e\u0301 is not \u00e9", "\u00e9", "\u65e5\u672c\u8a9e", "\U0001f30d.txt", "a b", "quo\"te's", "back\\slash",
                 "new\nline", "-r", "%2F", "Z", "a", "...", "\u00ff" * 127, "x" * 255, "FF", "00"]
        cid = self.same(self.files(names, b"some"))
        self.ipfs("add", "--recursive", "--hidden", self.work / "folder")
        self.assertEqual(sorted(path.name for path in self.read_back(cid).iterdir()), sorted(names))

    def test_the_threshold_of_sharding(self):
        for size, sharded in ((PLAIN_LIMIT - 1, False), (PLAIN_LIMIT, False), (PLAIN_LIMIT + 1, True)):
            with self.subTest(size=size):
                folder = self.files(names_of(size))
                self.same(folder)
                self.assertEqual(self.is_sharded(folder), sharded)
                shutil.rmtree(folder)

    def test_sizes_count_towards_the_threshold(self):
        # A link says how large its file is: in one byte more from 128 bytes on.
        name = "{:08}".format
        each = plain_bytes([name(0)], 1) - plain_bytes([], 1)
        names = [name(number) for number in range((PLAIN_LIMIT - plain_bytes([], 1)) // each)]
        for content, sharded in ((b"1", False), (bytes(128), True)):
            folder = self.files(names, content)
            self.same(folder)
            self.assertEqual(self.is_sharded(folder), sharded)
            shutil.rmtree(folder)

    def test_twenty_thousand_entries(self):
        folder = self.files([f"file-{number:05}.txt" for number in range(20_000)])
        for number in range(0, 20_000, 1000):
            (folder / f"file-{number:05}.txt").write_text(str(number))
        # These lie deeper than the rest.
        for name in DEEP:
            (folder / name).write_text(name)
        cid = self.same(folder)
        self.ipfs("add", "--recursive", "--quieter", folder)
        out = self.read_back(cid)
        self.assertEqual({path.name: path.read_bytes() for path in out.iterdir()}, {path.name: path.read_bytes() for path in folder.iterdir()})


if __name__ == "__main__":
    unittest.main()

"""A program's folder as content: the same blocks that `mesh run` makes of it, as CAR files for the node.

Files are cut into raw blocks of 1 MiB, with one node above them where there are several; a folder is one block (UnixFS,
profile unixfs-v1-2025). Left out are hidden files, __pycache__, node_modules, symbolic links and whatever is neither
file nor folder. Bounds: 64 MiB, 4,096 files, 32 levels. What can go wrong: ValueError, which names the folder or file;
OSError.
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CHUNK_BYTES = 1 << 20
CAR_BYTES = 16 << 20
MAX_BYTES = 64 << 20
MAX_FILES = 4096
MAX_DEPTH = 32
LEFT_OUT = frozenset({"__pycache__", "node_modules"})
RAW, DAG_PB = 0x55, 0x70
FOLDER, FILE = 1, 2


@dataclass(frozen=True)
class Node:
    """A file or folder: its CID as bytes, what it holds, and that with all blocks."""

    cid: bytes
    content: int
    total: int


@dataclass
class Packer:
    """Collects the blocks of a folder."""

    top: Path
    blocks: dict[bytes, bytes] = field(default_factory=dict)
    files: int = 0
    size: int = 0

    def folder(self, path: Path, depth: int = 0) -> Node:
        if depth > MAX_DEPTH:
            raise ValueError(f"{path} is nested more than {MAX_DEPTH} folders deep")
        links = []
        for name in sorted(os.listdir(path), key=os.fsencode):
            if name.startswith(".") or name in LEFT_OUT:
                continue
            mode = os.lstat(path / name).st_mode
            if stat.S_ISDIR(mode):
                links.append((name, self.folder(path / name, depth + 1)))
            elif stat.S_ISREG(mode):
                links.append((name, self.file(path / name)))
        return self.node(links, number(1, FOLDER), 0)

    def file(self, path: Path) -> Node:
        self.files += 1
        with open(path, "rb") as stream:
            content = stream.read(MAX_BYTES - self.size + 1)
        self.size += len(content)
        if self.files > MAX_FILES or self.size > MAX_BYTES:
            raise ValueError(
                f"the program's folder {self.top} holds more than {MAX_FILES} files or {MAX_BYTES >> 20} MiB: move the "
                "program to a folder of its own"
            )
        chunks = [content[at : at + CHUNK_BYTES] for at in range(0, len(content), CHUNK_BYTES)] or [b""]
        leaves = [Node(self.block(RAW, chunk), len(chunk), len(chunk)) for chunk in chunks]
        if len(leaves) == 1:
            return leaves[0]
        about = number(1, FILE) + number(3, len(content)) + b"".join(number(4, leaf.content) for leaf in leaves)
        return self.node([("", leaf) for leaf in leaves], about, len(content))

    def node(self, links: list[tuple[str, Node]], about: bytes, content: int) -> Node:
        """A block of links and what it is, as dag-pb."""
        text = b"".join(
            octets(2, octets(1, node.cid) + octets(2, name.encode()) + number(3, node.total)) for name, node in links
        )
        block = text + octets(1, about)
        return Node(self.block(DAG_PB, block), content, len(block) + sum(node.total for _, node in links))

    def block(self, codec: int, content: bytes) -> bytes:
        cid = bytes([1, codec, 0x12, 32]) + hashlib.sha256(content).digest()
        self.blocks[cid] = content
        return cid


@dataclass(frozen=True)
class Packed:
    root: bytes
    blocks: dict[bytes, bytes]

    @property
    def cid(self) -> str:
        return "b" + base64.b32encode(self.root).decode().lower().rstrip("=")

    def cars(self) -> Iterator[bytes]:
        """All blocks, in as few CAR files as are not too large for a request."""
        # {"roots": [cid], "version": 1} as dag-cbor.
        head = b"\xa2\x65roots\x81\xd8\x2a\x58\x25\x00" + self.root + b"\x67version\x01"
        begin = varint(len(head)) + head
        car = bytearray(begin)
        for cid, content in self.blocks.items():
            car += varint(len(cid) + len(content)) + cid + content
            if len(car) >= CAR_BYTES:
                yield bytes(car)
                car = bytearray(begin)
        if len(car) > len(begin):
            yield bytes(car)


def packed(folder: Path) -> Packed:
    packer = Packer(folder)
    return Packed(packer.folder(folder).cid, packer.blocks)


# ---- Protocol Buffers, as much of them as a block has.


def varint(value: int) -> bytes:
    text = bytearray()
    while value >= 0x80:
        text.append(value & 0x7F | 0x80)
        value >>= 7
    text.append(value)
    return bytes(text)


def number(tag: int, value: int) -> bytes:
    return varint(tag << 3) + varint(value)


def octets(tag: int, value: bytes) -> bytes:
    return varint(tag << 3 | 2) + varint(len(value)) + value

"""What a job's functions write to stderr, over connections that may be cut.

The API has no place to resume from: a log that is asked for again begins at its beginning. So what was handed on is
counted for each part of the job, and as much is left out again, if it is the same. That serves for another thing, too:
where two machines run a part at once, the log has what each of them writes, and they write the same.

What a node tells while a part runs may lack something (it keeps so many events, and takes so much of each log). Once
the job has ended the node has the whole log of each part, so that is read in the end, and what is missing handed on. A
log that is another then than it was, since the machine that wrote it was found wrong, is handed on whole.

What can go wrong: NodeUnreachable once the patience is over, ProtocolError.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any

from ._errors import ProtocolError
from ._http import parse
from ._views import LogRow, read


@dataclass(frozen=True)
class LogLine:
    """What a part wrote to stderr: `data` may be less or more than a line."""

    shard: int
    peer: str | None
    data: bytes

    @property
    def text(self) -> str:
        """With what is not UTF-8 replaced. It may hold anything: `meshwork.shown()` makes it safe for a terminal."""
        return self.data.decode("utf-8", "replace")


def log_line(line: bytes) -> LogLine:
    row = read(LogRow, parse(line, "a line of the log"), "line")
    try:
        return LogLine(row.shard, row.peer, multibase64(row.data))
    except ValueError as error:
        raise ProtocolError(f"a line of the log is not what the API says: {error}") from None


def multibase64(text: str) -> bytes:
    if not text.startswith("m"):
        raise ValueError("its data is not multibase of base64")
    return base64.b64decode(text[1:] + "=" * (-len(text[1:]) % 4), validate=True)


class AnotherLog(Exception):
    """What is read differs from what was handed on."""


@dataclass
class Position:
    """How far one machine's log of a part was read, and what it was."""

    count: int = 0
    digest: Any = field(default_factory=hashlib.sha256)


@dataclass
class Part:
    """What was handed on of a part's log, and where the present reading is."""

    given: Position = field(default_factory=Position)
    read: dict[str | None, Position] = field(default_factory=dict)

    def take(self, peer: str | None, data: bytes) -> bytes:
        """What is new of a machine's next bytes."""
        at = self.read.setdefault(peer, Position())
        known, new = data[: self.given.count - at.count], data[self.given.count - at.count :]
        at.digest.update(known)
        at.count += len(known)
        if known and at.count == self.given.count and at.digest.digest() != self.given.digest.digest():
            raise AnotherLog
        for position in (at, self.given) if new else ():
            position.digest.update(new)
            position.count += len(new)
        return new

    def rest(self, data: bytes) -> bytes:
        """What is new of the whole log."""
        is_same = hashlib.sha256(data[: self.given.count]).digest() == self.given.digest.digest()
        new = data[self.given.count :] if is_same else data
        self.given = Position(len(data), hashlib.sha256(data))
        return new


class Reading:
    """A log that is read once or several times, each time from its beginning."""

    def __init__(self) -> None:
        self.parts: dict[int, Part] = {}

    def begin(self) -> None:
        for part in self.parts.values():
            part.read.clear()

    def new(self, line: LogLine, is_whole: bool) -> LogLine | None:
        """What is new of it. `is_whole`: the line has all that its part wrote. Errors: AnotherLog."""
        part = self.parts.setdefault(line.shard, Part())
        data = part.rest(line.data) if is_whole else part.take(line.peer, line.data)
        return LogLine(line.shard, line.peer, data) if data else None

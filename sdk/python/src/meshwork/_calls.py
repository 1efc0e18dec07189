"""Calls of a carried function as a job's inputs, and their outcomes out of its parts' results.

Many calls share a part, since each part is bid for, started and verified by itself. Bounds: 1,000 calls or 4 MiB a part
unless the caller says how many. A result comes from machines of others: what is not exactly what _guest.main() writes
is a ProtocolError.
"""

from __future__ import annotations

import linecache
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import _guest
from ._errors import GuestError, ProtocolError, shown, trace_of
from ._source import Carried
from ._views import Resources, Shard

Call = tuple[Sequence[Any], dict[str, Any]]

MAX_CALLS = 1000
MAX_PART_BYTES = 4 << 20
PARTS_PER_CORE = 4
FEWEST_PARTS = 8
MOST_PARTS = 256
LINKS = {
    "cause": "The above exception was the direct cause of the following exception:",
    "context": "During handling of the above exception, another exception occurred:",
}


@dataclass(frozen=True)
class Part:
    """Calls that go together, and the place of the first among all."""

    first: int
    count: int
    text: bytes


def chunk_size(calls: int, nodes: Iterable[Resources | None]) -> int:
    """So many calls a part that every core of the mesh has some parts to do."""
    cores = sum(node.cores for node in nodes if node is not None and node.accepts_work)
    parts = min(max(PARTS_PER_CORE * cores, FEWEST_PARTS), MOST_PARTS)
    return min(max(1, math.ceil(calls / parts)), MAX_CALLS)


def parts_of(calls: Iterable[Call], size: int, go_on: bool) -> list[Part]:
    """Errors: DoesNotTravel, ValueError, with the index of the item."""
    return joined((call_text(args, kwargs, index) for index, (args, kwargs) in enumerate(calls)), size, go_on)


def one_part(args: Sequence[Any]) -> list[Part]:
    """A single call. Errors: as parts_of()."""
    return parts_of([(args, {})], 1, False)


def joined(calls: Iterable[str], size: int, go_on: bool) -> list[Part]:
    """Parts of calls as call_text() has them."""
    parts: list[Part] = []
    texts: list[str] = []
    length = first = index = 0

    def close() -> None:
        nonlocal texts, length, first
        if texts:
            # As dumps() would write it, made of pieces.
            text = '{"calls":[' + ",".join(texts) + '],"go_on":' + ("true" if go_on else "false") + "}"
            parts.append(Part(first, len(texts), text.encode("ascii")))
        first, texts, length = index, [], 0

    for text in calls:
        if texts and (len(texts) >= size or length + len(text) > MAX_PART_BYTES):
            close()
        texts.append(text)
        length += len(text) + 1
        index += 1
    close()
    return parts


def call_text(args: Sequence[Any], kwargs: Mapping[str, Any], index: int) -> str:
    try:
        return _guest.dumps([list(args), dict(kwargs)])
    except (TypeError, ValueError) as error:
        raise type(error)(f"the arguments of call {index} cannot be sent: {error}") from None


Outcome = tuple[bool, Any]
"""True and a value, or False and a GuestError."""


class Outcomes:
    """Reads the results of a job's parts."""

    def __init__(self, carried: Carried, parts: Sequence[Part], job: str) -> None:
        self.carried = carried
        self.parts = parts
        self.job = job

    def of(self, shard: Shard, result: bytes, go_on: bool) -> list[Outcome]:
        """One for each call of the part; without `go_on` an exception is the last."""
        if not 0 <= shard.shard < len(self.parts):
            raise ProtocolError(f"job {self.job} has a part {shard.shard} that nobody asked for")
        part = self.parts[shard.shard]
        outcome = shard.outcome
        if (
            outcome is not None
            and not outcome.succeeded
            and not (outcome.kind == "exited" and outcome.exit_code == 1 and result)
        ):
            return [(False, self.ended(shard, part))] * (part.count if go_on else 1)
        try:
            rows = _guest.load_json(result.decode("ascii"))
            outcomes = [self.read(row, part.first + place, shard.shard) for place, row in enumerate(rows)]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ProtocolError(
                f"part {shard.shard} of job {self.job} came to something that the program does not write: {error}"
            ) from None
        cut = bool(outcomes) and not outcomes[-1][0] and not go_on and len(outcomes) <= part.count
        if len(outcomes) != part.count and not cut:
            raise ProtocolError(
                f"part {shard.shard} of job {self.job} has {len(outcomes)} outcomes for {part.count} calls"
            )
        return outcomes

    def read(self, row: Any, index: int, shard: int) -> Outcome:
        kind, value = row
        if type(kind) is not int or kind not in (0, 1):
            raise ValueError("an outcome of no known kind")
        return (True, _guest.from_json(value)) if kind == 0 else (False, self.raised(value, index, shard))

    def raised(self, chain: Any, index: int, shard: int) -> GuestError:
        """An exception of the function, as Python shows it, at the lines of the caller's files."""
        if type(chain) is not list or not 0 < len(chain) <= _guest.MAX_CHAIN:
            raise ValueError("an exception of no known form")
        last = chain[0]
        texts = []
        for place in reversed(range(len(chain))):
            frames = "".join(self.frame_text(*frame) for frame in self.frames(chain[place]))
            texts.append(f"Traceback (most recent call last):\n{frames}{headline(chain[place])}\n")
            if place:
                texts.append(f"\n{LINKS[chain[place]['link']]}\n\n")
        text = "".join(texts)
        return GuestError(
            f"{self.carried.name} raised {headline(last)} (item {index})\n\nIn the guest:\n{text}",
            self.job,
            kind=last["type"],
            message=last["message"],
            traceback=shown(text),
            index=index,
            shard=shard,
            frames=self.frames(last),
        )

    def frames(self, link: Any) -> list[tuple[str, int, str]]:
        if type(link) is not dict or not all(type(link.get(name)) is str for name in ("type", "message", "link")):
            raise ValueError("an exception of no known form")
        frames = []
        for file, line, name in link["frames"]:
            if type(file) is not str or type(line) is not int or type(name) is not str:
                raise ValueError("a frame of no known form")
            frames.append((self.carried.files.get(file, file), line, name))
        return frames

    def frame_text(self, file: str, line: int, name: str) -> str:
        # Only files that were carried are looked at, whatever the guest says.
        source = linecache.getline(file, line).strip() if file in self.carried.files.values() else ""
        return f'  File "{file}", line {line}, in {name}\n' + (f"    {source}\n" if source else "")

    def ended(self, shard: Shard, part: Part) -> GuestError:
        """The program did not come to its end: out of fuel or memory, or trapped."""
        assert shard.outcome is not None
        places = f"item {part.first}" if part.count == 1 else f"items {part.first} to {part.first + part.count - 1}"
        advice = "" if part.count == 1 else "; if the limit was for one item, give a smaller chunksize"
        return GuestError(
            f"{self.carried.name} was ended at {places}: {shard.outcome.text}{advice}",
            self.job,
            kind=shard.outcome.kind,
            message=shard.outcome.text,
            traceback=shown(trace_of(shard.outcome.backtrace)),
            index=part.first if part.count == 1 else None,
            shard=shard.shard,
        )


def headline(link: dict[str, str]) -> str:
    return f"{link['type']}: {link['message']}" if link["message"] else link["type"]

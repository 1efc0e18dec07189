"""What a node's API tells, as values: the schemas of /openapi.json that the client uses, checked as they are read.

Fields that a newer node adds are ignored. What can go wrong: ProtocolError, which names the field that is missing or of
another type.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from dataclasses import dataclass
from typing import Any, TypeVar

from ._errors import ProtocolError

View = TypeVar("View")


@dataclass(frozen=True)
class Federation:
    name: str
    cid: str


@dataclass(frozen=True)
class Resources:
    agent: str
    cores: int
    memory_mb: int
    fuel_per_second: int
    running: int
    queued: int
    accepts_work: bool
    services: list[str]


@dataclass(frozen=True)
class Node:
    peer: str
    did: str
    version: str
    federation: Federation
    home: str
    started: str
    boot: int
    ready: bool
    reason: str
    addresses: list[str]
    peers: int
    jobs: int
    resources: Resources


@dataclass(frozen=True)
class Peer:
    peer: str
    short: str
    connected: bool
    address: str
    transport: str
    found: str
    agent: str
    rtt_us: int
    jitter_us: int
    penalty: str
    resources: Resources | None


@dataclass(frozen=True)
class Escrow:
    """Of a job with a fee; amounts are micro-credits as decimal text."""

    state: str
    locked: str
    held: str
    paid: str
    refunded: str


@dataclass(frozen=True)
class JobStatus:
    id: str
    label: str
    phase: str
    ended: bool
    failure: str
    unverified: bool
    shards: int
    finished: int
    running: int
    verifying: int
    failed_outcomes: int
    function: str
    inputs: str
    reduce: str | None
    reduce_job: str | None
    result: str | None
    fee: int
    verifiers: int | None
    sample_per_mille: int
    sealed: bool
    checked: int
    fuel: int
    created: str
    elapsed_ms: int | None
    notes: list[str]
    escrow: Escrow | None


@dataclass(frozen=True)
class Outcome:
    kind: str
    exit_code: int
    trap: str
    backtrace: list[str]
    detail: str
    succeeded: bool
    text: str


@dataclass(frozen=True)
class Seat:
    peer: str
    state: str


@dataclass(frozen=True)
class Shard:
    shard: int
    state: str
    worker: str | None
    decision: str | None
    result: str | None
    log: str | None
    fuel: int | None
    outcome: Outcome | None
    seats: list[Seat]
    story: list[str]


@dataclass(frozen=True)
class Rank:
    peer: str
    score: int
    reputation: int
    cost: int
    penalised: bool


@dataclass(frozen=True)
class Refusal:
    peer: str
    reason: str


@dataclass(frozen=True)
class Explanation:
    """Why a job went as it did: who was ranked how, who refused, and of each shard who ran and who verified it."""

    job: JobStatus
    ranking: list[Rank]
    refused: list[Refusal]
    shards: list[Shard]


@dataclass(frozen=True)
class Accepted:
    """The answer to a task."""

    id: str


@dataclass(frozen=True)
class LogRow:
    """A line of a job's log; `data` is multibase."""

    shard: int
    peer: str | None
    data: str


@dataclass(frozen=True)
class Plan:
    """What a job would be: the answer to a dry run."""

    function: str
    description: str
    inputs: str
    shards: int
    bytes: int
    reduce: str | None
    fee_total: int
    verifiers: int | None
    sealed: bool
    peers: list[Prospect]


@dataclass(frozen=True)
class Prospect:
    """A connected peer; `lacks` says why it will not take the task, None: it may."""

    peer: str
    lacks: str | None


@dataclass(frozen=True)
class Price:
    height: int
    price: str | None
    works: int
    fuel: int
    fee: str


@dataclass(frozen=True)
class Event:
    """A change. `data` holds bytes of a log as multibase; kind "gap" says that something before it is missing."""

    seq: int
    time: str
    kind: str
    job: str | None = None
    peer: str | None = None
    shard: int | None = None
    shards: list[list[int]] | None = None
    phase: str | None = None
    text: str | None = None
    data: str | None = None


@dataclass(frozen=True)
class Asset:
    cid: str
    bytes: int


@dataclass(frozen=True)
class FoundFile:
    path: str | None
    share: str | None
    cid: str
    bytes: int | None
    sha256: str | None
    visibility: str | None


@dataclass(frozen=True)
class Holding:
    asset: FoundFile
    source: str
    peer: str
    rtt_us: int


@dataclass(frozen=True)
class Holdings:
    holdings: list[Holding]


@dataclass(frozen=True)
class FolderEntry:
    path: str
    cid: str


@dataclass(frozen=True)
class Folder:
    cid: str
    entries: list[FolderEntry]


@dataclass(frozen=True)
class Account:
    """Amounts are micro-credits as decimal text; `Wallet.balance` has them as int."""

    account: str
    peer: str
    exists: bool
    balance: str
    bonded: str
    at_stake: str
    sequence: int
    height: int


@dataclass(frozen=True)
class Transaction:
    """`status`: "final" if it is in a block that is certain, else what it waits for."""

    transaction: str
    status: str
    height: int | None
    detail: str


@dataclass(frozen=True)
class AccountTransaction:
    height: int
    time: str
    direction: str
    cid: str
    kind: str
    account: str
    sequence: int


@dataclass(frozen=True)
class History:
    transactions: list[AccountTransaction]


@dataclass(frozen=True)
class Ping:
    peer: str
    rtt_us: int


@dataclass(frozen=True)
class Dialed:
    peer: str


def read(kind: type[View], value: Any, where: str) -> View:
    """A view of what the node answered. Errors: ProtocolError."""
    return typing.cast(View, checked(kind, value, where))


def read_list(kind: type[View], value: Any, where: str) -> list[View]:
    return typing.cast(list[View], checked(list[kind], value, where))  # type: ignore[valid-type]


@functools.cache
def hints_of(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def checked(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return checked_fields(kind, value, where)
    origin = typing.get_origin(kind)
    if origin is types.UnionType:
        inner = [item for item in typing.get_args(kind) if item is not types.NoneType]
        return None if value is None else checked(inner[0], value, where)
    if origin is list:
        if type(value) is not list:
            raise wrong(where, "a list", value)
        (item_kind,) = typing.get_args(kind)
        return [checked(item_kind, item, f"{where}[{place}]") for place, item in enumerate(value)]
    if type(value) is not kind:
        raise wrong(where, {str: "text", int: "an integer", bool: "true or false"}[kind], value)
    return value


def checked_fields(kind: Any, value: Any, where: str) -> Any:
    if type(value) is not dict:
        raise wrong(where, "an object", value)
    hints = hints_of(kind)
    fields = {}
    for field in dataclasses.fields(kind):
        if field.name in value:
            fields[field.name] = checked(hints[field.name], value[field.name], f"{where}.{field.name}")
        elif field.default is dataclasses.MISSING:
            raise ProtocolError(f"the node's answer lacks {where}.{field.name}: is it of another version?")
    return kind(**fields)


def wrong(where: str, wanted: str, value: Any) -> ProtocolError:
    return ProtocolError(f"in the node's answer {where} is not {wanted}, but {repr(value)[:80]}")

"""A job on the mesh: how far it is, what it says, what it came to.

Nothing here asks again and again: a job is read once its events say that something changed, and after a gap in them.
While the node restarts, it is waited for as long as the client's patience lasts. Jobs go on at the node whatever
happens here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import _guest
from ._calls import Outcome, Outcomes, Part
from ._errors import (
    GuestError,
    NodeUnreachable,
    NotFound,
    ProtocolError,
    Unavailable,
    job_error,
    trace_of,
    within,
)
from ._events import EventHub, Reader
from ._http import Api, Patience, route
from ._logs import AnotherLog, LogLine, Reading, log_line
from ._progress import Progress
from ._source import Carried
from ._views import Accepted, Event, Explanation, JobStatus, Shard, read, read_list

PAGE = 64
FULL_PAGE = 1000
LOG_TAIL = 2000
CHANGES = frozenset({"job.phase", "job.award", "job.committed", "job.shard", "job.done", "gap"})


@dataclass(frozen=True)
class Result:
    """What a program wrote. `unverified`: one machine ran it, and nobody has run it again."""

    bytes: bytes
    job: str
    shard: int = 0
    unverified: bool = False

    @property
    def text(self) -> str:
        """As UTF-8. Errors: UnicodeDecodeError."""
        return self.bytes.decode("utf-8")

    def json(self) -> Any:
        """As JSON, strictly: NaN and numbers beyond a float's range are ValueErrors."""
        return _guest.load_json(self.bytes.decode("utf-8"))

    def save(self, file: str | os.PathLike[str]) -> None:
        Path(file).write_bytes(self.bytes)


class AsyncJob:
    """A job of the connected node."""

    def __init__(
        self, api: Api, hub: EventHub, id: str, progress: bool | None = False, outcomes: Outcomes | None = None
    ) -> None:
        self._api = api
        self._hub = hub
        self._progress = progress
        self._outcomes = outcomes
        self.id = id

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"

    def _path(self, *rest: str) -> str:
        return route("tasks", self.id, *rest)

    @property
    def _patience(self) -> float:
        return self._hub.patience

    # ---- How far it is.

    async def status(self) -> JobStatus:
        return read(JobStatus, await self._api.json("GET", self._path(), patience=self._patience), "job")

    async def done(self) -> bool:
        return (await self.status()).ended

    async def shards(self, first: int = 0, count: int = FULL_PAGE) -> list[Shard]:
        query = {"first": first, "count": min(count, FULL_PAGE)}
        answer = await self._api.json("GET", self._path("shards"), query=query, patience=self._patience)
        return read_list(Shard, answer, "shards")

    async def explain(self, first: int = 0, count: int = FULL_PAGE) -> Explanation:
        query = {"first": first, "count": min(count, FULL_PAGE)}
        return read(Explanation, await self._api.json("GET", self._path("explain"), query=query), "explanation")

    async def wait(self, timeout: float | None = None) -> JobStatus:
        """The job's end. Errors: TimedOut (the job goes on), NodeUnreachable."""
        text = self._late(timeout)
        with Progress(self._progress) as progress:
            async with within(timeout, text), aclosing(self._changes(progress)) as changes:
                async for status in changes:
                    if status.ended:
                        return status
        raise AssertionError("changes end with the job")

    def _late(self, timeout: float | None) -> str:
        return f"job {self.id} did not end within {timeout} s; it goes on"

    async def _changes(self, progress: Progress) -> AsyncGenerator[JobStatus, None]:
        """The job now and after each change, until it has ended."""
        async with self._hub.reader(self.id) as reader:
            status = await self.status()
            progress.show(status)
            yield status
            while not status.ended:
                await changed(reader)
                status = await self.status()
                progress.show(status)
                yield status

    async def events(self) -> AsyncGenerator[Event, None]:
        """What happens from now on, until the job has ended. After one of kind "gap" something is missing."""
        async with self._hub.reader(self.id) as reader:
            if (await self.status()).ended:
                return
            while True:
                for event in await reader.next():
                    yield event
                    if event.kind == "job.done":
                        return
                    if event.kind == "gap" and (await self.status()).ended:
                        return

    async def logs(self, follow: bool = False, shard: int | None = None) -> AsyncGenerator[LogLine, None]:
        """What the function wrote to stderr, as far as the node has it now; with `follow` until the job has ended, each
        byte once, whoever ran it and however often the connection is cut. Errors: NodeUnreachable."""
        reading = Reading()
        tries = Patience(self._patience)
        has_ended = follow and await self.done()
        while True:
            try:
                reading.begin()
                async with aclosing(self._log_lines(follow and not has_ended, shard, tries)) as lines:
                    async for line in lines:
                        new = reading.new(line, has_ended) if follow else line
                        if new is not None:
                            tries.renew()
                            yield new
                if has_ended or not follow:
                    return
                has_ended = True
            except AnotherLog:
                await AsyncJob(self._api, self._hub, self.id).wait()
                has_ended = True
            except (NodeUnreachable, Unavailable):
                if not follow or not await tries.again():
                    raise

    async def _log_lines(self, follow: bool, shard: int | None, tries: Patience) -> AsyncGenerator[LogLine, None]:
        query = {"follow": 1 if follow else None, "shard": shard}
        async with aclosing(self._api.lines(self._path("logs"), query=query, tries=tries)) as lines:
            async for line in lines:
                yield log_line(line)

    async def stop(self) -> None:
        await self._api.json("POST", self._path("stop"))

    async def rerun(self) -> AsyncJob:
        """The same again, as a new job."""
        answer = await self._api.json("POST", self._path("rerun"))
        return AsyncJob(self._api, self._hub, accepted_id(answer), self._progress)

    # ---- What it came to.

    async def result(self, timeout: float | None = None, shard: int | None = None) -> Result:
        """The result of a job with one, or of one of its shards. Errors: JobFailed and what derives from it,
        TimedOut."""
        status = await self.wait(timeout)
        await self._check(status)
        if shard is None and status.shards > 1 and status.result is None:
            raise ValueError(f"the job has {status.shards} results: take results(), or name a shard")
        body = await self._api.body("GET", self._path("result"), query={"shard": shard}, patience=self._patience)
        return Result(body, self.id, shard or 0, status.unverified)

    async def value(self, timeout: float | None = None) -> Any:
        """What a function returned. Errors: GuestError if it raised, else as result()."""
        if self._outcomes is None:
            raise TypeError("only a job that was started with a Python function has a value: take its result()")
        async with within(timeout, self._late(timeout)), aclosing(self._parts()) as parts:
            async for ((good, value),) in parts:
                if not good:
                    raise value
                return value
        raise AssertionError("a part has an outcome")

    async def _parts(self, go_on: bool = False) -> AsyncGenerator[list[Outcome], None]:
        """The outcomes of a function's calls, part by part, in order."""
        assert self._outcomes is not None
        async with aclosing(self._outputs()) as outputs:
            async for shard, body in outputs:
                yield self._outcomes.of(shard, body, go_on)

    async def results(self) -> AsyncGenerator[Result, None]:
        """Those of all shards in order, each as soon as it is decided. Errors: as result()."""
        async with aclosing(self._outputs()) as outputs:
            async for shard, body in outputs:
                if shard.outcome is not None and not shard.outcome.succeeded:
                    raise await self._guest_error(shard)
                yield Result(body, self.id, shard.shard, shard.decision == "unverified")

    async def save_result(self, file: str | os.PathLike[str], shard: int | None = None) -> int:
        """The same as a file, of any size. Its size."""
        await self._check(await self.wait())
        return await self._api.download(
            self._path("result"), Path(file), query={"shard": shard}, patience=self._patience
        )

    async def receipts(self, shard: int | None = None) -> bytes:
        """The proof bundle, a CAR file: `mesh receipt verify` checks it without a node."""
        return await self._api.body("GET", self._path("receipts"), query={"shard": shard}, patience=self._patience)

    async def _outputs(self) -> AsyncGenerator[tuple[Shard, bytes], None]:
        """What the shards wrote, in order, each as soon as it is decided; of those that failed, too."""
        first = 0
        with Progress(self._progress) as progress:
            async with aclosing(self._changes(progress)) as changes:
                async for status in changes:
                    while first < status.shards:
                        page = await self._ready(first, status.ended)
                        first += len(page)
                        if first >= status.shards:
                            progress.finish(status)
                        for output in page:
                            yield output
                        if len(page) < PAGE:
                            break
                    if first >= status.shards:
                        return
                    if status.ended:
                        raise job_error(self.id, status.failure or status.phase)

    async def _ready(self, first: int, ended: bool) -> list[tuple[Shard, bytes]]:
        """Those from `first` on that are final and here. Read after the status: if that has ended, all are."""
        page = decided(await self.shards(first, PAGE))
        bodies = await asyncio.gather(*(self._content(shard, ended) for shard in page))
        outputs = []
        for shard, body in zip(page, bodies, strict=True):
            if body is None:
                break
            outputs.append((shard, body))
        return outputs

    async def _content(self, shard: Shard, ended: bool) -> bytes | None:
        """None: the node does not have it yet."""
        try:
            return await self._api.body("GET", route("assets", shard.result or ""), patience=self._patience)
        except NotFound:
            if ended:
                raise
            return None

    async def _folded(self, fold: Carried) -> Any:
        """What a function made of the values of all parts."""
        status = await self.wait()
        if status.failed_outcomes > 0:
            async with aclosing(self._parts()) as parts:
                async for outcomes in parts:
                    if not outcomes[-1][0]:
                        raise outcomes[-1][1]
        if status.reduce_job is None or status.phase == "stopped":
            raise job_error(self.id, status.failure or status.phase)
        job = status.reduce_job
        return await AsyncJob(self._api, self._hub, job, False, Outcomes(fold, [Part(0, 1, b"")], job)).value()

    async def _check(self, status: JobStatus) -> None:
        if not status.ended or status.phase == "done":
            return
        if status.reduce_job is not None and status.phase != "stopped":
            reduction = AsyncJob(self._api, self._hub, status.reduce_job)
            await reduction._check(await reduction.status())
        if status.failed_outcomes > 0 and status.phase != "stopped":
            first = 0
            while first < status.shards:
                page = await self.shards(first)
                for shard in page:
                    if shard.outcome is not None and not shard.outcome.succeeded:
                        raise await self._guest_error(shard)
                if not page:
                    break
                first += len(page)
        raise job_error(self.id, status.failure or status.phase)

    async def _guest_error(self, shard: Shard) -> GuestError:
        """How a program failed, with the end of its log."""
        assert shard.outcome is not None
        tail = ""
        if shard.log is not None:
            try:
                log = await self._api.body("GET", route("assets", shard.log))
                tail = log[-LOG_TAIL:].decode("utf-8", "replace").rstrip()
            except NotFound:
                pass  # Nobody has it any more.
        trace = trace_of(shard.outcome.backtrace)
        text = f"shard {shard.shard} failed: {shard.outcome.text}"
        if trace:
            text += f"\n{trace.rstrip()}"
        if tail:
            text += f"\nits log ends with:\n{tail}"
        return GuestError(
            text,
            self.id,
            kind=shard.outcome.kind,
            message=shard.outcome.text,
            traceback=tail or trace,
            shard=shard.shard,
        )


async def changed(reader: Reader) -> None:
    while not any(event.kind in CHANGES for event in await reader.next()):
        pass


def decided(shards: list[Shard]) -> list[Shard]:
    """Those at the front that are final."""
    final = []
    for shard in shards:
        if shard.result is None or shard.decision not in ("accepted", "unverified", "spot_checked"):
            break
        final.append(shard)
    return final


def accepted_id(answer: Any) -> str:
    id = read(Accepted, answer, "answer").id
    if not id:
        raise ProtocolError("the node accepted the job without saying its id")
    return id

"""The client for programs without asyncio: each call waits for the same call of the asynchronous one, which runs on a
thread of its own. What each does is said there.

What can go wrong besides: RuntimeError for a call out of a future's callback, which would wait for itself, and in a
process that was forked from one that used the client already.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import os
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar, Unpack, cast, overload

from ._batch import Batcher, Future
from ._calls import Outcome
from ._client import AsyncMesh, AsyncResults, Path_, Program
from ._http import Query
from ._jobs import AsyncJob, Result
from ._logs import LogLine
from ._tasks import Input, Options
from ._views import (
    Account,
    AccountTransaction,
    Asset,
    Event,
    Explanation,
    Folder,
    Holding,
    JobStatus,
    Node,
    Peer,
    Ping,
    Plan,
    Price,
    Shard,
    Transaction,
)

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")
END = object()


class Portal:
    """An event loop on a thread, and calls into it."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="meshwork", daemon=True)
        self.thread.start()

    def call(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        if threading.current_thread() is self.thread or self.pid != os.getpid():
            coroutine.close()
            where = "a callback of a future" if self.pid == os.getpid() else "a forked process: connect anew in it"
            raise RuntimeError(f"the client cannot wait in {where}")
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result(timeout)
        except BaseException:
            future.cancel()
            raise

    def each(self, generator: AsyncGenerator[T, None]) -> Iterator[T]:
        async def step() -> Any:
            return await anext(generator, END)

        try:
            while (item := self.call(step())) is not END:
                yield item
        finally:
            self.call(generator.aclose())


@functools.lru_cache(maxsize=1)
def portal_of(pid: int) -> Portal:
    return Portal()


def portal() -> Portal:
    """One for the process."""
    return portal_of(os.getpid())


class Job:
    """A job of the connected node."""

    def __init__(self, portal: Portal, job: AsyncJob) -> None:
        self._portal = portal
        self._job = job

    def __repr__(self) -> str:
        return f"<Job {self.id}>"

    @property
    def id(self) -> str:
        return self._job.id

    def status(self) -> JobStatus:
        return self._portal.call(self._job.status())

    def done(self) -> bool:
        return self._portal.call(self._job.done())

    def shards(self, first: int = 0, count: int = 1000) -> list[Shard]:
        return self._portal.call(self._job.shards(first, count))

    def explain(self, first: int = 0, count: int = 1000) -> Explanation:
        return self._portal.call(self._job.explain(first, count))

    def wait(self, timeout: float | None = None) -> JobStatus:
        return self._portal.call(self._job.wait(timeout))

    def events(self) -> Iterator[Event]:
        return self._portal.each(self._job.events())

    def logs(self, follow: bool = False, shard: int | None = None) -> Iterator[LogLine]:
        return self._portal.each(self._job.logs(follow, shard))

    def stop(self) -> None:
        self._portal.call(self._job.stop())

    def rerun(self) -> Job:
        return Job(self._portal, self._portal.call(self._job.rerun()))

    def result(self, timeout: float | None = None, shard: int | None = None) -> Result:
        return self._portal.call(self._job.result(timeout, shard))

    def value(self, timeout: float | None = None) -> Any:
        return self._portal.call(self._job.value(timeout))

    def results(self) -> Iterator[Result]:
        return self._portal.each(self._job.results())

    def save_result(self, file: Path_, shard: int | None = None) -> int:
        return self._portal.call(self._job.save_result(file, shard))

    def receipts(self, shard: int | None = None) -> bytes:
        return self._portal.call(self._job.receipts(shard))


class Results(Generic[T]):
    """What map() comes to, in order: an iterator. Closed or dropped before its end, it stops its job."""

    def __init__(self, portal: Portal, results: AsyncResults[T]) -> None:
        self._portal = portal
        self._results = results
        self._ready: deque[Outcome] = deque()
        portal.call(results.start())

    @property
    def job(self) -> Job | None:
        """None: there was nothing to do."""
        return None if self._results.job is None else Job(self._portal, self._results.job)

    def __iter__(self) -> Results[T]:
        return self

    def __next__(self) -> T:
        return self.next()

    def next(self, timeout: float | None = None) -> T:
        """The next one. Errors: StopIteration, GuestError, TimedOut if it is not there within so many seconds."""
        if not self._ready:
            self._ready.extend(self._portal.call(self._results._take(timeout)))
        if not self._ready:
            raise StopIteration
        good, value = self._ready.popleft()
        if good:
            return cast(T, value)
        self.close()
        raise value

    def close(self) -> None:
        self._ready.clear()
        self._portal.call(self._results.close())

    def __del__(self) -> None:
        results, portal = getattr(self, "_results", None), self._portal
        if results is not None and not results._over and portal.pid == os.getpid() and portal.loop.is_running():
            asyncio.run_coroutine_threadsafe(results.close(), portal.loop)


class Mesh:
    """A running node, and through it the mesh."""

    def __init__(
        self,
        home: Path_ | None = None,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout: float = 60.0,
        patience: float = 60.0,
    ) -> None:
        self._portal = portal()

        async def make() -> AsyncMesh:
            return AsyncMesh(home, url, token, timeout=timeout, patience=patience)

        self._mesh = self._portal.call(make())
        self._mesh._batcher.loop = self._portal.loop

    def __enter__(self) -> Mesh:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Mesh of {self._mesh._endpoint}>"

    def close(self) -> None:
        self._portal.call(self._mesh.close())

    def request(
        self, method: str, path: str, *, query: Query | None = None, json: Any = None, content: bytes | None = None
    ) -> Any:
        return self._portal.call(self._mesh.request(method, path, query=query, json=json, content=content))

    def start(
        self,
        program: Callable[..., Any] | Program,
        inputs: Input | Sequence[Input] | None = None,
        args: Sequence[Any] = (),
        *,
        reduce: Program | None = None,
        **options: Unpack[Options],
    ) -> Job:
        return Job(self._portal, self._portal.call(self._mesh.start(program, inputs, args, reduce=reduce, **options)))

    def plan(
        self,
        program: Callable[..., Any] | Program,
        inputs: Input | Sequence[Input] | None = None,
        args: Sequence[Any] = (),
        *,
        reduce: Program | None = None,
        **options: Unpack[Options],
    ) -> Plan:
        return self._portal.call(self._mesh.plan(program, inputs, args, reduce=reduce, **options))

    @overload
    def run(
        self,
        program: Program,
        inputs: list[Any] | tuple[Any, ...],
        args: Sequence[str] = (),
        *,
        reduce: Program,
        **options: Unpack[Options],
    ) -> Result: ...
    @overload
    def run(
        self,
        program: Program,
        inputs: list[Any] | tuple[Any, ...],
        args: Sequence[str] = (),
        **options: Unpack[Options],
    ) -> list[Result]: ...
    @overload
    def run(
        self,
        program: Program,
        inputs: Input | None = None,
        args: Sequence[str] = (),
        *,
        reduce: Program | None = None,
        **options: Unpack[Options],
    ) -> Result: ...
    @overload
    def run(
        self, program: Callable[..., T], inputs: Any = None, args: Sequence[Any] = (), **options: Unpack[Options]
    ) -> T: ...
    def run(
        self,
        program: Any,
        inputs: Any = None,
        args: Sequence[Any] = (),
        *,
        reduce: Program | None = None,
        **options: Unpack[Options],
    ) -> Any:
        return self._portal.call(self._mesh.run(program, inputs, args, reduce=reduce, **options))

    def map(
        self,
        function: Callable[..., T],
        *iterables: Iterable[Any],
        chunksize: int | None = None,
        **options: Unpack[Options],
    ) -> Results[T]:
        """The results of the function for all items, in order; the job is started at once."""
        return Results(self._portal, self._mesh.map(function, *iterables, chunksize=chunksize, **options))

    def map_reduce(
        self,
        function: Callable[..., T],
        fold: Callable[[list[T]], R],
        *iterables: Iterable[Any],
        chunksize: int | None = None,
        **options: Unpack[Options],
    ) -> R:
        return self._portal.call(self._mesh.map_reduce(function, fold, *iterables, chunksize=chunksize, **options))

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return self._mesh._batcher.submit(function, args, kwargs)

    def jobs(self, count: int = 100) -> list[JobStatus]:
        return self._portal.call(self._mesh.jobs(count))

    def job(self, id: str) -> Job:
        return Job(self._portal, self._portal.call(self._mesh.job(id)))

    def events(self) -> Iterator[Event]:
        return self._portal.each(self._mesh.events())

    def node(self) -> Node:
        return self._portal.call(self._mesh.node())

    def peers(self) -> list[Peer]:
        return self._portal.call(self._mesh.peers())

    def ping(self, peer: str) -> Ping:
        return self._portal.call(self._mesh.ping(peer))

    def dial(self, address: str) -> str:
        return self._portal.call(self._mesh.dial(address))

    def add(self, content: bytes | Path_) -> Asset:
        return self._portal.call(self._mesh.add(content))

    def find(self, name: str | None = None, *, cid: str | None = None, sha256: str | None = None) -> list[Holding]:
        return self._portal.call(self._mesh.find(name, cid=cid, sha256=sha256))

    def get(self, cid: str, timeout: float = 60.0) -> bytes:
        return self._portal.call(self._mesh.get(cid, timeout))

    def get_to(self, cid: str, file: Path_, timeout: float = 60.0) -> int:
        return self._portal.call(self._mesh.get_to(cid, file, timeout))

    def folder(self, cid: str) -> Folder:
        return self._portal.call(self._mesh.folder(cid))

    def fetch(self, cid: str, timeout: float = 60.0) -> None:
        self._portal.call(self._mesh.fetch(cid, timeout))

    def account(self, account: str = "self") -> Account:
        return self._portal.call(self._mesh.account(account))

    def balance(self, account: str = "self") -> int:
        return self._portal.call(self._mesh.balance(account))

    def transfer(self, to: str, amount: int, memo: str = "", *, wait: bool = True) -> Transaction:
        return self._portal.call(self._mesh.transfer(to, amount, memo, wait=wait))

    def history(self, account: str = "self", limit: int = 50) -> list[AccountTransaction]:
        return self._portal.call(self._mesh.history(account, limit))

    def price(self, fuel: int | None = None) -> Price:
        return self._portal.call(self._mesh.price(fuel))


def connect(
    home: Path_ | None = None,
    url: str | None = None,
    token: str | None = None,
    *,
    timeout: float = 60.0,
    patience: float = 60.0,
) -> Mesh:
    """The node that runs with a home (the usual one unless told), or the one at `url`. Errors: NodeUnreachable,
    Unauthorized."""
    mesh = Mesh(home, url, token, timeout=timeout, patience=patience)
    try:
        mesh.node()
    except BaseException:
        mesh.close()
        raise
    return mesh


class Executor(concurrent.futures.Executor):
    """concurrent.futures.Executor over the mesh; options are those of run(), for every call."""

    def __init__(self, mesh: Mesh | None = None, **options: Unpack[Options]) -> None:
        self._own = mesh is None
        self._mesh = connect() if mesh is None else mesh
        self._options = options
        self._batcher = Batcher(self._mesh._mesh, options, self._mesh._portal.loop)
        self._mesh._mesh._batchers.add(self._batcher)
        self._lock = threading.Lock()
        self._is_shut = False

    def _check(self) -> None:
        if self._is_shut:
            raise RuntimeError("the executor is shut down")

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        with self._lock:
            self._check()
            return self._batcher.submit(fn, args, kwargs)

    def map(
        self, fn: Callable[..., T], *iterables: Iterable[Any], timeout: float | None = None, chunksize: int = 0
    ) -> Iterator[T]:
        """As Mesh.map(); chunksize 0 leaves it to the client. `timeout` counts from this call: TimedOut."""
        with self._lock:
            self._check()
        end = None if timeout is None else time.monotonic() + timeout
        results = self._mesh.map(fn, *iterables, chunksize=chunksize or None, **self._options)
        return in_time(results, end)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with self._lock:
            self._is_shut = True
        futures = list(self._batcher.open)
        if cancel_futures:
            for future in futures:
                future.cancel()
        if wait:
            concurrent.futures.wait(futures)
            self._mesh._portal.call(self._batcher.close())
            self._mesh._mesh._batchers.discard(self._batcher)
            if self._own:
                self._mesh.close()


def in_time(results: Results[T], end: float | None) -> Iterator[T]:
    try:
        while True:
            try:
                yield results.next(None if end is None else max(0.0, end - time.monotonic()))
            except StopIteration:
                return
    finally:
        results.close()

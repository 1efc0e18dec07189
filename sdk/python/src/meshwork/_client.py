"""The asynchronous client: everything that it can do is done here, and `_sync` only waits for it."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar, Unpack, cast, overload

from ._batch import Batcher
from ._calls import Call, Outcome, Outcomes, Part, chunk_size, one_part, parts_of
from ._endpoint import Endpoint
from ._errors import MeshError, ProtocolError, within
from ._events import EventHub
from ._http import Api, Query, parse, route
from ._jobs import AsyncJob, Result, accepted_id
from ._source import Carried, carry
from ._tasks import (
    MAX_INLINE_BYTES,
    Content,
    Input,
    Options,
    ProgramFolder,
    check_count,
    inline,
    input_bytes,
    name_of,
    program_of,
    task_of,
    whole,
)
from ._views import (
    Account,
    AccountTransaction,
    Asset,
    Dialed,
    Event,
    Folder,
    History,
    Holding,
    Holdings,
    JobStatus,
    Node,
    Peer,
    Ping,
    Plan,
    Price,
    Transaction,
    read,
    read_list,
)

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")
UPLOADS = 4
Path_ = str | os.PathLike[str]
Program = Path_ | ProgramFolder


class AsyncMesh:
    """A running node, and through it the mesh. `patience`: how many seconds a node that went away in mid-job is waited
    for."""

    def __init__(
        self,
        home: Path_ | None = None,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout: float = 60.0,
        patience: float = 60.0,
    ) -> None:
        self._endpoint = Endpoint(home, url, token)
        self._api = Api(self._endpoint, timeout)
        self._hub = EventHub(self._endpoint, patience)
        self._batcher = Batcher(self, {})
        self._batchers = {self._batcher}

    async def __aenter__(self) -> AsyncMesh:
        await self.node()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._endpoint}>"

    async def close(self) -> None:
        """Jobs go on; futures of submit() that are not done are cancelled here, and their jobs stopped."""
        for batcher in list(self._batchers):
            await batcher.close()
        await self._hub.close()
        await self._api.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        json: Any = None,
        content: bytes | None = None,
    ) -> Any:
        """Any route of /openapi.json: JSON as it is, anything else as bytes."""
        kind, body = await self._api.answer(method, path, query=query, json=json, content=content)
        return parse(body, f"{method} {path}") if kind == "application/json" else body

    # ---- Running.

    async def start(
        self,
        program: Callable[..., Any] | Program,
        inputs: Input | Sequence[Input] | None = None,
        args: Sequence[Any] = (),
        *,
        reduce: Program | None = None,
        **options: Unpack[Options],
    ) -> AsyncJob:
        """Starts a job and does not wait for it.

        A file (.py .js .wat .wasm .rb .php), or a folder with a main.* of these (ProgramFolder), reads its input on
        stdin and has `args` as its arguments. A list or tuple of inputs runs it once for each; the program `reduce`
        then reads all results, a line for each at least, and makes one of them. A function is called with the input,
        if there is one, and `args`.
        """
        if callable(program):
            no_reduce(reduce)
            return await self._start_calls(carry(program), one_part(arguments(inputs, args)), options)
        task = await self._program_task(program, inputs, args, reduce, options)
        return self._job(await self._post(task), options)

    async def plan(
        self,
        program: Callable[..., Any] | Program,
        inputs: Input | Sequence[Input] | None = None,
        args: Sequence[Any] = (),
        *,
        reduce: Program | None = None,
        **options: Unpack[Options],
    ) -> Plan:
        """What start() would ask for; nothing runs."""
        if callable(program):
            no_reduce(reduce)
            task = await self._calls_task(carry(program), one_part(arguments(inputs, args)), options)
        else:
            task = await self._program_task(program, inputs, args, reduce, options)
        return read(Plan, await self._api.json("POST", "/api/v1/tasks", json={**task, "dry_run": True}), "plan")

    @overload
    async def run(
        self,
        program: Program,
        inputs: list[Any] | tuple[Any, ...],
        args: Sequence[str] = (),
        *,
        reduce: Program,
        **options: Unpack[Options],
    ) -> Result: ...
    @overload
    async def run(
        self,
        program: Program,
        inputs: list[Any] | tuple[Any, ...],
        args: Sequence[str] = (),
        **options: Unpack[Options],
    ) -> list[Result]: ...
    @overload
    async def run(
        self,
        program: Program,
        inputs: Input | None = None,
        args: Sequence[str] = (),
        *,
        reduce: Program | None = None,
        **options: Unpack[Options],
    ) -> Result: ...
    @overload
    async def run(
        self, program: Callable[..., T], inputs: Any = None, args: Sequence[Any] = (), **options: Unpack[Options]
    ) -> T: ...
    async def run(
        self,
        program: Any,
        inputs: Any = None,
        args: Sequence[Any] = (),
        *,
        reduce: Program | None = None,
        **options: Unpack[Options],
    ) -> Any:
        """start(), and what it comes to: a function's value, a program's Result, or with several inputs that are not
        reduced a list of them.
        Errors: GuestError if the function or program failed, another JobFailed, TimedOut, an ApiError,
        NodeUnreachable."""
        job = await self.start(program, inputs, args, reduce=reduce, **options)
        try:
            if callable(program):
                return await job.value()
            if isinstance(inputs, (list, tuple)) and reduce is None:
                return [result async for result in job.results()]
            return await job.result()
        except asyncio.CancelledError:
            await stop_quietly(job)
            raise

    def map(
        self,
        function: Callable[..., T],
        *iterables: Iterable[Any],
        chunksize: int | None = None,
        **options: Unpack[Options],
    ) -> AsyncResults[T]:
        """The results of the function for all items, in order, each as soon as it and those before it are there.

        The items are read at once, and many go together (`chunksize`; unless told, so that every core of the mesh has
        some parts to do). The first exception of the function ends it: GuestError, whose `index` is the item's place.
        """
        calls = calls_of(iterables, chunksize)
        return AsyncResults(self, carry(function), calls, chunksize, options)

    async def map_reduce(
        self,
        function: Callable[..., T],
        fold: Callable[[list[T]], R],
        *iterables: Iterable[Any],
        chunksize: int | None = None,
        **options: Unpack[Options],
    ) -> R:
        """fold(list(map(function, *iterables))), of which one node runs fold, and others check it: the values do not
        come here. Errors: as run()."""
        calls = calls_of(iterables, chunksize)
        if not calls:
            raise ValueError("there is nothing to reduce: the iterables are empty")
        folding = carry(fold)
        job = await self._start_map(carry(function), calls, chunksize, options, folding)
        try:
            return cast(R, await job._folded(folding))
        except asyncio.CancelledError:
            await stop_quietly(job)
            raise

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """A call as a future. Calls that are submitted while others are on their way to the node go together."""
        return asyncio.wrap_future(self._batcher.submit(function, args, kwargs))

    # ---- Jobs.

    async def jobs(self, count: int = 100) -> list[JobStatus]:
        """Of this node, newest first."""
        return read_list(JobStatus, await self._api.json("GET", "/api/v1/tasks", query={"count": count}), "jobs")

    async def job(self, id: str) -> AsyncJob:
        """A job by its id or the beginning of it. Errors: NotFound, Conflict (with candidates)."""
        answer = await self._api.json("GET", route("tasks", id))
        return AsyncJob(self._api, self._hub, read(JobStatus, answer, "job").id)

    async def events(self) -> AsyncGenerator[Event, None]:
        """Everything that happens at the node from now on. After an event of kind "gap" something is missing."""
        async with self._hub.reader(None) as reader:
            while True:
                for event in await reader.next():
                    yield event

    # ---- The node and its peers.

    async def node(self) -> Node:
        return read(Node, await self._api.json("GET", "/api/v1/node"), "node")

    async def peers(self) -> list[Peer]:
        return read_list(Peer, await self._api.json("GET", "/api/v1/peers"), "peers")

    async def ping(self, peer: str) -> Ping:
        return read(Ping, await self._api.json("POST", route("peers", peer, "ping")), "ping")

    async def dial(self, address: str) -> str:
        """Connects to a peer by its multiaddress. Its PeerId."""
        answer = await self._api.json("POST", "/api/v1/dial", json={"address": address})
        return read(Dialed, answer, "answer").peer

    # ---- Content.

    async def add(self, content: bytes | Path_) -> Asset:
        """Adds bytes, or a file or folder of this machine where it lies; whoever knows the CID may have it."""
        if isinstance(content, (bytes, bytearray, memoryview)):
            answer = await self._api.json("POST", "/api/v1/assets", content=bytes(content), timeout=600)
        else:
            path = await asyncio.to_thread(lambda: Path(content).resolve(strict=True))
            answer = await self._api.json("POST", "/api/v1/assets", query={"path": str(path)}, timeout=600)
        return read(Asset, answer, "asset")

    async def find(
        self, name: str | None = None, *, cid: str | None = None, sha256: str | None = None
    ) -> list[Holding]:
        """Who has a file, here and among the peers, by its name or glob, its CID or its SHA-256."""
        query = {"name": name, "cid": cid, "sha256": sha256}
        answer = await self._api.json("GET", "/api/v1/query/asset", query=query)
        return read(Holdings, answer, "answer").holdings

    async def get(self, cid: str, timeout: float = 60.0) -> bytes:
        """A file's content, fetched from peers if it is not here."""
        await self.fetch(cid, timeout)
        return await self._api.body("GET", route("assets", cid))

    async def get_to(self, cid: str, file: Path_, timeout: float = 60.0) -> int:
        """The same into a file, of any size, which is there whole or not at all. Its size."""
        await self.fetch(cid, timeout)
        return await self._api.download(route("assets", cid), Path(file))

    async def folder(self, cid: str) -> Folder:
        """What a folder that is here holds."""
        return read(Folder, await self._api.json("GET", route("assets", cid)), "folder")

    async def fetch(self, cid: str, timeout: float = 60.0) -> None:
        """Brings content to the node."""
        body = {"timeout_ms": max(1, round(timeout * 1000))}
        await self._api.json("POST", route("assets", cid, "fetch"), json=body, timeout=timeout + 10)

    # ---- The wallet: amounts are micro-credits.

    async def account(self, account: str = "self") -> Account:
        return read(Account, await self._api.json("GET", route("ledger", "accounts", account)), "account")

    async def balance(self, account: str = "self") -> int:
        return amount_of((await self.account(account)).balance)

    async def transfer(self, to: str, amount: int, memo: str = "", *, wait: bool = True) -> Transaction:
        """Sends credits to a did or PeerId; with `wait`, done once it is in a block that is certain."""
        body = {
            "kind": "transfer",
            "to": to,
            "amount": str(whole(amount, "amount")),
            "wait": "final" if wait else "waiting",
        }
        if memo:
            body["memo"] = memo
        return read(Transaction, await self._api.json("POST", "/api/v1/ledger/transactions", json=body), "transaction")

    async def history(self, account: str = "self", limit: int = 50) -> list[AccountTransaction]:
        """The account's last transactions, newest first."""
        path = route("ledger", "accounts", account, "history")
        answer = await self._api.json("GET", path, query={"limit": limit})
        return read(History, answer, "history").transactions

    async def price(self, fuel: int | None = None) -> Price:
        """What workers had lately, and the fee for a part at that price."""
        return read(Price, await self._api.json("GET", "/api/v1/ledger/price", query={"fuel": fuel}), "price")

    # ---- What the parts above have in common.

    def _job(self, id: str, options: Options, outcomes: Outcomes | None = None) -> AsyncJob:
        return AsyncJob(self._api, self._hub, id, options.get("progress"), outcomes)

    async def _post(self, task: dict[str, Any]) -> str:
        return accepted_id(await self._api.json("POST", "/api/v1/tasks", json=task, timeout=600))

    async def _program_task(
        self,
        program: Program,
        inputs: Input | Sequence[Input] | None,
        args: Sequence[Any],
        reduce: Program | None,
        options: Options,
    ) -> dict[str, Any]:
        task = {**task_of(options, name_of(program)), "function": await self._function(program, args)}
        if reduce is not None:
            if callable(reduce):
                raise TypeError("a program's results are reduced by a program: name its file")
            task["reduce"] = await self._function(reduce, ())
        if isinstance(inputs, (list, tuple)):
            if not inputs:
                raise ValueError("there are no inputs: leave them out to run the program once, without one")
            task["map"] = True
            values = [input_bytes(value) for value in inputs]
        else:
            values = [] if inputs is None else [input_bytes(cast(Input, inputs))]
        task["inputs"] = await self._inputs(values, bool(options.get("sealed")))
        return task

    async def _function(self, program: Program, args: Sequence[Any]) -> dict[str, Any]:
        function, content = await asyncio.to_thread(program_of, program, args)
        for car in content.cars() if content is not None else ():
            query = {"car": 1, "declare": 0}
            await self._api.json("POST", "/api/v1/assets", query=query, content=car, timeout=600)
        return function

    async def _calls_task(
        self, carried: Carried, parts: Sequence[Part], options: Options, fold: Carried | None = None
    ) -> dict[str, Any]:
        reduce = {} if fold is None else {"reduce": {"language": "python", "source": fold.text("fold")}}
        return {
            **task_of(options, carried.name),
            "function": {"language": "python", "source": carried.text()},
            **reduce,
            "map": True,
            "inputs": await self._inputs([part.text for part in parts], bool(options.get("sealed"))),
        }

    async def _start_calls(
        self, carried: Carried, parts: Sequence[Part], options: Options, fold: Carried | None = None
    ) -> AsyncJob:
        id = await self._post(await self._calls_task(carried, parts, options, fold))
        return self._job(id, options, Outcomes(carried, parts, id))

    async def _start_map(
        self,
        carried: Carried,
        calls: Sequence[Call],
        chunksize: int | None,
        options: Options,
        fold: Carried | None = None,
    ) -> AsyncJob:
        size = chunksize or await self._chunk_size(len(calls))
        parts = await asyncio.to_thread(parts_of, calls, size, False)
        return await self._start_calls(carried, parts, options, fold)

    async def _inputs(self, values: Sequence[bytes | Content], is_sealed: bool) -> list[Any]:
        """Small ones go with the request, what is too much for it before."""
        check_count(len(values))
        room = MAX_INLINE_BYTES
        gate = asyncio.Semaphore(UPLOADS)

        async def upload(value: bytes) -> str:
            if is_sealed:
                raise MeshError(f"a sealed job's inputs have {MAX_INLINE_BYTES >> 20} MiB together at most")
            async with gate:
                answer = await self._api.json(
                    "POST", "/api/v1/assets", query={"declare": 0}, content=value, timeout=600
                )
            return read(Asset, answer, "asset").cid

        async def ready(value: Any) -> Any:
            return value

        waiting = []
        for value in values:
            if isinstance(value, Content):
                waiting.append(ready(value.cid))
            elif len(value) <= room:
                room -= len(value)
                waiting.append(ready(inline(value)))
            else:
                waiting.append(upload(value))
        return await asyncio.gather(*waiting)

    async def _chunk_size(self, calls: int) -> int:
        node, peers = await asyncio.gather(self.node(), self.peers())
        return chunk_size(calls, [node.resources, *(peer.resources for peer in peers if peer.connected)])


class AsyncResults(Generic[T]):
    """What map() comes to, in order. `job` is there once it has been started, which the first result waits for."""

    def __init__(
        self, mesh: AsyncMesh, carried: Carried, calls: Sequence[Call], chunksize: int | None, options: Options
    ) -> None:
        self._mesh = mesh
        self._carried = carried
        self._calls: Sequence[Call] = calls
        self._chunksize = chunksize
        self._options = options
        self._ready: deque[Outcome] = deque()
        self._parts: Any = None
        self._over = not calls
        self.job: AsyncJob | None = None

    def __aiter__(self) -> AsyncResults[T]:
        return self

    async def __anext__(self) -> T:
        while not self._ready:
            if not await self._more():
                raise StopAsyncIteration
        good, value = self._ready.popleft()
        if good:
            return cast(T, value)
        await self.close()
        raise value

    async def start(self) -> None:
        """Starts the job without waiting for a result."""
        if self.job is None and not self._over:
            self.job = await self._mesh._start_map(self._carried, self._calls, self._chunksize, self._options)
            self._calls = ()
            self._parts = self.job._parts()

    async def _take(self, timeout: float | None = None) -> list[Outcome]:
        """All that is ready, at least one unless there are no more. Errors: TimedOut."""
        async with within(timeout, f"the next result did not come within {timeout} s"):
            while not self._ready and await self._more():
                pass
        ready = list(self._ready)
        self._ready.clear()
        return ready

    async def close(self) -> None:
        """No more results are wanted: the job is stopped if it has not ended."""
        over, self._over = self._over, True
        self._ready.clear()
        if self._parts is not None:
            await self._parts.aclose()
        if self.job is not None and not over:
            await stop_quietly(self.job)

    async def _more(self) -> bool:
        """Whether there are more results, which are in _ready then."""
        if self._over:
            return False
        await self.start()
        try:
            part = await anext(self._parts, None)
        except BaseException:
            await self.close()
            raise
        if part is None:
            self._over = True
            return False
        self._ready.extend(part)
        return True


async def stop_quietly(job: AsyncJob) -> None:
    """Nobody waits for it any more; if it cannot be stopped, it ends by itself."""
    with suppress(MeshError):
        await job.stop()


async def connect_async(
    home: Path_ | None = None,
    url: str | None = None,
    token: str | None = None,
    *,
    timeout: float = 60.0,
    patience: float = 60.0,
) -> AsyncMesh:
    """As connect(), for asyncio."""
    mesh = AsyncMesh(home, url, token, timeout=timeout, patience=patience)
    try:
        await mesh.node()
    except BaseException:
        await mesh.close()
        raise
    return mesh


def calls_of(iterables: Sequence[Iterable[Any]], chunksize: int | None) -> list[Call]:
    """The calls of a map()."""
    if chunksize is not None and whole(chunksize, "chunksize") == 0:
        raise ValueError("chunksize must be at least 1")
    if not iterables:
        raise TypeError("map() needs an iterable at least")
    return [(items, {}) for items in zip(*iterables, strict=False)]


def no_reduce(reduce: Any) -> None:
    if reduce is not None:
        raise TypeError("only the results of several inputs are reduced: for functions there is map_reduce()")


def arguments(inputs: Any, args: Sequence[Any]) -> list[Any]:
    """What start() calls a function with."""
    return [*([] if inputs is None else [inputs]), *args]


def amount_of(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 20:
        raise ProtocolError(f"{text[:32]!r} is no amount")
    return int(text)

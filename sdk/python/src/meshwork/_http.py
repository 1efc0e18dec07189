"""Requests to the node's API: bounded, with refusals as exceptions by their cause.

A request that never reached the node may be sent again, and so may one that only reads, for as long as the caller's
`patience` lasts: a node that restarts has another port, which is looked up anew each time. Bounds: JSON of 256 MiB,
bytes held in memory 1 GiB (to a file: none).

What can go wrong: NodeUnreachable, ProtocolError, and an ApiError for what the node refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack
from urllib.parse import quote, urlencode, urlsplit

import httpx

from . import _guest
from ._endpoint import Address, Endpoint
from ._errors import MeshError, NodeFailed, NodeUnreachable, ProtocolError, Unavailable, api_error

MAX_JSON_BYTES = 256 << 20
MAX_BYTES = 1 << 30
MAX_PROBLEM_BYTES = 1 << 20
MAX_LINE_BYTES = 64 << 20
MAX_HEAD_BYTES = 64 << 10
LARGE_BYTES = 1 << 20
ASK_S = 10.0
FIRST_PAUSE_S = 0.05
MAX_PAUSE_S = 2.0
STEADY_S = 5.0

T = TypeVar("T")
Query = Mapping[str, str | int | None]


class Sent(TypedDict, total=False):
    """What goes with a request. `timeout`: seconds without a byte, the client's unless told, 0 for no bound."""

    query: Query | None
    json: Any
    content: bytes | None
    timeout: float | None


class Patience:
    """How long it is tried again, with longer and longer pauses between."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.clock = asyncio.get_running_loop().time
        self.opened: float | None = None
        self.renew()

    def renew(self) -> None:
        """Something came of it."""
        self.end = self.clock() + self.seconds
        self.pause = FIRST_PAUSE_S

    def open(self) -> None:
        """There is a connection."""
        self.opened = self.clock()

    async def again(self) -> bool:
        """Waits a while; False: there is no more time."""
        # A connection that held for a while was good; one that is closed at once, again and again, is not.
        if self.opened is not None and self.clock() - self.opened > STEADY_S:
            self.renew()
        self.opened = None
        left = self.end - self.clock()
        if left <= 0:
            return False
        await asyncio.sleep(min(self.pause, left))
        self.pause = min(2 * self.pause, MAX_PAUSE_S)
        return True


class Api:
    """One node's API, on one event loop."""

    def __init__(self, endpoint: Endpoint, timeout: float = 60.0) -> None:
        self.endpoint = endpoint
        # A proxy of the environment has no business between a program and its own machine.
        limits = httpx.Limits(max_connections=32, max_keepalive_connections=8, keepalive_expiry=5.0)
        self.client = httpx.AsyncClient(
            timeout=httpx.Timeout(timeout, connect=10.0), limits=limits, trust_env=False, follow_redirects=False
        )

    async def close(self) -> None:
        await self.client.aclose()

    async def json(self, method: str, path: str, *, patience: float = 0.0, **sent: Unpack[Sent]) -> Any:
        """The answer as JSON."""
        body = await self.body(method, path, patience=patience, most=MAX_JSON_BYTES, **sent)
        return parse(body, f"{method} {path}")

    async def body(
        self, method: str, path: str, *, patience: float = 0.0, most: int = MAX_BYTES, **sent: Unpack[Sent]
    ) -> bytes:
        """The answer's body."""
        return (await self.answer(method, path, patience=patience, most=most, **sent))[1]

    async def answer(
        self, method: str, path: str, *, patience: float = 0.0, most: int = MAX_BYTES, **sent: Unpack[Sent]
    ) -> tuple[str, bytes]:
        """The answer's media type and body."""

        async def once() -> tuple[str, bytes]:
            async with self.open(method, path, **sent) as response:
                kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
                return kind, await body_of(response, most)

        return await self.tried(once, is_safe=method in ("GET", "HEAD"), patience=patience)

    async def download(self, path: str, to: Path, *, query: Query | None = None, patience: float = 0.0) -> int:
        """The answer's body as a file, which is there whole or not at all. Its size."""

        async def once() -> int:
            async with self.open("GET", path, query=query) as response:
                with partial_file(to) as stream:
                    async for piece in response.aiter_raw():
                        await asyncio.to_thread(stream.write, piece)
                    return int(stream.tell())

        return await self.tried(once, is_safe=True, patience=patience)

    async def lines(self, path: str, *, query: Query | None, tries: Patience) -> AsyncGenerator[bytes, None]:
        """The lines of an answer that comes bit by bit; a line is at most 64 MiB. `tries` is told when it begins."""
        async with self.open("GET", path, query=query, timeout=0) as response:
            tries.open()
            line = bytearray()
            async for piece in response.aiter_raw():
                first, *more = piece.split(b"\n")
                line += first
                for later in more:
                    yield bytes(line)
                    line = bytearray(later)
                if len(line) > MAX_LINE_BYTES:
                    raise ProtocolError(f"GET {path}: a line of the answer is longer than {MAX_LINE_BYTES >> 20} MiB")
            if line:
                yield bytes(line)

    async def tried(self, once: Callable[[], Awaitable[T]], *, is_safe: bool, patience: float) -> T:
        tries = Patience(patience)
        while True:
            try:
                return await once()
            except (NodeUnreachable, Unavailable) as error:
                if not (is_safe or getattr(error, "never_sent", False)) or not await tries.again():
                    raise

    @contextlib.asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        json: Any = None,
        content: bytes | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """An answer whose status is good, and whose body is still to be read."""
        address = self.endpoint.find()
        request = self.client.build_request(
            method,
            address.url + with_query(path, query),
            headers=headers_of(address, json, content),
            content=to_bytes(json) if json is not None else content,
        )
        if timeout is not None:
            read = timeout or None
            request.extensions["timeout"] = httpx.Timeout(read, connect=10.0).as_dict()
        what = f"{method} {path.partition('?')[0]}"
        try:
            with network_errors(self.endpoint, address, what):
                response = await self.client.send(request, stream=True)
        except NodeUnreachable as error:
            if not error.never_sent and content is not None and len(content) >= LARGE_BYTES:
                await raise_refusal(request, what)
            raise
        try:
            with network_errors(self.endpoint, address, what):
                if not response.is_success:
                    await refuse(response, what)
                yield response
        finally:
            await response.aclose()


def route(*steps: str) -> str:
    """A path of the API; what stands in a step is text, whatever it holds."""
    return "/".join(["/api/v1", *(quote(step, safe="") for step in steps)])


def with_query(path: str, query: Query | None) -> str:
    if not path.startswith("/"):
        raise ValueError(f"a path of the API begins with a slash, unlike {path!r}")
    words = urlencode({name: value for name, value in (query or {}).items() if value is not None})
    return path + ("&" if "?" in path else "?") + words if words else path


def to_bytes(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def headers_of(address: Address, body: Any, content: bytes | None) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {address.token}", "Accept-Encoding": "identity"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    elif content is not None:
        headers["Content-Type"] = "application/octet-stream"
    return headers


@contextlib.contextmanager
def network_errors(endpoint: Endpoint, address: Address, what: str) -> Iterator[None]:
    """httpx's exceptions as the package's own."""
    try:
        yield
    except httpx.ConnectError as error:
        text = f"{endpoint} does not answer at {urlsplit(address.url).netloc}: is it running? `mesh up` starts a node"
        raise NodeUnreachable(text, never_sent=True) from error
    except httpx.TimeoutException as error:
        raise NodeUnreachable(f"{what}: {endpoint} did not answer in time") from error
    except (httpx.RemoteProtocolError, httpx.DecodingError) as error:
        if "Server disconnected" in str(error) or "peer closed" in str(error):
            raise NodeUnreachable(f"{what}: the connection to {endpoint} was cut") from error
        raise ProtocolError(f"{what}: what answers is no node of Meshwork ({error})") from error
    except httpx.TransportError as error:
        raise NodeUnreachable(
            f"{what}: the connection to {endpoint} was cut ({error or type(error).__name__})"
        ) from error
    except (httpx.InvalidURL, httpx.StreamError) as error:
        raise ProtocolError(f"{what}: {error}") from error


async def body_of(response: httpx.Response, most: int) -> bytes:
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > most:
            raise MeshError(
                f"the answer is larger than {most} bytes: have it written to a file with get_to() or save_result()"
            )
    return bytes(body)


async def refuse(response: httpx.Response, what: str) -> None:
    """Raises what the node's refusal is."""
    try:
        problem = parse(await body_of(response, MAX_PROBLEM_BYTES), what)
    except MeshError:
        problem = None
    if not isinstance(problem, dict) or not response.headers.get("content-type", "").startswith(
        "application/problem+json"
    ):
        if response.status_code >= 500:
            raise NodeFailed(response.status_code, {}, what)
        raise ProtocolError(
            f"{what}: status {response.status_code} without a reason: what answers is no node of Meshwork"
        )
    raise api_error(response.status_code, problem, what)


async def raise_refusal(request: httpx.Request, what: str) -> None:
    """Raises what the node says to the head of a request whose body it did not read to its end, if it says anything.

    A node that refuses a body for its size says so and closes. Who still sends then is cut off before it reads that.
    Of content alone, which may be sent again: a task may not.
    """
    try:
        async with asyncio.timeout(ASK_S):
            status, kind, body = await ask_first(request)
    except (OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError):
        return
    if status < 400 or kind != "application/problem+json":
        return
    problem = parse(body, what)
    if isinstance(problem, dict):
        raise api_error(status, problem, what)


async def ask_first(request: httpx.Request) -> tuple[int, str, bytes]:
    """Sends the head alone, and asks whether the body is wanted (RFC 9110, 10.1.1). Status, media type and body."""
    if request.url.scheme != "http":
        raise ValueError("only asked without TLS")
    lines = [f"{request.method} {request.url.raw_path.decode('ascii')} HTTP/1.1", "Expect: 100-continue"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    reader, writer = await asyncio.open_connection(request.url.host, request.url.port or 80, limit=MAX_HEAD_BYTES)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode("ascii"))
        await writer.drain()
        first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        length = min(int(fields.get("content-length", "0")), MAX_PROBLEM_BYTES)
        return int(first.split()[1]), fields.get("content-type", ""), await reader.readexactly(length)
    except IndexError:
        raise ValueError("no status") from None
    finally:
        writer.close()


def parse(body: bytes, what: str) -> Any:
    try:
        return _guest.load_json(body.decode("utf-8"))
    except ValueError as error:
        raise ProtocolError(f"{what}: the answer is not JSON ({error})") from None


@contextlib.contextmanager
def partial_file(to: Path) -> Iterator[Any]:
    """A file beside `to`, which takes its name once it is whole."""
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=to.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
        os.replace(name, to)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise

"""The node's events, over one WebSocket for all jobs of a client.

After a cut it connects again, with longer and longer pauses, and resumes where it was; a node that restarts has another
port, which is looked up anew. Whatever may be missing is told as an event of kind "gap": who gets one reads everything
again. Bounds: 4,096 events wait for a reader, then a gap stands for them; a message is at most 16 MiB.

What can go wrong, for every reader: NodeUnreachable once the patience is over, Unauthorized, ProtocolError.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from . import _guest
from ._endpoint import Endpoint
from ._errors import MeshError, NodeUnreachable, ProtocolError, Unavailable, api_error
from ._http import Patience
from ._views import Event, read

MAX_WAITING = 4096
MAX_MESSAGE_BYTES = 16 << 20
PROTOCOL = Subprotocol("meshwork.v1")


def gap(text: str, seq: int = 0) -> Event:
    return Event(seq=seq, time="", kind="gap", text=text)


class Reader:
    """What one reader has not read yet: events of a job, or of all."""

    def __init__(self, job: str | None) -> None:
        self.job = job
        self.waiting: list[Event] = []
        self.error: MeshError | None = None
        self.news = asyncio.Event()

    def take(self, event: Event) -> None:
        if self.job is not None and event.kind != "gap" and event.job != self.job:
            return
        if len(self.waiting) >= MAX_WAITING:
            self.waiting = [gap("they were not read fast enough", event.seq)]
        self.waiting.append(event)
        self.news.set()

    def fail(self, error: MeshError) -> None:
        self.error = error
        self.news.set()

    async def next(self) -> list[Event]:
        """All that came since, at least one."""
        await self.news.wait()
        self.news.clear()
        events, self.waiting = self.waiting, []
        if not events and self.error is not None:
            self.news.set()
            raise self.error
        if self.error is not None:
            self.news.set()
        return events


class EventHub:
    """Reads the events while there is somebody to read them for."""

    def __init__(self, endpoint: Endpoint, patience: float) -> None:
        self.endpoint = endpoint
        self.patience = patience
        self.readers: set[Reader] = set()
        self.task: asyncio.Task[None] | None = None
        self.connected = asyncio.Event()
        self.last: int | None = None

    @contextlib.asynccontextmanager
    async def reader(self, job: str | None) -> AsyncIterator[Reader]:
        """A reader that misses nothing of what happens from now on."""
        reader = Reader(job)
        self.readers.add(reader)
        if self.task is None or self.task.done():
            self.last = None
            self.connected.clear()
            self.task = asyncio.create_task(self.run(), name="meshwork events")
        try:
            await self.until_connected(reader)
            yield reader
        finally:
            self.readers.discard(reader)
            if not self.readers:
                await self.close()

    async def until_connected(self, reader: Reader) -> None:
        connected = asyncio.create_task(self.connected.wait())
        news = asyncio.create_task(reader.news.wait())
        try:
            await asyncio.wait([connected, news], return_when=asyncio.FIRST_COMPLETED)
        finally:
            connected.cancel()
            news.cancel()
        if reader.error is not None:
            raise reader.error

    async def close(self) -> None:
        task, self.task = self.task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def run(self) -> None:
        try:
            await self.read_on()
        except MeshError as error:
            for reader in self.readers:
                reader.fail(error)

    async def read_on(self) -> None:
        tries = Patience(self.patience)
        while True:
            try:
                async with self.open() as socket:
                    tries.open()
                    self.begin()
                    await self.read(socket, tries)
            except (NodeUnreachable, Unavailable):
                if not await tries.again():
                    raise

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[ClientConnection]:
        address = self.endpoint.find()
        parts = urlsplit(address.url)
        resume = "" if self.last is None else f"?since={self.last}"
        try:
            async with connect(
                f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}/api/v1/events{resume}",
                subprotocols=[PROTOCOL],
                additional_headers={"Authorization": f"Bearer {address.token}"},
                max_size=MAX_MESSAGE_BYTES,
                compression=None,
                proxy=None,
                open_timeout=10,
                close_timeout=2,
                ping_timeout=60,
            ) as socket:
                yield socket
        except InvalidStatus as error:
            raise refused(error) from error
        except (InvalidHandshake, InvalidURI) as error:
            raise ProtocolError(f"the events of {self.endpoint}: {error}") from error
        except (OSError, TimeoutError, EOFError, ConnectionClosed) as error:
            raise NodeUnreachable(
                f"the events of {self.endpoint} cannot be had: {error or type(error).__name__}"
            ) from error

    def begin(self) -> None:
        """Nothing was seen before the first connection; after a later one that resumes nowhere, something may be
        missing."""
        if self.connected.is_set() and self.last is None:
            self.tell(gap("the connection was cut"))
        self.connected.set()

    async def read(self, socket: ClientConnection, tries: Patience) -> None:
        async for message in socket:
            event = parse(message)
            self.last = event.seq
            tries.renew()
            self.tell(event)
        raise NodeUnreachable(f"{self.endpoint} closed the events")

    def tell(self, event: Event) -> None:
        for reader in self.readers:
            reader.take(event)


def parse(message: Any) -> Event:
    if not isinstance(message, str):
        raise ProtocolError("an event is no text")
    try:
        value = _guest.load_json(message)
    except ValueError as error:
        raise ProtocolError(f"an event is not JSON ({error})") from None
    return read(Event, value, "event")


def refused(error: InvalidStatus) -> MeshError:
    response = error.response
    try:
        problem = _guest.load_json(bytes(response.body or b"").decode("utf-8"))
    except ValueError:
        problem = {}
    return api_error(response.status_code, problem if isinstance(problem, dict) else {}, "GET /api/v1/events")

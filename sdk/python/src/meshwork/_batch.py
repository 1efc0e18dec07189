"""Single calls as futures: those that are submitted while others are on their way to the node go together as one job.

A future stays pending until its call has come to something, so that it can be cancelled until then. Once all of a job's
futures are cancelled the job is stopped. What can go wrong comes out of the futures; a function that cannot be carried
is refused at once.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ._calls import call_text, joined
from ._errors import MeshError
from ._source import Carried, carry

if TYPE_CHECKING:
    from ._client import AsyncMesh
    from ._jobs import AsyncJob
    from ._tasks import Options

T = TypeVar("T")


class Future(concurrent.futures.Future[T]):
    """A call on the mesh. `job` is the id of the job that it is a part of, once there is one."""

    def __init__(self, on_cancel: Callable[[], None]) -> None:
        super().__init__()
        self._on_cancel = on_cancel
        self.job: str | None = None

    def cancel(self) -> bool:
        """Whether nobody will have its result; it is not run if it need not be."""
        was_cancelled = self.cancelled()
        cancelled = super().cancel()
        if cancelled and not was_cancelled:
            self._on_cancel()
        return cancelled


@dataclass
class Ticket:
    """A call that waits: its function as it is, and as text; its arguments; who wants to know."""

    carried: Carried
    program: str
    call: str
    future: Future[Any]

    def settle(self, good: bool, value: Any) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        if good:
            self.future.set_result(value)
        else:
            self.future.set_exception(value)


class Batcher:
    """Collects the calls of one caller, from any thread, and runs them on the client's loop."""

    def __init__(self, mesh: AsyncMesh, options: Options, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.mesh = mesh
        self.options: Options = {"progress": False, **options}
        self.loop = loop
        self.lock = threading.Lock()
        self.waiting: list[Ticket] = []
        self.open: set[Future[Any]] = set()
        self.running: dict[asyncio.Task[None], list[Ticket]] = {}
        self.sender: asyncio.Task[None] | None = None

    def submit(self, function: Callable[..., T], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Future[T]:
        """Errors: NotCarried, DoesNotTravel, ValueError."""
        carried = carry(function)
        call = call_text(args, kwargs, 0)
        loop = self.loop or asyncio.get_running_loop()
        future: Future[T] = Future(lambda: self.on_loop(loop, self.drop_cancelled))
        with self.lock:
            self.waiting.append(Ticket(carried, carried.text(), call, future))
            self.open.add(future)
        future.add_done_callback(self.open.discard)
        self.on_loop(loop, self.send_soon)
        return future

    def on_loop(self, loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # The loop is closed, and nothing runs on it any more.
            loop.call_soon_threadsafe(what)

    def send_soon(self) -> None:
        if self.sender is None or self.sender.done():
            self.sender = asyncio.create_task(self.send())

    def take(self) -> list[Ticket]:
        with self.lock:
            tickets, self.waiting = self.waiting, []
        return [ticket for ticket in tickets if not ticket.future.cancelled()]

    async def send(self) -> None:
        while tickets := self.take():
            groups: dict[str, list[Ticket]] = {}
            for ticket in tickets:
                groups.setdefault(ticket.program, []).append(ticket)
            for group in groups.values():
                await self.start(group)

    async def start(self, group: list[Ticket]) -> None:
        try:
            size = await self.mesh._chunk_size(len(group))
            parts = joined((ticket.call for ticket in group), size, True)
            job = await self.mesh._start_calls(group[0].carried, parts, self.options)
        except Exception as error:
            for ticket in group:
                ticket.settle(False, error)
            return
        for ticket in group:
            ticket.future.job = job.id
        task = asyncio.create_task(self.follow(group, job))
        self.running[task] = group
        task.add_done_callback(self.forget)
        self.drop_cancelled()

    def forget(self, task: asyncio.Task[None]) -> None:
        self.running.pop(task, None)

    def drop_cancelled(self) -> None:
        """Ends what nobody waits for any more."""
        for task, group in self.running.items():
            if all(ticket.future.cancelled() for ticket in group):
                task.cancel()

    async def follow(self, group: list[Ticket], job: AsyncJob) -> None:
        left = iter(group)
        try:
            async with aclosing(job._parts(go_on=True)) as parts:
                async for outcomes in parts:
                    for outcome in outcomes:
                        next(left).settle(*outcome)
        except asyncio.CancelledError:
            with suppress(MeshError):
                await job.stop()
            for ticket in left:
                ticket.future.cancel()
            raise
        except Exception as error:
            for ticket in left:
                ticket.settle(False, error)

    async def close(self) -> None:
        """Cancels what is not done."""
        for future in list(self.open):
            future.cancel()
        tasks = [*self.running, *([self.sender] if self.sender is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

"""What can go wrong, by cause: everything that the package raises by itself is a MeshError.

Texts come from nodes and peers: where they are shown, control characters are written as escapes, so that no terminal
obeys them. The fields keep them as they came.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

MAX_SHOWN = 20_000


def shown(text: str) -> str:
    """Text that is safe in a terminal: no controls but line ends and tabs, nothing that turns the direction of
    writing."""
    text = text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + " ..."
    return "".join(c if c in "\n\t" or unicodedata.category(c)[0] != "C" else ascii(c)[1:-1] for c in text)


class MeshError(Exception):
    """The base of all."""

    def __str__(self) -> str:
        return shown(super().__str__())


class NodeUnreachable(MeshError):
    """No node is running, or it does not answer. `never_sent`: the request did not reach it, for certain."""

    def __init__(self, text: str, never_sent: bool = False) -> None:
        super().__init__(text)
        self.never_sent = never_sent


class ProtocolError(MeshError):
    """The node answered with something that its API does not say."""


class NotCarried(MeshError, TypeError):
    """A function that cannot be sent to other machines; `name` is the variable that stands in the way, if one does."""

    def __init__(self, text: str, name: str | None = None) -> None:
        super().__init__(text)
        self.name = name


class TimedOut(MeshError, TimeoutError):
    """It took longer than it was given: the caller's wait, or the job's own limit."""


@asynccontextmanager
async def within(seconds: float | None, text: str) -> AsyncIterator[None]:
    """TimedOut with this text if what stands inside takes longer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        if isinstance(error, MeshError):
            raise
        raise TimedOut(text) from None


# ---- Refusals of the node: application/problem+json (RFC 9457).


class ApiError(MeshError):
    """A refusal of the node. `code` is the name of the cause; `candidates` what was meant
    perhaps."""

    def __init__(self, status: int, problem: Mapping[str, Any], what: str = "") -> None:
        self.status = status
        self.type = text_field(problem, "type")
        self.title = text_field(problem, "title")
        self.detail = text_field(problem, "detail")
        self.code = text_field(problem, "code")
        candidates = problem.get("candidates")
        self.candidates = [item for item in candidates if isinstance(item, str)] if isinstance(candidates, list) else []
        said = self.detail or self.title or f"status {status}"
        super().__init__("\n  ".join([f"{what}: {said}" if what else said, *self.candidates]))


class Unauthorized(ApiError):
    """The token is missing or wrong."""


class Forbidden(ApiError):
    """The node does not do that for this caller."""


class NotFound(ApiError):
    """There is no such thing."""


class Conflict(ApiError):
    """Not in this state, or the name is ambiguous."""


class Invalid(ApiError, ValueError):
    """The node does not understand the request; the text names the field."""


class Exhausted(ApiError):
    """A bound of the node is reached."""


class Unsupported(ApiError):
    """The node cannot do that (yet)."""


class Unavailable(ApiError):
    """Not now: it may be worth to ask again."""


class ApiTimedOut(ApiError, TimedOut):
    """The node waited for something that did not come in time."""


class NodeFailed(ApiError):
    """The node failed at it."""


BY_STATUS: dict[int, type[ApiError]] = {
    400: Invalid, 401: Unauthorized, 403: Forbidden, 404: NotFound, 405: Invalid, 406: Invalid, 409: Conflict,
    413: Exhausted, 415: Invalid, 422: Invalid, 429: Exhausted, 431: Exhausted, 501: Unsupported, 503: Unavailable,
    504: ApiTimedOut, 507: Exhausted,
}  # fmt: skip


def api_error(status: int, problem: Mapping[str, Any], what: str = "") -> ApiError:
    usual = Invalid if 400 <= status < 500 else NodeFailed
    return BY_STATUS.get(status, usual)(status, problem, what)


def trace_of(frames: Sequence[str]) -> str:
    """The frames that a node names, one a line."""
    return "".join(f"  at {frame}\n" for frame in frames)


def text_field(problem: Mapping[str, Any], name: str) -> str:
    value = problem.get(name)
    return value if isinstance(value, str) else ""


# ---- Jobs that came to nothing.


class JobFailed(MeshError):
    """A job without a result. `job` is its id, `cause` the name that the node gives what happened."""

    def __init__(self, text: str, job: str = "", cause: str = "") -> None:
        super().__init__(text)
        self.job = job
        self.cause = cause


class RejectedByVerifiers(JobFailed):
    """Other nodes ran it again and came to something else, or nobody was left whose work held."""


class JobStopped(JobFailed):
    """Somebody stopped it."""


class JobTimedOut(JobFailed, TimedOut):
    """The job's own limit passed."""


class GuestError(JobFailed):
    """The function itself failed, and the nodes that ran it agree on that.

    `kind` is the exception's class ("ZeroDivisionError") or how the program ended ("exited", "trapped"), `message` its
    text, `traceback` the guest's, at the lines of the caller's files. `index` is the place of the item that it was
    called with, `shard` the part of the job.
    """

    def __init__(
        self,
        text: str,
        job: str = "",
        *,
        kind: str = "",
        message: str = "",
        traceback: str = "",
        index: int | None = None,
        shard: int | None = None,
        frames: Sequence[tuple[str, int, str]] = (),
    ) -> None:
        super().__init__(text, job, "guest-failed")
        self.kind = kind
        self.message = message
        self.traceback = traceback
        self.index = index
        self.shard = shard
        self.frames = list(frames)


def job_error(job: str, failure: str) -> JobFailed:
    """What a failure of the node's words is: a name, a colon and what happened."""
    name, _, rest = failure.removeprefix("reduce-failed: ").partition(":")
    text = f"the job failed: {failure}" if failure else "the job failed"
    match name:
        case "rejected" | "disputed" | "no-workers-left":
            return RejectedByVerifiers(text, job, name)
        case "total-timeout":
            return JobTimedOut(text, job, name)
        case "stopped":
            return JobStopped("the job was stopped", job, name)
        case "guest-failed" | "undetermined":
            return GuestError(text, job, kind=name, message=rest.strip())
    return JobFailed(text, job, name)

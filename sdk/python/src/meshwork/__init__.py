"""Meshwork from Python: functions and programs on a mesh of machines that check each other's results.

    import meshwork

    mesh = meshwork.connect()
    list(mesh.map(function, range(1000)))

The node runs apart (`mesh up`) and is found by its home. `Mesh` waits, `AsyncMesh` is for asyncio; both do the same.
"""

from ._batch import Future
from ._client import AsyncMesh, AsyncResults, connect_async
from ._errors import (
    ApiError,
    ApiTimedOut,
    Conflict,
    Exhausted,
    Forbidden,
    GuestError,
    Invalid,
    JobFailed,
    JobStopped,
    JobTimedOut,
    MeshError,
    NodeFailed,
    NodeUnreachable,
    NotCarried,
    NotFound,
    ProtocolError,
    RejectedByVerifiers,
    TimedOut,
    Unauthorized,
    Unavailable,
    Unsupported,
    shown,
)
from ._guest import DoesNotTravel
from ._jobs import AsyncJob, Result
from ._logs import LogLine
from ._sync import Executor, Job, Mesh, Results, connect
from ._tasks import Content, Options, ProgramFolder

__version__ = "0.1.0"

__all__ = [
    "ApiError", "ApiTimedOut", "AsyncJob", "AsyncMesh", "AsyncResults", "Conflict", "Content", "DoesNotTravel",
    "Executor", "Exhausted", "Forbidden", "Future", "GuestError", "Invalid", "Job", "JobFailed", "JobStopped",
    "JobTimedOut", "LogLine", "Mesh", "MeshError", "NodeFailed", "NodeUnreachable", "NotCarried", "NotFound",
    "Options", "ProgramFolder", "ProtocolError", "RejectedByVerifiers", "Result", "Results", "TimedOut", "Unauthorized",
    "Unavailable", "Unsupported", "connect", "connect_async", "shown",
]  # fmt: skip

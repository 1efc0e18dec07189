"""What a job is asked for with: programs, inputs and options, as the body of POST /api/v1/tasks.

Inputs that are small travel in the request, large ones before it. Bounds: 24 MiB in a request; a program of 64 MiB;
what the node says beyond that. What can go wrong: TypeError and ValueError for what cannot be asked for, OSError for
files.
"""

from __future__ import annotations

import base64
import json
import math
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from ._errors import MeshError
from ._folder import Packed, packed
from ._views import Asset

LANGUAGES = {
    ".py": "python", ".js": "javascript", ".mjs": "javascript", ".rb": "ruby", ".php": "php", ".wat": "wat",
    ".wasm": "wasm",
}  # fmt: skip
PHASES = ("bid", "fetch", "run", "nonce", "reveal", "total")
MAX_INLINE_BYTES = 24 << 20
MAX_PROGRAM_BYTES = 64 << 20
MAX_SHARDS = 1 << 20
MAX_U64 = 2**63 - 1


@dataclass(frozen=True)
class Content:
    """Something that the mesh has already, by its CID: as an input it is not sent again."""

    cid: str


@dataclass(frozen=True)
class ProgramFolder:
    """A program with the files beside it: what it imports or reads lies in its folder, and goes along. Its name may be
    left out where it is main.py, main.js and so on."""

    path: str | os.PathLike[str]
    script: str | None = None


Input = bytes | str | os.PathLike[str] | Content | Asset | Mapping[str, Any]
"""Bytes; text; the content of a file; content that the mesh has; an object, as JSON."""


class Options(TypedDict, total=False):
    """How a job is to run. What is left out is the node's to decide."""

    fee: int
    """Micro-credits for each part of the job."""
    verifiers: int
    value: int
    """What a wrong result would cost, in micro-credits: it gets more verifiers."""
    sample: float
    """The share of the parts that is verified, drawn when all are done; 1 unless told."""
    sealed: bool
    """Inputs are for the nodes that run and verify them alone."""
    fuel: int
    memory_mb: int
    io_mb: int
    timeout: float
    """Seconds, for the whole job."""
    limits: Mapping[str, float]
    """Seconds by phase: bid, fetch, run, nonce, reveal, total."""
    label: str
    progress: bool | None
    """A line on stderr, or a notebook's output: unless told, where somebody sees it."""


KNOWN = frozenset(Options.__annotations__)


def task_of(options: Mapping[str, Any], label: str) -> dict[str, Any]:
    """The options' part of a task."""
    unknown = sorted(set(options) - KNOWN)
    if unknown:
        raise TypeError(f"there is no option {unknown[0]}; there are {', '.join(sorted(KNOWN))}")
    task: dict[str, Any] = {"label": str(options.get("label", label)).encode()[:128].decode(errors="ignore")}
    for name in ("fee", "verifiers", "value", "fuel", "memory_mb", "io_mb"):
        if options.get(name) is not None:
            task[name] = whole(options[name], name)
    if options.get("sample") is not None:
        task["sample_per_mille"] = per_mille(options["sample"])
    if options.get("sealed"):
        task["sealed"] = True
    limits = dict(options.get("limits") or {})
    if options.get("timeout") is not None:
        limits["total"] = options["timeout"]
    task.update(limits_of(limits))
    return task


def limits_of(limits: Mapping[str, Any]) -> dict[str, Any]:
    in_ms = {}
    for phase, seconds in limits.items():
        if phase not in PHASES:
            raise ValueError(f"there is no phase {phase!r}; there are {', '.join(PHASES)}")
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= 4_000_000:
            raise ValueError(f"the limit of {phase} must be seconds, more than 0 and at most 4000000, not {seconds!r}")
        in_ms[phase] = max(1, round(seconds * 1000))
    part: dict[str, Any] = {}
    if "bid" in in_ms:
        part["bid_window_ms"] = in_ms.pop("bid")
    if in_ms:
        part["limits"] = {f"{phase}_ms": ms for phase, ms in in_ms.items()}
    return part


def whole(value: Any, name: str) -> int:
    if type(value) is not int or not 0 <= value <= MAX_U64:
        raise ValueError(f"{name} must be an integer from 0 on, not {value!r}")
    return value


def per_mille(share: Any) -> int:
    if isinstance(share, bool) or not isinstance(share, (int, float)) or math.isnan(share) or not 0 < share <= 1:
        raise ValueError(f"sample must be more than 0 and at most 1, not {share!r}")
    return max(1, round(share * 1000))


def program_of(
    program: str | os.PathLike[str] | ProgramFolder, args: Sequence[str]
) -> tuple[dict[str, Any], Packed | None]:
    """A program, and what the node must have before."""
    if not isinstance(program, ProgramFolder):
        if not os.path.isdir(program):
            return function_of(program, args), None
        program = ProgramFolder(program)
    folder = Path(program.path)
    script = program.script or main_of(folder)
    language = language_of(folder / script, args)
    if language in ("wasm", "wat"):
        return function_of(folder / script, args), None
    if os.path.basename(script) != script or script.startswith(".") or not is_file(folder / script):
        raise ValueError(f"{folder / script} does not go along: it must be a file of {folder} that is not hidden")
    content = packed(folder)
    if language == "python":
        # Of a folder the node does not look at what is imported, and one interpreter has all of the standard library.
        language = "python-full"
    return {"cid": content.cid, "language": language, "script": script, "args": list(args)}, content


def main_of(folder: Path) -> str:
    mains = [f"main{ending}" for ending in LANGUAGES if (folder / f"main{ending}").is_file()]
    if len(mains) != 1:
        found = " and ".join(mains) or f"no main with an ending of {', '.join(LANGUAGES)}"
        raise ValueError(f"{folder} holds {found}: say which program is meant with ProgramFolder(folder, name)")
    return mains[0]


def name_of(program: str | os.PathLike[str] | ProgramFolder) -> str:
    path = Path(program.path, program.script or "") if isinstance(program, ProgramFolder) else Path(program)
    return path.name


def function_of(file: str | os.PathLike[str], args: Sequence[str]) -> dict[str, Any]:
    """The program in a file. It is sent alone, without its folder."""
    path = Path(file)
    language = language_of(path, args)
    size = path.stat().st_size
    if size > MAX_PROGRAM_BYTES:
        raise ValueError(f"{path} has {size} bytes, and a program has {MAX_PROGRAM_BYTES} at most")
    source = path.read_bytes()
    return {"language": language, "source_base64": base64.b64encode(source).decode(), "args": list(args)}


def language_of(path: Path, args: Sequence[str]) -> str:
    language = LANGUAGES.get(path.suffix)
    if language is None:
        raise ValueError(f"{path} is no program: its name must end with {', '.join(LANGUAGES)}")
    if isinstance(args, (str, bytes)) or not all(isinstance(word, str) for word in args):
        raise TypeError("the arguments of a program must be a list of str")
    return language


def is_file(path: Path) -> bool:
    """And no link to one."""
    return stat.S_ISREG(os.lstat(path).st_mode)


def input_bytes(value: Input) -> bytes | Content:
    """An input as what the program reads on stdin."""
    if isinstance(value, Content):
        return value
    if isinstance(value, Asset):
        return Content(value.cid)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        return value.encode("utf-8")
    if isinstance(value, os.PathLike):
        return Path(value).read_bytes()
    if isinstance(value, Mapping):
        return json.dumps(dict(value), allow_nan=False).encode()
    raise TypeError(f"an input must be bytes, str, a Path, a Content or a dict, not {type(value).__name__}")


def inline(value: bytes) -> dict[str, str]:
    return (
        {"text": value.decode("ascii")}
        if value.isascii() and b"\0" not in value
        else {"base64": base64.b64encode(value).decode()}
    )


def check_count(count: int) -> None:
    if count > MAX_SHARDS:
        raise MeshError(f"a job has {MAX_SHARDS} inputs at most, not {count}")

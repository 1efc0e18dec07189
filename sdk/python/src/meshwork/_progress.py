"""How far a job is, for a person: one line on stderr that is written again, or a notebook's output. Without a terminal
or a notebook nothing is shown. What goes wrong while showing is not the job's business, and shows nothing more.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, TextIO

from ._errors import shown
from ._views import JobStatus

BAR = 20


def line_of(status: JobStatus) -> str:
    done = BAR * status.finished // max(status.shards, 1)
    counts = {"running": status.running, "verifying": status.verifying, "failed": status.failed_outcomes}
    parts = [f"{status.finished}/{status.shards}"]
    if not counts.get(status.phase):
        parts.append(status.phase)
    parts += [f"{count} {name}" for name, count in counts.items() if count]
    label = shown(status.label or status.id[:12]).replace("\n", " ").replace("\t", " ")
    return f"{label[:40]} [{'#' * done}{'.' * (BAR - done)}] {', '.join(parts)}"


class Progress:
    """None: where somebody sees it; True: the same; False: nowhere."""

    def __init__(self, wanted: bool | None, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.display: Any = None
        self.width = 0
        self.show_line: Callable[[str], None] | None = None
        if wanted is not False and is_kernel():
            self.show_line = self.to_notebook
        elif wanted is not False and is_tty(self.stream):
            self.show_line = self.to_terminal

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.width:
            self.write("\n")

    def show(self, status: JobStatus) -> None:
        if self.show_line is None:
            return
        try:
            self.show_line(line_of(status))
        except Exception:
            self.show_line = None

    def finish(self, status: JobStatus) -> None:
        """Everything that was waited for is here, whatever the node still has to do."""
        self.show(dataclasses.replace(status, phase="done", finished=status.shards, running=0, verifying=0))

    def to_terminal(self, line: str) -> None:
        line = line[: max(shutil.get_terminal_size().columns - 1, 20)]
        self.write("\r" + line + " " * (self.width - len(line)))
        self.width = max(self.width, len(line))

    def write(self, text: str) -> None:
        try:
            self.stream.write(text)
            self.stream.flush()
        except (OSError, ValueError):
            self.show_line = None

    def to_notebook(self, line: str) -> None:
        from IPython.display import display  # type: ignore[import-not-found, unused-ignore]

        data = {"text/plain": line}
        if self.display is None:
            self.display = display(data, raw=True, display_id=True)
        else:
            self.display.update(data, raw=True)


def is_tty(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def is_kernel() -> bool:
    """Whether this runs in a notebook's kernel. IPython is looked at only if it is loaded already."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return shell is not None and getattr(shell, "kernel", None) is not None

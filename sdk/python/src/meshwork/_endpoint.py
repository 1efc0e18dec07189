"""Where the node's API is: told, or found in the home of a node that runs on this machine.

The home is the one that is named, MESH_HOME, what a config.toml says, or XDG's data folder, as `mesh` has it. A node
writes api.json there and may have another port after a restart, so it is read anew whenever the node cannot be reached.

What can go wrong: NodeUnreachable (nothing runs with that home; says how to start one), ProtocolError (a damaged file).
"""

from __future__ import annotations

import ipaddress
import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ._errors import MeshError, NodeUnreachable, ProtocolError

MAX_FILE_BYTES = 1 << 20
SYSTEM_CONFIG = Path("/etc/meshwork/config.toml")


@dataclass(frozen=True)
class Address:
    url: str
    token: str

    def __repr__(self) -> str:
        return f"Address(url={self.url!r}, token=...)"


class Endpoint:
    """Says where to connect, now."""

    def __init__(
        self, home: str | os.PathLike[str] | None = None, url: str | None = None, token: str | None = None
    ) -> None:
        if home is not None and (url is not None or token is not None):
            raise ValueError("give either home, or url and token")
        if url is None and token is not None:
            raise ValueError("a token needs a url")
        self.home = None if url is not None else find_home(home)
        self.fixed = None if url is None else Address(*parse_url(url, token))

    def find(self) -> Address:
        if self.fixed is not None:
            return self.fixed
        assert self.home is not None
        return read_api_file(self.home)

    def __str__(self) -> str:
        return self.fixed.url if self.fixed is not None else f"the node of {self.home}"


def parse_url(url: str, token: str | None) -> tuple[str, str]:
    """The link that `mesh up` prints, with its #token=..., is taken, too."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{parts.scheme or url!r} is no address of a node: write http://127.0.0.1:PORT")
    if token is None and parts.fragment.startswith("token="):
        token = parts.fragment.removeprefix("token=")
    if not token:
        raise ValueError(
            "a url needs a token: it stands in the link that `mesh up` prints, and in the home's api.token"
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("that is no token: a token is of printable ASCII characters")
    return f"{parts.scheme}://{parts.netloc}", token


def find_home(home: str | os.PathLike[str] | None) -> Path:
    named = os.fspath(home) if home is not None else os.environ.get("MESH_HOME", "")
    for config in (xdg_folder("XDG_CONFIG_HOME", ".config") / "config.toml", SYSTEM_CONFIG):
        named = named or configured_home(config)
    return Path(named).expanduser() if named else xdg_folder("XDG_DATA_HOME", ".local/share")


def xdg_folder(variable: str, fallback: str) -> Path:
    # One that is not absolute must be ignored (XDG Base Directory Specification 0.8).
    value = os.environ.get(variable, "")
    base = Path(value) if value.startswith("/") else Path.home() / fallback
    return base / "meshwork"


def configured_home(file: Path) -> str:
    try:
        home = tomllib.loads(file.read_text("utf-8")).get("home", "")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return ""
    except (OSError, ValueError) as error:
        raise MeshError(f"{file} cannot be read: {error}") from None
    if not isinstance(home, str):
        raise MeshError(f"{file}: home must be text")
    return home


def read_api_file(home: Path) -> Address:
    file = home / "api.json"
    missing = f"no node is running with the home {home}: start one with `mesh up`, or name another home with home=..."
    try:
        with open(file, "rb") as stream:
            text = stream.read(MAX_FILE_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        raise NodeUnreachable(missing, never_sent=True) from None
    except OSError as error:
        raise NodeUnreachable(f"{file} cannot be read: {error.strerror}") from None
    try:
        facts = json.loads(text)
        address, port, token, pid = (facts[name] for name in ("address", "port", "token", "pid"))
        host = ipaddress.ip_address(address)
        valid = type(port) is int and 0 < port < 65536 and type(pid) is int and pid > 0 and type(token) is str and token
    except (ValueError, KeyError, TypeError, RecursionError):
        valid = False
    if not valid:
        raise ProtocolError(f"{file} is damaged: restart the node")
    # A node that was killed leaves its address: its process is gone then.
    if not is_alive(pid):
        raise NodeUnreachable(missing, never_sent=True)
    name = f"[{host}]" if host.version == 6 else str(host)
    return Address(f"http://{name}:{port}", token)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True

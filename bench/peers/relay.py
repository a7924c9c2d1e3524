"""What a relay needs to be started, and what is known of one that runs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.errors import BenchError
from bench.namespace import FIRST_PORT
from bench.processes import RELAY_CORE, is_listening, running, wait_for

#: Any path does for a relay that asks for no token.
PLAIN_PATH = "/websockify"


@dataclass(frozen=True, slots=True)
class Place:
    """Where relays run: ``folder`` is for their files, ``vnc_port`` is where all VNC servers are."""

    folder: Path
    vnc_port: int = FIRST_PORT
    ports: Iterator[int] = field(default_factory=lambda: itertools.count(FIRST_PORT + 1))

    def next_port(self) -> int:
        """Return a port that nobody has."""
        return next(port for port in self.ports if not is_listening(port))


def one_path(_: int) -> list[str]:
    """Return the path for any number of connects to a relay that takes each."""
    return [PLAIN_PATH]


@dataclass(frozen=True, slots=True)
class Relay:
    """A relay that listens on 127.0.0.1: ``pid`` is the root of its processes.

    ``is_raw`` says that it relays TCP, and the browser speaks RFB to it. ``paths`` returns what so
    many connects ask for: one path for all, or one each. ``ops_url`` has its metrics, where it has any.
    ``is_tls`` says that it speaks TLS to the browser; ``is_pinned`` that it is on the relays' core and nowhere else.
    """

    name: str
    port: int
    pid: int
    versions: str
    host: str = "127.0.0.1"
    is_raw: bool = False
    is_tls: bool = False
    paths: Callable[[int], list[str]] = one_path
    ops_url: str = ""
    is_pinned: bool = True

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"


def version_of(package: str) -> str:
    """Return a Python package's name and version; raise ``BenchError`` where it is not installed."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        raise BenchError(f"the Python package {package} is not installed") from None


@contextmanager
def started(
    name: str,
    command: Sequence[str],
    place: Place,
    port: int,
    *,
    versions: str,
    is_raw: bool = False,
    is_tls: bool = False,
) -> Iterator[Relay]:
    """Run a relay that a command starts, and wait until it listens on ``port``."""
    log = place.folder / f"{name}.log"
    with running(command, core=RELAY_CORE, log=log) as process:
        wait_for(process, lambda: is_listening(port), log)
        yield Relay(name, port, process.pid, versions, is_raw=is_raw, is_tls=is_tls)

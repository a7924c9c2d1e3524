"""The load generator: built from ``load/``, started for each measurement, and told what to do line by line.

It says ``ready`` when its sessions are up, ``measuring`` when the interval begins and ``done``
with its figures when it ends, and waits for ``go`` and ``close`` in between, so that the
relay can be looked at in the right moments.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.processes import PLAYERS_CORE, Process, last_words, running, tool

SOURCES = Path(__file__).resolve().parent / "load"
BUILDS = SOURCES.parent / ".build"
_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror")
_SSL = "openssl/ssl.h: No such file"
_LIBRARIES = ("-lm", "-lssl", "-lcrypto")

#: Seconds for the generator to say the next thing, on top of what it was told to do.
PATIENCE = 90.0
_READ = 65536
_LAST_WORDS = 2000


@functools.cache
def build() -> Path:
    """Return the generator, compiled anew where its sources have changed; one run uses one build."""
    parts = sorted(SOURCES.glob("*.c"))
    if not parts:
        raise BenchError(f"there is no load generator in {SOURCES}")
    texts = b"".join(path.read_bytes() for path in sorted(SOURCES.glob("*.[ch]")))
    digest = hashlib.sha256(" ".join(_FLAGS).encode() + texts).hexdigest()
    program = BUILDS / f"load-{digest[:16]}"
    if not program.exists():
        BUILDS.mkdir(exist_ok=True)
        (BUILDS / ".gitignore").write_text("*\n")
        fresh = program.with_suffix(f".{os.getpid()}")
        _compile([tool("cc"), *_FLAGS, *map(str, parts), "-o", str(fresh), *_LIBRARIES])
        fresh.rename(program)
    return program


def _compile(command: Sequence[str]) -> None:
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603  # our own sources
    if done.returncode:
        hint = "OpenSSL's headers are missing: they are in Debian's package libssl-dev\n" if _SSL in done.stderr else ""
        raise BenchError(f"the load generator cannot be built:\n{hint}{done.stderr[-_LAST_WORDS:]}")


@dataclass(frozen=True, slots=True)
class Load:
    """What the generator is told: a scenario's name and flags, the relay, and the VNC servers' port.

    ``seconds`` is how long it works at most, warm-up included; the wait for it goes by that.
    """

    scenario: str
    flags: tuple[str, ...]
    relay: str
    vnc_port: int
    seconds: float
    is_raw: bool = False
    paths: Path | None = None
    is_tls: bool = False

    @property
    def arguments(self) -> list[str]:
        """The command line without the program."""
        way = ["--raw"] if self.is_raw else ["--paths", str(self.paths)]
        where = ["--vnc-port", str(self.vnc_port), "--relay", self.relay]
        tls = ["--tls"] if self.is_tls else []
        return [self.scenario, *where, *(way if self.paths or self.is_raw else []), *tls, *self.flags]


class Generator:
    """A generator that runs. Ask it in the order ``ready``, ``go``, ``done``, ``close``."""

    def __init__(self, process: Process, log: Path, seconds: float) -> None:
        self._process = process
        self._log = log
        self._seconds = seconds
        self._unread = b""
        #: What it told with ``tick`` on its way, in their order.
        self.ticks: list[dict[str, Any]] = []

    def ready(self) -> None:
        """Return when all sessions are up."""
        self._expect("ready", PATIENCE)

    def go(self) -> None:
        """Have it warm up, and return when the measured interval begins."""
        self._tell("go")
        self._expect("measuring", PATIENCE + self._seconds)

    def done(self) -> dict[str, Any]:
        """Return its figures when the interval has ended; the sessions are still up."""
        figures: dict[str, Any] = json.loads(self._expect("done", PATIENCE + self._seconds))
        return figures

    def poll(self, seconds: float) -> dict[str, Any] | None:
        """Wait for the figures for a while; none if they have not come yet. Takes note of ticks."""
        line = self._line(time.monotonic() + seconds)
        if line is None:
            return None
        word, _, rest = line.partition(" ")
        if word == "tick":
            self.ticks.append(json.loads(rest))
            return None
        self._check(word, "done", line)
        figures: dict[str, Any] = json.loads(rest)
        return figures

    def close(self) -> None:
        """Have all sessions closed, and return when it has ended."""
        self._tell("close")
        self._expect("closed", PATIENCE)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise self._failure("it does not end") from None

    def _tell(self, word: str) -> None:
        if self._process.stdin is None:
            raise RuntimeError("the generator has no standard input")
        try:
            self._process.stdin.write(word.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failure(f"it has gone before {word}") from None

    def _expect(self, word: str, seconds: float) -> str:
        """Return what stands behind ``word`` in the next line but ticks."""
        end = time.monotonic() + seconds
        while True:
            line = self._line(end)
            if line is None:
                raise self._failure(f"it does not say {word!r} within {seconds:g} s")
            said, _, rest = line.partition(" ")
            if said == "tick":
                self.ticks.append(json.loads(rest))
                continue
            self._check(said, word, line)
            return rest

    def _check(self, said: str, word: str, line: str) -> None:
        if said != word:
            raise self._failure(f"it says {line!r} instead of {word!r}")

    def _line(self, end: float) -> str | None:
        """Return its next line, or none when it has said nothing by then."""
        if self._process.stdout is None:
            raise RuntimeError("the generator has no standard output")
        number = self._process.stdout.fileno()
        while b"\n" not in self._unread:
            if not select.select([number], [], [], max(0.0, end - time.monotonic()))[0]:
                return None
            data = os.read(number, _READ)
            if not data:
                raise self._failure("it has ended")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode(errors="replace")

    def _failure(self, what: str) -> BenchError:
        return BenchError(f"the load generator: {what}\n{last_words(self._log)}".rstrip())


@contextmanager
def generating(load: Load, folder: Path) -> Iterator[Generator]:
    """Start the generator; the caller goes through the steps, and whatever is left of it ends here."""
    log = folder / "load.log"
    log.unlink(missing_ok=True)
    command = [str(build()), *load.arguments]
    with running(command, core=PLAYERS_CORE, log=log, stdin=subprocess.PIPE) as process:
        try:
            yield Generator(process, log, load.seconds)
        finally:
            if process.stdin is not None:
                process.stdin.close()

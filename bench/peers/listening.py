"""Relays of others: one that listens already, or one that a command starts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.errors import BenchError
from bench.peers.relay import Place, Relay, started

_RAW = "raw"
_LISTENING = re.compile(r"(?P<name>[\w.-]+)=(?P<host>[\w.-]+):(?P<port>\d+),(?P<pid>\d+)(,(?P<raw>raw))?")


@dataclass(frozen=True, slots=True)
class Listening:
    """A relay that listens at ``host`` and ``port``; ``pid`` is the root of its processes.

    It must take each session to ``vnc_port`` of the place, on 127.0.0.1.
    """

    name: str
    host: str
    port: int
    pid: int
    is_raw: bool

    @contextmanager
    def __call__(self, place: Place) -> Iterator[Relay]:
        """Measure it as it is: it is neither started, pinned nor ended."""
        yield Relay(self.name, self.port, self.pid, "listening already", self.host, is_raw=self.is_raw, is_pinned=False)


@dataclass(frozen=True, slots=True)
class Command:
    """A relay that a command starts; ``{port}`` and ``{vnc_port}`` in it are filled in."""

    name: str
    command: str
    is_raw: bool

    @contextmanager
    def __call__(self, place: Place) -> Iterator[Relay]:
        """Run it, pinned as ours is."""
        port = place.next_port()
        words = [word.format(port=port, vnc_port=place.vnc_port) for word in shlex.split(self.command)]
        with started(self.name, words, place, port, versions=words[0], is_raw=self.is_raw) as relay:
            yield relay


def read_listening(text: str) -> Listening:
    """Make sense of ``NAME=HOST:PORT,PID`` or ``NAME=HOST:PORT,PID,raw``."""
    found = _LISTENING.fullmatch(text)
    if found is None:
        raise BenchError(f"{text!r} is not like NAME=HOST:PORT,PID or NAME=HOST:PORT,PID,raw")
    return Listening(found["name"], found["host"], int(found["port"]), int(found["pid"]), bool(found["raw"]))


def read_command(text: str) -> Command:
    """Make sense of ``NAME=COMMAND`` or ``NAME,raw=COMMAND``."""
    name, _, command = text.partition("=")
    name, _, kind = name.partition(",")
    if not name or not command.strip() or kind not in {"", _RAW} or "{port}" not in command:
        raise BenchError(f"{text!r} is not like NAME=COMMAND with {{port}} and {{vnc_port}}, or NAME,raw=COMMAND")
    return Command(name, command, bool(kind))

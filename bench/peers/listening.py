"""Relays of others: one that listens already, or one that a command starts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.certificate import make_certificate
from bench.errors import BenchError
from bench.peers.relay import Place, Relay, started

_RAW, _TLS = "raw", "tls"
_LISTENING = re.compile(
    r"(?P<name>[\w.-]+)=(?P<host>[\w.-]+):(?P<port>\d+),(?P<pid>\d+)(,(?P<raw>raw))?(,(?P<tls>tls))?"
)


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
    is_tls: bool = False

    @contextmanager
    def __call__(self, place: Place) -> Iterator[Relay]:
        """Measure it as it is: it is neither started, pinned nor ended."""
        yield Relay(
            self.name,
            self.port,
            self.pid,
            "listening already",
            self.host,
            is_raw=self.is_raw,
            is_tls=self.is_tls,
            is_pinned=False,
        )


@dataclass(frozen=True, slots=True)
class Command:
    """A relay that a command starts; ``{port}``, ``{vnc_port}``, ``{cert}`` and ``{key}`` in it are filled in."""

    name: str
    command: str
    is_raw: bool
    is_tls: bool = False

    @contextmanager
    def __call__(self, place: Place) -> Iterator[Relay]:
        """Run it, pinned as ours is."""
        port = place.next_port()
        made = make_certificate(place.folder)
        filled = {"port": port, "vnc_port": place.vnc_port, "cert": made.chain, "key": made.key}
        words = [word.format_map(filled) for word in shlex.split(self.command)]
        with started(self.name, words, place, port, versions=words[0], is_raw=self.is_raw, is_tls=self.is_tls) as relay:
            yield relay


def read_listening(text: str) -> Listening:
    """Make sense of ``NAME=HOST:PORT,PID``, with ``,raw`` and ``,tls`` behind it."""
    found = _LISTENING.fullmatch(text)
    if found is None:
        raise BenchError(f"{text!r} is not like NAME=HOST:PORT,PID[,raw][,tls]")
    return Listening(
        found["name"], found["host"], int(found["port"]), int(found["pid"]), bool(found["raw"]), bool(found["tls"])
    )


def read_command(text: str) -> Command:
    """Make sense of ``NAME=COMMAND``, with ``,raw`` and ``,tls`` behind the name."""
    name, _, command = text.partition("=")
    name, *ways = name.split(",")
    if not name or not command.strip() or not {*ways} <= {_RAW, _TLS} or "{port}" not in command:
        raise BenchError(
            f"{text!r} is not like NAME=COMMAND or NAME[,raw][,tls]=COMMAND, with {{port}} and {{vnc_port}}"
        )
    return Command(name, command, _RAW in ways, _TLS in ways)

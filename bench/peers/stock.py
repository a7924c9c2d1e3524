"""Relays in Python by others, or with nothing but what a library's own documents show."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.peers.relay import Place, Relay, started, version_of


@contextmanager
def start_websockify(place: Place) -> Iterator[Relay]:
    """Start websockify with its default settings: a process for each connection."""
    port = place.next_port()
    command = [sys.executable, "-m", "websockify", f"127.0.0.1:{port}", f"127.0.0.1:{place.vnc_port}"]
    with started("websockify", command, place, port, versions=version_of("websockify")) as relay:
        yield relay


@contextmanager
def start_aiohttp(place: Place) -> Iterator[Relay]:
    """Start the relay of ``aiohttp_relay``."""
    with _of_ours("aiohttp", place) as relay:
        yield relay


@contextmanager
def start_websockets(place: Place) -> Iterator[Relay]:
    """Start the relay of ``websockets_relay``."""
    with _of_ours("websockets", place) as relay:
        yield relay


@contextmanager
def _of_ours(library: str, place: Place) -> Iterator[Relay]:
    port = place.next_port()
    command = [sys.executable, "-m", f"bench.peers.{library}_relay", str(port), str(place.vnc_port)]
    named = f"{version_of(library)}, {version_of('uvloop')}"
    with started(library, command, place, port, versions=named) as relay:
        yield relay

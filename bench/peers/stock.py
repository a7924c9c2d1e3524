"""Relays in Python by others, or with nothing but what a library's own documents show."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.certificate import make_certificate
from bench.peers.relay import Place, Relay, started, version_of


@contextmanager
def start_websockify(place: Place) -> Iterator[Relay]:
    """Start websockify with its default settings: a process for each connection."""
    with _websockify(place, []) as relay:
        yield relay


@contextmanager
def start_websockify_tls(place: Place) -> Iterator[Relay]:
    """Start websockify with a certificate, for browsers that speak TLS and no others."""
    made = make_certificate(place.folder)
    flags = ["--cert", str(made.chain), "--key", str(made.key), "--ssl-only"]
    with _websockify(place, flags, is_tls=True) as relay:
        yield relay


@contextmanager
def _websockify(place: Place, flags: Sequence[str], *, is_tls: bool = False) -> Iterator[Relay]:
    port = place.next_port()
    command = [sys.executable, "-m", "websockify", *flags, f"127.0.0.1:{port}", f"127.0.0.1:{place.vnc_port}"]
    with started("websockify", command, place, port, versions=version_of("websockify"), is_tls=is_tls) as relay:
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

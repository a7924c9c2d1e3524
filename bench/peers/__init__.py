"""The relays that are measured, each reached in the same way: a port, and a process to look at.

To add one that a command starts, add an entry to ``PEERS``. One that cannot be started by a
command of one line has a module of its own, as ours has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from bench.peers import haproxy, ours, stock
from bench.peers.relay import Place, Relay

__all__ = ["OURS", "PEERS", "Place", "Relay", "Starter"]

Starter = Callable[[Place], AbstractContextManager[Relay]]

#: What the others are compared with.
OURS = "ours"

PEERS: Mapping[str, Starter] = {
    OURS: ours.start,
    "websockify": stock.start_websockify,
    "haproxy": haproxy.start_default,
    "haproxy-256k": haproxy.start_large,
    "aiohttp": stock.start_aiohttp,
    "websockets": stock.start_websockets,
}

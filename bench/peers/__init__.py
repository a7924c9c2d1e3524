"""The relays that are measured, each reached in the same way: a port, and a process to look at.

To add one that a command starts, add an entry to ``PEERS``. One that cannot be started by a
command of one line has a module of its own, as ours has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from enum import Enum
from functools import partial

from bench.peers import haproxy, ours, stock
from bench.peers.relay import Place, Relay

__all__ = ["NAMES", "OURS", "PEERS", "Kind", "Place", "Relay", "Starter"]

Starter = Callable[[Place], AbstractContextManager[Relay]]

#: What the others are compared with.
OURS = "ours"


class Kind(Enum):
    """How the relays of a scenario are started."""

    PLAIN = "plain"
    TLS = "tls"
    WORKERS = "workers"


#: The relays of each kind; "ours" with two workers is what ours with others is compared with.
PEERS: Mapping[Kind, Mapping[str, Starter]] = {
    Kind.PLAIN: {
        OURS: ours.start,
        "websockify": stock.start_websockify,
        "haproxy": haproxy.start_default,
        "haproxy-256k": haproxy.start_large,
        "aiohttp": stock.start_aiohttp,
        "websockets": stock.start_websockets,
    },
    Kind.TLS: {
        OURS: ours.start_tls,
        "websockify": stock.start_websockify_tls,
        "haproxy": haproxy.start_tls,
    },
    Kind.WORKERS: {
        OURS: partial(ours.start_workers, name=OURS, count=2),
        "ours-1-worker": partial(ours.start_workers, name="ours-1-worker", count=1),
        "ours-0-workers": partial(ours.start_workers, name="ours-0-workers", count=0),
    },
}

#: All of their names, in one order.
NAMES = tuple(dict.fromkeys(name for peers in PEERS.values() for name in peers))

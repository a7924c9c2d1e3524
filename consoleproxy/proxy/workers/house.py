"""What a crew of workers has of its house, what it is told, and the place of one worker."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

from consoleproxy.links import ControlLink
from consoleproxy.ops.routes import Readiness
from consoleproxy.proxy.plan import Policy
from consoleproxy.proxy.sessions import SessionTable
from consoleproxy.proxy.workers.hand import Hand

#: Seconds before a worker is born again: doubled each time, and the first again for one that has lived long.
SHORTEST: Final = 0.1
LONGEST: Final = 10.0
LONG_LIFE: Final = 10.0


@dataclass(frozen=True, slots=True)
class Household:
    """What a crew of workers has of its house."""

    policy: Policy
    table: SessionTable
    link: ControlLink
    registry: CollectorRegistry
    readiness: Readiness


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How many workers, and what they are told; ``folder``: where they find the next supervisor, if there is one."""

    count: int
    folder: Path | None
    patience: float
    log_level: str
    log_format: str


@dataclass(slots=True)
class Place:
    """A slot's place for a worker. ``coming`` is its next one, which is not ready yet; ``timer`` brings it."""

    hand: Hand | None = None
    coming: Hand | None = None
    delay: float = SHORTEST
    timer: asyncio.TimerHandle | None = None

    def leave(self, hand: Hand) -> bool:
        """Take ``hand`` out, where it stands in this place; return whether it did."""
        if hand not in (self.hand, self.coming):
            return False
        self.hand = None if self.hand is hand else self.hand
        self.coming = None if self.coming is hand else self.coming
        return True

    def next_delay(self, lost: Hand, now: float) -> float:
        """Return how many seconds to wait for the next worker after ``lost``: longer after each quick death."""
        if lost.is_ready and now - lost.began > LONG_LIFE:
            self.delay = SHORTEST
        delay, self.delay = self.delay, min(self.delay * 2, LONGEST)
        return delay

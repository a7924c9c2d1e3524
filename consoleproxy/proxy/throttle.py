"""Bandwidth limits: so many bytes a second for a session, and for the whole proxy.

Each direction is counted by itself, so that a stream of pictures does not hold up the keys.
A token bucket may be overdrawn by one read; who has overdrawn it reads on when it is even
again. One timer serves all who wait. Where no limit is set, none of this is made, and the
relay's classes that know of it are not used.
"""

from __future__ import annotations

import asyncio
import heapq
from itertools import count
from typing import Final, Protocol

#: Seconds' worth of bytes that may go at once after a rest.
BURST: Final = 0.25
#: Seconds' worth of bytes read at once, so that a slow stream flows rather than jumps.
PORTION: Final = 0.05
LEAST_PORTION: Final = 1024
MOST_PORTION: Final = 64 * 1024


class Limited(Protocol):
    """One side of a relay, as far as its allowance is concerned."""

    def wait_allowance(self) -> None:
        """Read no more."""

    def take_allowance(self) -> None:
        """Read on."""


class Bucket:
    """``rate`` bytes a second, 0 for any number, with a short burst; ``now`` comes from the caller."""

    __slots__ = ("_since", "_tokens", "rate")

    def __init__(self, rate: int, now: float) -> None:
        self.rate = rate
        self._tokens = rate * BURST
        self._since = now

    def spend(self, nbytes: int, now: float) -> float:
        """Take ``nbytes`` out and return the seconds until the bucket is even again, 0 when it is."""
        if not self.rate:
            return 0.0
        refilled = self._tokens + (now - self._since) * self.rate
        self._tokens = min(refilled, self.rate * BURST) - nbytes
        self._since = now
        return max(0.0, -self._tokens / self.rate)


class Throttle:
    """The limits of a process, in bytes a second and direction; 0 sets none.

    ``is_on`` says whether any is set. ``portion`` is what a limited side should read at once.
    """

    def __init__(self, *, session: int, proxy: int) -> None:
        self._session_rate = session
        self._proxy_rate = proxy
        self.is_on = bool(session or proxy)
        lowest = min(filter(None, (session, proxy)), default=0)
        self.portion = min(max(int(lowest * PORTION), LEAST_PORTION), MOST_PORTION)
        self._shared: dict[str, Bucket] = {}
        self._waiting: list[tuple[float, int, Limited]] = []
        self._order = count()
        self._timer: asyncio.TimerHandle | None = None

    def allowance(self, direction: str) -> tuple[Bucket, Bucket]:
        """Return the buckets that a new session spends from in ``direction``: its own, and the proxy's."""
        now = asyncio.get_running_loop().time()
        if direction not in self._shared:
            self._shared[direction] = Bucket(self._proxy_rate, now)
        return Bucket(self._session_rate, now), self._shared[direction]

    def spend(self, who: Limited, allowance: tuple[Bucket, Bucket], nbytes: int) -> None:
        """Take ``nbytes`` out of both buckets; ``who`` waits while one of them is overdrawn."""
        now = asyncio.get_running_loop().time()
        wait = max(bucket.spend(nbytes, now) for bucket in allowance)
        if wait:
            who.wait_allowance()
            heapq.heappush(self._waiting, (now + wait, next(self._order), who))
            self._arm()

    def close(self) -> None:
        """Wake nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._waiting.clear()

    def _arm(self) -> None:
        due = self._waiting[0][0]
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._wake)

    def _wake(self) -> None:
        self._timer = None
        # The timer's clock counts in milliseconds: what is due by the next one is due now.
        now = asyncio.get_running_loop().time() + 0.001
        while self._waiting and self._waiting[0][0] <= now:
            heapq.heappop(self._waiting)[2].take_allowance()
        if self._waiting:
            self._arm()

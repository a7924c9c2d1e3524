"""Many deadlines, one coarse timer, and no timer at all while there are none.

A relay must not have timers of its own; but a connection that closes must not wait for
ever for a goodbye, and a peer that has stopped reading must not be waited for without
end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

#: Seconds between two looks at the list.
TICK = 1.0

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Things that have to happen within ``patience`` seconds; ``on_late`` gets those that did not.

    Who is late is forgotten first: ``on_late`` may expect it again.
    """

    def __init__(self, *, patience: float, on_late: Callable[[T], None]) -> None:
        self._patience = patience
        self._on_late = on_late
        self._deadlines: dict[T, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    def __len__(self) -> int:
        """Count what is waited for."""
        return len(self._deadlines)

    def expect(self, thing: T) -> None:
        """Wait for ``thing`` from now on."""
        loop = asyncio.get_running_loop()
        self._deadlines[thing] = loop.time() + self._patience
        self._is_empty.clear()
        if self._timer is None:
            self._timer = loop.call_later(TICK, self._look)

    def forget(self, thing: T) -> None:
        """Wait for ``thing`` no more: it has happened."""
        self._deadlines.pop(thing, None)
        if not self._deadlines:
            self._is_empty.set()

    async def wait_empty(self) -> None:
        """Return when nothing is waited for; the deadlines see to it that this comes."""
        await self._is_empty.wait()

    def close(self) -> None:
        """Take all that is left for late."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._end(list(self._deadlines))

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = None
        self._end([thing for thing, deadline in self._deadlines.items() if deadline <= now])
        if self._deadlines and self._timer is None:
            self._timer = loop.call_later(TICK, self._look)

    def _end(self, late: list[T]) -> None:
        for thing in late:
            self.forget(thing)
            self._on_late(thing)

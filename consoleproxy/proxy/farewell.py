"""Connections that are closing: each goes in peace or is cut at its deadline.

A close frame wants an answer, and bytes that still wait want to go out; a peer that
gives neither must not keep a socket for ever. One coarse timer serves all of them and
runs only while there are any.
"""

from __future__ import annotations

import asyncio

#: Seconds between two looks at the list.
TICK = 1.0


class Farewells:
    """Transports whose session is over, each with its deadline ``patience`` seconds away."""

    def __init__(self, *, patience: float) -> None:
        self._patience = patience
        self._deadlines: dict[asyncio.Transport, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    def __len__(self) -> int:
        """Count the connections that may still be open."""
        return len(self._deadlines)

    def expect(self, transport: asyncio.Transport) -> None:
        """Cut ``transport`` at its deadline, unless it has closed by then."""
        loop = asyncio.get_running_loop()
        self._deadlines[transport] = loop.time() + self._patience
        self._is_empty.clear()
        if self._timer is None:
            self._timer = loop.call_later(TICK, self._look)

    def forget(self, transport: asyncio.Transport) -> None:
        """Take ``transport`` off the list: it has closed."""
        self._deadlines.pop(transport, None)
        if not self._deadlines:
            self._is_empty.set()

    async def wait_empty(self) -> None:
        """Return when all have closed or were cut, which the deadlines see to."""
        await self._is_empty.wait()

    def close(self) -> None:
        """Cut all that is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for transport in self._deadlines:
            transport.abort()
        self._deadlines.clear()
        self._is_empty.set()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for transport in [late for late, deadline in self._deadlines.items() if deadline <= now]:
            transport.abort()
            self.forget(transport)
        self._timer = loop.call_later(TICK, self._look) if self._deadlines else None

"""The session table behind an interface that can also lie in another process.

The methods are coroutines although the local table never waits: with workers the same
calls cross a socket to the supervisor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from consoleproxy.errors import SessionEnded, TakenOver
from consoleproxy.proxy.sessions import SessionTable, Slot, SlotRequest

#: How the registry tells that a session has to end, and why.
OnEnd = Callable[[Slot, SessionEnded], object]


class Registry(Protocol):
    """Slots for consoles, with the limits of this proxy."""

    async def reserve(self, request: SlotRequest) -> Slot:
        """Take a slot, reversibly; raise a ``Refused`` error."""

    async def commit(self, slot: Slot) -> None:
        """Make the slot's owner the viewer; who is replaced is told to end first."""

    def release(self, slot: Slot) -> None:
        """Give the slot back; doing so again does nothing."""


class LocalRegistry:
    """The registry of a proxy that is one process. ``on_end`` gets who has to leave."""

    def __init__(self, table: SessionTable, on_end: OnEnd) -> None:
        self._table = table
        self._on_end = on_end

    async def reserve(self, request: SlotRequest) -> Slot:
        """Take a slot, reversibly; raise ``FullError`` or ``InUseError``."""
        return self._table.reserve(request)

    async def commit(self, slot: Slot) -> None:
        """Make the slot's owner the viewer; who is replaced is told to end first."""
        displaced = self._table.commit(slot)
        if displaced is not None:
            self._on_end(displaced, TakenOver(f"by session {slot.request.session_id}"))

    def release(self, slot: Slot) -> None:
        """Give the slot back; doing so again does nothing."""
        self._table.release(slot)

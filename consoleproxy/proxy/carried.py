"""The consoles that this process carries, from their slot to their end."""

from __future__ import annotations

import asyncio
from typing import Protocol

from consoleproxy.errors import SessionEnded
from consoleproxy.proxy.sessions import Slot


class Endable(Protocol):
    """A console, as far as somebody else may touch it."""

    def end(self, error: SessionEnded) -> None:
        """End it for ``error``, in whatever phase it is."""


class Carried:
    """Finds a console by its slot, ends them, and waits until none is left."""

    def __init__(self) -> None:
        self._consoles: dict[Slot, Endable] = {}
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    def __len__(self) -> int:
        """Count the consoles."""
        return len(self._consoles)

    def add(self, slot: Slot, console: Endable) -> None:
        """Carry ``console`` until ``remove``."""
        self._consoles[slot] = console
        self._is_empty.clear()

    def remove(self, slot: Slot) -> None:
        """Carry the console of ``slot`` no more."""
        self._consoles.pop(slot, None)
        if not self._consoles:
            self._is_empty.set()

    def end(self, slot: Slot, error: SessionEnded) -> bool:
        """End the console of ``slot``; false when it is not there."""
        if (console := self._consoles.get(slot)) is None:
            return False
        console.end(error)
        return True

    def end_session(self, session_id: str, error: SessionEnded) -> bool:
        """End the consoles of a session, in whatever phase; false when there is none."""
        slots = [slot for slot in self._consoles if slot.request.session_id == session_id]
        for slot in slots:
            self.end(slot, error)
        return bool(slots)

    def end_all(self, error: SessionEnded) -> None:
        """End every console."""
        for console in list(self._consoles.values()):
            console.end(error)

    async def wait_empty(self, seconds: float) -> None:
        """Return when none is left, or after ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                await self._is_empty.wait()
        except TimeoutError:
            return

"""How much is read at once, and how much in one turn of the loop: cheap for one, fair to all.

A large read is cheaper by the byte than a small one, but while a session is served the
others wait, and libuv reads up to 32 times in a row from a socket that keeps filling the
buffer. So a session that streams alone gets large reads; where several stream they get
smaller ones; and none gets more than ``TURN_SHARE`` before the others have had their turn.

All sessions of a process read into the same two buffers. That is safe because a loop reads
for one transport at a time, and what is read is handed on, or copied, before it reads again.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

#: Bytes read at once from a VM, and from a browser, while several stream.
SHARED_READ: Final = 64 * 1024
#: Bytes read at once from a VM that streams alone.
LONE_READ: Final = 256 * 1024
#: Bytes that one session may read in one turn of the loop before the others are looked at.
TURN_SHARE: Final = 1024 * 1024
#: Bytes read at once from a browser that floods us with tiny frames.
FLOOD_READ: Final = 4 * 1024
#: The longest frame header that a server sends (RFC 6455 section 5.2).
HEADER_ROOM: Final = 10


class Reading(Protocol):
    """One side of a relay, as far as its turns are concerned."""

    def wait_turn(self) -> None:
        """Read no more in this turn."""

    def take_turn(self) -> None:
        """Read on."""


class Pace:
    """The buffers of a process, and whose turn it is.

    ``vm_memory`` begins with room for a frame header, so that a frame can be sent from where
    it was read; ``vm_room`` is the part behind it that is lent out now. Call ``filled`` after a
    read that filled what was lent: only such a read costs anything here.
    """

    __slots__ = (
        "_is_turn_due",
        "_large",
        "_read",
        "_small",
        "_waiting",
        "browser_room",
        "flood_room",
        "vm_memory",
        "vm_room",
    )

    def __init__(self) -> None:
        self.vm_memory = memoryview(bytearray(HEADER_ROOM + LONE_READ))
        self._large = self.vm_memory[HEADER_ROOM:]
        self._small = self._large[:SHARED_READ]
        self.vm_room = self._small
        self.browser_room = memoryview(bytearray(SHARED_READ))
        self.flood_room = self.browser_room[:FLOOD_READ]
        self._read: dict[Reading, int] = {}
        self._waiting: list[Reading] = []
        self._is_turn_due = False

    def filled(self, who: Reading, nbytes: int) -> None:
        """Count a read of ``nbytes`` that filled the buffer; past its share ``who`` waits for the next turn."""
        total = self._read[who] = self._read.get(who, 0) + nbytes
        self._expect_turn()
        if len(self._read) > 1:
            self.vm_room = self._small
        elif total >= LONE_READ:
            # Not at once: a peer that does not keep up is stopped before, and keeps less waiting for it.
            self.vm_room = self._large
        if total >= TURN_SHARE:
            self.wait(who)

    def wait(self, who: Reading) -> None:
        """Let ``who`` read on only in the next turn."""
        self._waiting.append(who)
        self._expect_turn()
        who.wait_turn()

    def _expect_turn(self) -> None:
        if not self._is_turn_due:
            self._is_turn_due = True
            asyncio.get_running_loop().call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        self._is_turn_due = False
        waiting, self._waiting = self._waiting, []
        if len(self._read) != 1 or not waiting:
            self.vm_room = self._small
        self._read.clear()
        for who in waiting:
            who.take_turn()

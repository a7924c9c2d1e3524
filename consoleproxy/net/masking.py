"""Masks for the frames of a websocket client (RFC 6455 section 5.3): nobody may foresee them."""

from __future__ import annotations

import os
from typing import Final

_SIZE: Final = 4
#: Bytes asked of the kernel at once: a call for each key stroke would cost as much as sending it.
_POOL: Final = 1024


class Masks:
    """Gives masks of four bytes, each once."""

    __slots__ = ("_pool", "_used")

    def __init__(self) -> None:
        self._pool = b""
        self._used = 0

    def take(self) -> bytes:
        """Return the next mask."""
        if self._used == len(self._pool):
            self._pool = os.urandom(_POOL)
            self._used = 0
        self._used += _SIZE
        return self._pool[self._used - _SIZE : self._used]

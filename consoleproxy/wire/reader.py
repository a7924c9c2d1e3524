"""Bytes that have arrived and are not used yet.

One buffer stands between a peer and every parser of a handshake, so that what was
read too far stays in one place and goes to the next stage: VNC servers speak first,
and their banner can share a packet with the answer of a tunnel.
"""

from __future__ import annotations

from consoleproxy.errors import RemoteProtocolError

#: What a peer may send ahead of being read, in bytes. No handshake comes near it.
DEFAULT_LIMIT = 1 << 20


class Reader:
    """A first-in, first-out byte buffer for handshakes.

    ``feed`` it what arrived, then ``take`` what is needed. It holds ``limit`` bytes at
    most; ``feed`` raises ``RemoteProtocolError`` beyond that. Drained, it holds no memory.
    """

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self._buffer = bytearray()
        self._limit = limit

    def __len__(self) -> int:
        """Count the bytes not taken yet."""
        return len(self._buffer)

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Append what arrived; it is copied."""
        if len(self._buffer) + len(data) > self._limit:
            raise RemoteProtocolError(f"more than {self._limit} bytes sent ahead")
        self._buffer += data

    def take(self, size: int) -> bytes | None:
        """Remove and return exactly ``size`` bytes; ``None``, and nothing removed, while fewer are there."""
        if len(self._buffer) < size:
            return None
        if len(self._buffer) == size:
            return self.take_all()
        taken = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return taken

    def peek_all(self) -> bytes:
        """Return everything and keep it, for a parser that looks for an end mark."""
        return bytes(self._buffer)

    def take_all(self) -> bytes:
        """Remove and return everything: the leftover that goes to the next stage."""
        taken = bytes(self._buffer)
        # A cleared bytearray may keep its allocation; a new one has none.
        self._buffer = bytearray()
        return taken

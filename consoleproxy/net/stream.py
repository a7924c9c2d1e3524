"""``ByteStream``: five methods that every path to a peer has, and the plain TCP one."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from typing import Protocol

from consoleproxy.errors import PeerClosed, VMTLSError
from consoleproxy.net.tls_state import TLSState
from consoleproxy.wire.reader import Reader
from consoleproxy.wire.websocket import FrameParser

#: Bytes asked of the kernel at once while a handshake runs.
READ_SIZE = 16 * 1024


@dataclass(frozen=True, slots=True)
class Channel:
    """A connection whose handshakes are over: the relay owns ``sock`` from here.

    ``leftover`` is what was read past the handshake and has to be delivered first;
    ``tls`` encrypts what goes over ``sock``, which is plain without it; ``websocket`` reads the frames of
    a peer whose websocket client we are.
    """

    sock: socket.socket
    leftover: bytes = b""
    tls: TLSState | None = None
    websocket: FrameParser | None = None


class ByteStream(Protocol):
    """A connection during its handshakes. Who holds it must end it: ``detach`` or ``close``.

    No method has a deadline of its own: run them under ``asyncio.timeout``.
    """

    async def read(self, size: int) -> bytes:
        """Return exactly ``size`` bytes; raise ``PeerClosed`` when they cannot come."""

    async def write(self, data: bytes) -> None:
        """Send all of ``data``; raise ``PeerClosed`` when the peer is gone."""

    async def start_tls(self, server_name: str) -> None:
        """Go on encrypted, as the client, on the same connection."""

    def detach(self) -> Channel:
        """Give the connection away; the stream must not be used after it."""

    def close(self) -> None:
        """Close at once; closing twice, or after ``detach``, does nothing."""


class SocketStream:
    """Plain TCP (or a unix socket): ``sock`` must be connected and non-blocking."""

    def __init__(self, sock: socket.socket, leftover: bytes = b"") -> None:
        self._sock: socket.socket | None = sock
        self._reader = Reader()
        self._reader.feed(leftover)

    async def read(self, size: int) -> bytes:
        """Return exactly ``size`` bytes; raise ``PeerClosed`` when they cannot come."""
        while (data := self._reader.take(size)) is None:
            self._reader.feed(await self._receive())
        return data

    @property
    def is_open(self) -> bool:
        """Whether it was neither closed nor detached here."""
        return self._sock is not None

    @property
    def unread(self) -> int:
        """Bytes that have come and were not taken."""
        return len(self._reader)

    async def receive(self) -> bytes:
        """Return what comes next, at least one byte; raise ``PeerClosed`` at the end."""
        if len(self._reader):
            return self._reader.take_all()
        return await self._receive()

    async def _receive(self) -> bytes:
        try:
            data = await asyncio.get_running_loop().sock_recv(self._socket, READ_SIZE)
        except OSError as error:
            raise PeerClosed(str(error)) from error
        if not data:
            raise PeerClosed("end of file")
        return data

    async def write(self, data: bytes) -> None:
        """Send all of ``data``; raise ``PeerClosed`` when the peer is gone."""
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, data)
        except OSError as error:
            raise PeerClosed(str(error)) from error

    def put_back(self, data: bytes) -> None:
        """Have ``data`` read again, before what comes next."""
        self._reader.feed(data + self._reader.take_all())

    def send_now(self, data: bytes) -> None:
        """Send what the kernel takes of ``data``, and drop the rest: last words that nobody waits for."""
        if data and self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.send(data)

    def half_close(self) -> None:
        """Say that nothing more will be sent; what the peer sends can still be received."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    async def start_tls(self, server_name: str) -> None:
        """Refuse: there is no trust material for TLS towards a VM, and no TLS without it."""
        raise VMTLSError(f"no trust material for TLS towards {server_name}")

    def detach(self) -> Channel:
        """Give the connection away; the stream must not be used after it."""
        channel = Channel(self._socket, self._reader.take_all())
        self._sock = None
        return channel

    def close(self) -> None:
        """Close at once; closing twice, or after ``detach``, does nothing."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    @property
    def _socket(self) -> socket.socket:
        if self._sock is None:
            raise PeerClosed("the connection was closed here")
        return self._sock

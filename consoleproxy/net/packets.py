"""Packets between two processes of this machine, with open files in them.

A ``SOCK_SEQPACKET`` socket keeps each packet whole and tells when the other process has
gone. Nothing here waits: what the kernel does not take at once is queued, up to a bound
beyond which the other side counts as gone.
"""

from __future__ import annotations

import array
import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence

#: Bytes of one packet.
MAX_PACKET = 96 * 1024
#: Open files in one packet.
MAX_FILES = 8
#: Bytes and packets that may wait for a peer that does not read.
MOST_QUEUED_BYTES = 16 * 1024 * 1024
MOST_QUEUED = 20_000
#: Packets taken in one turn of the loop.
RECEIVES_PER_TURN = 64

_BUFFER = 1024 * 1024
_ANCILLARY = socket.CMSG_SPACE(MAX_FILES * array.array("i").itemsize)

#: What gets a packet and the open files in it, which it owns from then on.
OnPacket = Callable[[bytes, list[int]], None]


def packet_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets; neither is inherited unless somebody says so."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class PacketPipe:
    """One end: ``sock`` is its own from now on. ``start`` it; ``on_close`` is called once, by the peer's doing only."""

    def __init__(self, sock: socket.socket, *, on_packet: OnPacket, on_close: Callable[[], None]) -> None:
        sock.setblocking(False)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        self._sock = sock
        self._on_packet = on_packet
        self._on_close = on_close
        self._queue: deque[tuple[bytes, Sequence[int]]] = deque()
        self._queued_bytes = 0
        self._is_reading = False

    @property
    def is_open(self) -> bool:
        """Whether packets can still go out."""
        return self._sock.fileno() >= 0

    @property
    def is_flushed(self) -> bool:
        """Whether the kernel has taken all that was sent."""
        return not self._queue

    def fileno(self) -> int:
        """Return the descriptor, -1 when closed."""
        return self._sock.fileno()

    def start(self) -> None:
        """Receive from now on."""
        if self.is_open and not self._is_reading:
            self._is_reading = True
            asyncio.get_running_loop().add_reader(self._sock.fileno(), self._receive_some)

    def pause(self) -> None:
        """Receive nothing until ``start``; what comes waits in the kernel."""
        if self.is_open and self._is_reading:
            self._is_reading = False
            asyncio.get_running_loop().remove_reader(self._sock.fileno())

    def send(self, data: bytes, files: Sequence[int] = ()) -> None:
        """Send a packet; ``files`` must stay open until it has left. To a peer that is gone nothing is sent."""
        if len(data) > MAX_PACKET or len(files) > MAX_FILES:
            raise ValueError(f"a packet of {len(data)} bytes and {len(files)} files")
        if not self.is_open:
            return
        self._queue.append((data, files))
        self._queued_bytes += len(data)
        if len(self._queue) == 1:
            self._send_some()
        elif len(self._queue) > MOST_QUEUED or self._queued_bytes > MOST_QUEUED_BYTES:
            # Soon, not now: the caller is in the middle of something.
            asyncio.get_running_loop().call_soon(self._lose)

    def close(self) -> None:
        """Close this end, without a call of ``on_close``."""
        if self.is_open:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._sock.fileno())
            loop.remove_writer(self._sock.fileno())
            self._queue.clear()
            self._sock.close()

    def _lose(self) -> None:
        if self.is_open:
            self.close()
            self._on_close()

    def _send_some(self) -> None:
        loop = asyncio.get_running_loop()
        while self._queue:
            data, files = self._queue[0]
            try:
                socket.send_fds(self._sock, [data], list(files))
            except (BlockingIOError, InterruptedError):
                loop.add_writer(self._sock.fileno(), self._send_some)
                return
            except OSError:
                # Reading meets the end too, and after what the peer has said before it.
                self._queue.clear()
                self._queued_bytes = 0
                break
            self._queue.popleft()
            self._queued_bytes -= len(data)
        loop.remove_writer(self._sock.fileno())

    def _receive_some(self) -> None:
        for _ in range(RECEIVES_PER_TURN):
            if not self._is_reading or not self.is_open:
                return
            try:
                data, files, flags, _ = _receive(self._sock)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._lose()
                return
            if not data or flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                close_files(files)
                self._lose()
                return
            self._on_packet(data, files)


def _receive(sock: socket.socket) -> tuple[bytes, list[int], int, object]:
    data, ancillary, flags, address = sock.recvmsg(MAX_PACKET, _ANCILLARY, socket.MSG_CMSG_CLOEXEC)
    files = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            files.frombytes(payload[: len(payload) - len(payload) % files.itemsize])
    return data, list(files), flags, address


def close_files(files: Sequence[int]) -> None:
    """Close open files that nobody wants."""
    for file in files:
        os.close(file)

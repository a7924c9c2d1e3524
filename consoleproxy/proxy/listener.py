"""The door: from an accepted socket to a console, or to aiohttp.

Ours comes first, on the raw socket. In this order, each step under a deadline and
counted against its address: optional PROXY line, optional TLS (both have their place
at the start of ``_serve``), then the request's head. An upgrade goes to ``consoles``;
everything else goes to aiohttp's own handler, by its public calls only.

aiohttp first would be the other way round, but then it would have to be robbed of its
transport by private attributes, could not see a PROXY line, and would cost each
session the memory of a request.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from consoleproxy.errors import PeerClosed
from consoleproxy.net.stream import SocketStream
from consoleproxy.net.tasks import Tasks
from consoleproxy.proxy.request import HEAD_LIMIT, Upgrade, head_size, is_upgrade, plain_answer, read_upgrade

log = logging.getLogger(__name__)

#: Connections taken from the kernel's queue in one turn of the loop.
ACCEPTS_PER_TURN = 64
#: Seconds that a connection may live with aiohttp: pages are small, consoles are not here.
PAGE_LIFETIME = 60.0
#: Seconds without accepting after the process ran out of descriptors.
ACCEPT_PAUSE = 1.0
_HEAD_TOO_LONG = plain_answer("431 Request Header Fields Too Large", "The request's head is too long.")
_OUT_OF_DESCRIPTORS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


@dataclass(frozen=True, slots=True)
class Arrival:
    """A websocket upgrade at the door; who gets it owns ``stream`` and must end it."""

    stream: SocketStream
    upgrade: Upgrade
    address: str


class Admission:
    """Counts the connections that are not yet consoles, in all and for each address."""

    def __init__(self, *, most: int, most_per_address: int) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._by_address: Counter[str] = Counter()
        self.refused = 0

    def __len__(self) -> int:
        """Count the connections inside."""
        return self._by_address.total()

    def enter(self, address: str) -> bool:
        """Take a place; false means there is none and the connection must be closed."""
        if len(self) >= self._most or self._by_address[address] >= self._most_per_address:
            self.refused += 1
            return False
        self._by_address[address] += 1
        return True

    def leave(self, address: str) -> None:
        """Give the place back."""
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]


class Listener:
    """Accepts on ``sock`` until closed. ``consoles`` takes upgrades, ``pages`` the rest.

    ``sock`` must be listening and non-blocking; the listener owns it. ``pages`` is an
    aiohttp server (``AppRunner.server``). A connection's task belongs to ``tasks``.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        admission: Admission,
        request_timeout: float,
        tasks: Tasks,
        pages: web.Server,
        consoles: Callable[[Arrival], Awaitable[None]] | None,
    ) -> None:
        self._sock = sock
        #: The port that the kernel gave, or that was asked for.
        self.port: int = sock.getsockname()[1]
        self._admission = admission
        self._request_timeout = request_timeout
        self._tasks = tasks
        self._pages = pages
        self._consoles = consoles
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to accept."""
        self._pause = None
        asyncio.get_running_loop().add_reader(self._sock.fileno(), self._accept)

    def close(self) -> None:
        """Accept nothing more; connections that came in go on."""
        if self._sock.fileno() < 0:
            return
        asyncio.get_running_loop().remove_reader(self._sock.fileno())
        if self._pause is not None:
            self._pause.cancel()
        self._sock.close()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                sock, peer = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in _OUT_OF_DESCRIPTORS:
                    self._rest(error)
                    return
                raise
            self._admit(sock, peer[0])

    def _rest(self, error: OSError) -> None:
        # Accepting again at once would spin: the waiting connection stays readable.
        log.error("cannot accept: %s; raise the limit of open files (ulimit -n)", error)
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._sock.fileno())
        self._pause = loop.call_later(ACCEPT_PAUSE, self.start)

    def _admit(self, sock: socket.socket, address: str) -> None:
        sock.setblocking(False)
        if not self._admission.enter(address):
            sock.close()
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._tasks.spawn(self._serve(sock, address), name=f"connection from {address}")

    async def _serve(self, sock: socket.socket, address: str) -> None:
        stream = SocketStream(sock)
        try:
            # The places of the PROXY line and of TLS are here, before the head.
            async with asyncio.timeout(self._request_timeout):
                head, rest = await _read_head(stream)
                if not head:
                    await stream.write(_HEAD_TOO_LONG)
                    return
            if self._consoles is not None and is_upgrade(head):
                console_stream = SocketStream(stream.detach().sock, rest)
                await self._consoles(Arrival(console_stream, read_upgrade(head), address))
            else:
                await self._hand_to_pages(stream.detach().sock, head + rest)
        except (TimeoutError, PeerClosed):
            pass  # Nobody is there to be told.
        finally:
            stream.close()
            self._admission.leave(address)

    async def _hand_to_pages(self, sock: socket.socket, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        handler = self._pages()
        transport, _ = await loop.connect_accepted_socket(lambda: handler, sock)
        handler.data_received(data)
        # aiohttp has no deadline for a client that does not read its answer.
        loop.call_later(PAGE_LIFETIME, transport.abort)


async def _read_head(stream: SocketStream) -> tuple[bytes, bytes]:
    """Return head and what came after it; an empty head means that it was too long."""
    data = bytearray()
    while not (size := head_size(data)):
        if len(data) > HEAD_LIMIT:
            return b"", b""
        data += await stream.receive()
    return bytes(data[:size]), bytes(data[size:])

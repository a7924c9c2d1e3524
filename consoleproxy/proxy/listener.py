"""The door: from an accepted socket to a console, or to aiohttp.

Ours comes first, on the raw socket. In this order, each step under a deadline and
counted against its address: optional PROXY line (its place is at the start of ``_serve``),
TLS where it is on, then the request's head. An upgrade goes to ``consoles``;
everything else goes to aiohttp's own handler, by its public calls only.

aiohttp first would be the other way round, but then it would have to be robbed of its
transport by private attributes, could not see a PROXY line, and would cost each
session the memory of a request.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from consoleproxy.errors import PeerClosed
from consoleproxy.net.stream import Channel, SocketStream
from consoleproxy.net.tasks import Tasks
from consoleproxy.net.tls_stream import BrowserStream
from consoleproxy.proxy.page_connection import PageConnection
from consoleproxy.proxy.request import HEAD_LIMIT, Upgrade, head_size, is_upgrade, read_upgrade, refusal_of
from consoleproxy.proxy.tls_door import TLSDoor
from consoleproxy.proxy.tls_page import TLSPageConnection

log = logging.getLogger(__name__)

#: Connections taken from the kernel's queue in one turn of the loop.
ACCEPTS_PER_TURN = 64
#: Seconds without accepting after the process ran out of descriptors.
ACCEPT_PAUSE = 1.0
_OUT_OF_DESCRIPTORS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


@dataclass(frozen=True, slots=True)
class Arrival:
    """A websocket upgrade at the door; who gets it owns ``stream`` and must end it."""

    stream: BrowserStream
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
        address = _counted(address)
        if len(self) >= self._most or self._by_address[address] >= self._most_per_address:
            self.refused += 1
            return False
        self._by_address[address] += 1
        return True

    def leave(self, address: str) -> None:
        """Give the place back."""
        address = _counted(address)
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]


def _counted(address: str) -> str:
    """Return what an address is counted as: who has one IPv6 address has a whole /64 of them."""
    if ":" not in address or address.startswith("::ffff:"):
        return address
    return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))


class Listener:
    """Accepts on ``sock`` until closed. ``consoles`` takes upgrades, ``pages`` the rest.

    ``sock`` must be listening and non-blocking; the listener owns it. ``pages`` is an
    aiohttp server (``AppRunner.server``). A connection's task belongs to ``tasks``. Without
    ``tls`` the port speaks in clear.
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
        tls: TLSDoor | None = None,
    ) -> None:
        self._sock = sock
        #: The port that the kernel gave, or that was asked for.
        self.port: int = sock.getsockname()[1]
        self._admission = admission
        self._request_timeout = request_timeout
        self._tasks = tasks
        self._pages = pages
        self._consoles = consoles
        self._tls = tls
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
        stream: BrowserStream = (plain := SocketStream(sock))
        place = _Place(self._admission, address)
        try:
            # The place of the PROXY line is here.
            if self._tls is not None:
                stream = await self._tls.accept(plain, self._request_timeout)
            async with asyncio.timeout(self._request_timeout):
                head, rest = await _read_head(stream)
                refusal = refusal_of(head)
                if refusal:
                    await stream.write(refusal)
                    return
            if self._consoles is None or not is_upgrade(head):
                await self._hand_to_pages(stream.detach(), head, rest, place)
                return
            upgrade = read_upgrade(head)
            if not upgrade.is_valid:
                async with asyncio.timeout(self._request_timeout):
                    await stream.write(upgrade.answer)
                return
            stream.put_back(rest)
            await self._consoles(Arrival(stream, upgrade, address))
        except (TimeoutError, PeerClosed):
            pass  # Nobody is there to be told.
        finally:
            stream.close()
            place.leave_unless_kept()

    async def _hand_to_pages(self, channel: Channel, head: bytes, rest: bytes, place: _Place) -> None:
        # On a shared port each answer closes its connection: what comes behind the head is not for aiohttp.
        is_single = self._consoles is not None
        data = head if is_single else head + rest
        page = PageConnection(self._pages(), data, is_single=is_single, on_close=place.leave)
        protocol = page if channel.tls is None else TLSPageConnection(page, channel.tls)
        place.is_kept = True
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, channel.sock)
        except OSError:
            channel.sock.close()
            place.leave()


class _Place:
    """A connection's place in the admission, given back exactly once."""

    def __init__(self, admission: Admission, address: str) -> None:
        self._admission = admission
        self._address = address
        self._is_left = False
        #: Somebody else gives it back, later.
        self.is_kept = False

    def leave(self) -> None:
        """Give it back."""
        if not self._is_left:
            self._is_left = True
            self._admission.leave(self._address)

    def leave_unless_kept(self) -> None:
        """Give it back, if nobody keeps it."""
        if not self.is_kept:
            self.leave()


async def _read_head(stream: BrowserStream) -> tuple[bytes, bytes]:
    """Return head and what came after it; an empty head means that it was too long."""
    data = bytearray()
    while not (size := head_size(data)) and len(data) <= HEAD_LIMIT:
        data += await stream.receive()
    if not 0 < size <= HEAD_LIMIT:
        return b"", b""
    return bytes(data[:size]), bytes(data[size:])

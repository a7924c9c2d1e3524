"""A VNC server that does what a test says, for the faults that real ones do not produce."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress

from consoleproxy.wire import vnc_auth

VERSION = b"RFB 003.008\n"
PIXEL_FORMAT = bytes.fromhex("2018000100ff00ff00ff100800000000")
CHALLENGE = bytes(range(16))

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def server_init(width: int = 64, height: int = 48, name: bytes = b"fake") -> bytes:
    """Return the ServerInit message."""
    return struct.pack(">HH", width, height) + PIXEL_FORMAT + struct.pack(">I", len(name)) + name


class FakeVM:
    """Listens on loopback, through ``tls`` where it is given. ``talk`` is what it does with a connection.

    By default it is a sane server: after its handshake it collects what it gets in ``received`` and
    waits; ``send`` and ``hang_up`` act on the connection that came last. ``connects`` counts them,
    ``opened`` tells that a handshake was done.
    """

    def __init__(
        self, *, password: str = "", talk: Talk | None = None, reads: bool = True, tls: ssl.SSLContext | None = None
    ) -> None:
        self.password = password
        self.connects = 0
        self.received = bytearray()
        self.opened = asyncio.Event()
        self._closing = asyncio.Event()
        self._reads = reads
        self._tls = tls
        self._talk = talk or self._sane
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def open_connections(self) -> int:
        """Count the connections that the other side has not ended."""
        return len(self._writers)

    async def start(self) -> FakeVM:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def close(self) -> None:
        """Drop everything."""
        assert self._server is not None
        self._closing.set()
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self.until(lambda: not self._writers)

    async def send(self, data: bytes) -> None:
        """Send ``data`` on the connection that came last."""
        self._writers[-1].write(data)
        await self._writers[-1].drain()

    def hang_up(self, *, reset: bool = False) -> None:
        """End the connection that came last."""
        if reset:
            self._writers[-1].transport.abort()
        else:
            self._writers[-1].close()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds; the kernel tells nobody when it does."""
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connects += 1
        self._writers.append(writer)
        try:
            # uvloop raises RuntimeError for a write to what is closed already.
            with suppress(OSError, RuntimeError, asyncio.IncompleteReadError):
                await self._talk(reader, writer)
        finally:
            writer.close()
            self._writers.remove(writer)

    async def _sane(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.handshake(reader, writer)
        self.opened.set()
        if not self._reads:
            await self._closing.wait()
        while data := await reader.read(65536):
            self.received += data

    async def handshake(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Go through the handshake as a server of version 3.8."""
        writer.write(VERSION)
        await reader.readexactly(12)
        security = 2 if self.password else 1
        writer.write(bytes([1, security]))
        await reader.readexactly(1)
        if self.password:
            writer.write(CHALLENGE)
            if await reader.readexactly(16) != vnc_auth.answer(self.password, CHALLENGE):
                writer.write(struct.pack(">II", 1, 5) + b"wrong")
                return
        writer.write(struct.pack(">I", 0))
        await reader.readexactly(1)
        writer.write(server_init())

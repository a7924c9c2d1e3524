"""asyncvnc, a VNC client by others, on a console's websocket."""

from __future__ import annotations

from functools import partial

import asyncvnc
from websockets.asyncio.client import ClientConnection, connect

from bench.errors import BenchError

_VERSION_SIZE = 12


class Pipe:
    """A websocket as the reader and the writer that asyncvnc asks for; what is written goes out before a read."""

    def __init__(self, websocket: ClientConnection) -> None:
        self._websocket = websocket
        self._unread = bytearray()
        self._unsent = bytearray()

    @classmethod
    async def open(cls, host: str, port: int, *, path: str) -> tuple[Pipe, Pipe]:
        """Connect; the pipe is both."""
        pipe = cls(await connect(f"ws://{host}:{port}{path}", max_size=None, compression=None, proxy=None))
        return pipe, pipe

    async def readexactly(self, size: int) -> bytes:
        """Return the next bytes."""
        await self.drain()
        while len(self._unread) < size:
            data = await self._websocket.recv()
            if not isinstance(data, bytes):
                raise BenchError("the relay sent text to a client that asked for bytes")
            self._unread += data
        data = bytes(self._unread[:size])
        del self._unread[:size]
        return data

    async def readline(self) -> bytes:
        """Return the only line of RFB, its version."""
        return await self.readexactly(_VERSION_SIZE)

    def write(self, data: bytes) -> None:
        """Send later."""
        self._unsent += data

    async def drain(self) -> None:
        """Send now."""
        if self._unsent:
            data = bytes(self._unsent)
            self._unsent.clear()
            await self._websocket.send(data)

    def close(self) -> None:
        """Nothing yet: ``wait_closed`` does it."""

    async def wait_closed(self) -> None:
        """Say goodbye."""
        await self._websocket.close()


async def take_picture(host: str, port: int, path: str) -> int:
    """Open a console, wait for its whole picture and leave; return the picture's size in bytes."""
    async with asyncvnc.connect(host, port, opener=partial(Pipe.open, path=path)) as client:
        return int((await client.screenshot()).nbytes)

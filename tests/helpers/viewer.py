"""A browser's side of a console, in plain bytes over the ``websockets`` client."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

CHANNEL = "consoleproxy.v1"


class Viewer:
    """One websocket to a console. ``events`` holds what came on the page channel."""

    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket
        self.events: list[dict[str, Any]] = []
        self._data = bytearray()

    @classmethod
    async def open(
        cls,
        port: int,
        token: str,
        *,
        extra: str = "",
        path: str = "/websockify",
        subprotocols: Sequence[str] = ("binary",),
        origin: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Viewer:
        """Connect, through ``tls`` where it is given; the handshake of RFB is ``enter``."""
        query = f"token={quote(token, safe='')}" + (f"&extra={quote(extra, safe='')}" if extra else "")
        websocket = await connect(
            f"{'wss' if tls else 'ws'}://127.0.0.1:{port}{path}?{query}",
            ssl=tls,
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            origin=Origin(origin) if origin else None,
            compression=None,
            max_size=None,
            max_queue=None,  # else the client may stop reading before it has seen our goodbye
            ping_interval=None,
            close_timeout=5,
        )
        return cls(websocket)

    async def enter(self) -> bytes:
        """Go through the handshake of RFB 3.8 and return ServerInit."""
        assert await self.read(12) == b"RFB 003.008\n"
        await self.websocket.send(b"RFB 003.008\n")
        assert await self.read(2) == b"\x01\x01"
        await self.websocket.send(b"\x01")
        assert await self.read(4) == bytes(4)
        await self.websocket.send(b"\x01")
        head = await self.read(24)
        return head + await self.read(int.from_bytes(head[20:], "big"))

    async def read(self, size: int) -> bytes:
        """Return the next ``size`` bytes of RFB."""
        async with asyncio.timeout(20):
            while len(self._data) < size:
                self._take(await self.websocket.recv())
        data = bytes(self._data[:size])
        del self._data[:size]
        return data

    async def closed(self) -> tuple[int, str]:
        """Read on until the server closes; return its code and reason."""
        async with asyncio.timeout(20):
            try:
                while True:
                    self._take(await self.websocket.recv())
            except ConnectionClosed as error:
                return (error.rcvd.code, error.rcvd.reason) if error.rcvd else (1006, "")

    async def close(self) -> None:
        """Say goodbye."""
        await self.websocket.close()

    def reset(self) -> None:
        """Vanish without a word."""
        self.websocket.transport.abort()

    def _take(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self.events.append(json.loads(message))
        else:
            self._data += message

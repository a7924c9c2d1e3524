"""A connection that asked for a page: aiohttp's, but on our leash.

aiohttp has no limit for what a client sends without waiting for answers, nor for how long
it takes to read one. So the connection is counted until it closes, its input is bounded,
and it ends at its deadline. aiohttp's handler gets everything by its public calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from aiohttp.web_protocol import RequestHandler

#: Seconds that a connection may live: pages are small, consoles are not here.
LIFETIME = 60.0
#: Bytes that a client may send on one kept-alive connection: some hundred requests.
MOST_INPUT = 128 * 1024


class PageConnection(asyncio.Protocol):
    """Stands between a transport and aiohttp's ``handler``; ``on_close`` is called once.

    ``is_single``: one request, and whatever comes behind it is not read. ``head`` is what was
    read already.
    """

    def __init__(self, handler: RequestHandler, head: bytes, *, is_single: bool, on_close: Callable[[], None]) -> None:
        self._handler = handler
        self._head = head
        self._is_single = is_single
        self._on_close = on_close
        self._input = len(head)
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand over the head, and start the clock."""
        self._transport = cast("asyncio.Transport", transport)
        self._deadline = asyncio.get_running_loop().call_later(LIFETIME, self._transport.abort)
        self._handler.connection_made(transport)
        self._handler.data_received(self._head)
        self._head = b""

    def data_received(self, data: bytes) -> None:
        """Pass on what still belongs to the request, or to the next ones, within bounds."""
        self._input += len(data)
        if self._is_single:
            if self._transport is not None:
                self._transport.pause_reading()
            return
        if self._input > MOST_INPUT and self._transport is not None:
            self._transport.abort()
            return
        self._handler.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass on the end of the client's words."""
        self._handler.eof_received()
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._transport = None
        self._handler.connection_lost(exc)
        self._on_close()

    def pause_writing(self) -> None:
        """Pass on that the client does not keep up."""
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the client has caught up."""
        self._handler.resume_writing()

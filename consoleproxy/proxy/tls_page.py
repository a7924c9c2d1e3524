"""Pages through TLS: aiohttp's connection, with our TLS between it and its transport."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, cast

from consoleproxy.errors import PeerClosed
from consoleproxy.net.tls_state import RECORD, TLSState
from consoleproxy.proxy.page_connection import PageConnection
from consoleproxy.proxy.tls_end import TLSOutlet

_ROOM: Final = memoryview(bytearray(RECORD))


class TLSPageConnection(asyncio.Protocol):
    """Stands between a transport and ``page``: each of the two sees only its side of ``state``."""

    def __init__(self, page: PageConnection, state: TLSState) -> None:
        self._page = page
        self._state = state
        self._outlet: TLSOutlet | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give the page a transport of its own."""
        self._outlet = TLSOutlet(cast("asyncio.Transport", transport), self._state)
        self._page.connection_made(TLSTransport(self._outlet, self._state))
        self._open_records(self._outlet)

    def data_received(self, data: bytes) -> None:
        """Decrypt what came and pass it on."""
        if self._outlet is not None:
            view = memoryview(data)
            for start in range(0, len(view), RECORD):
                self._state.feed(view[start : start + RECORD])
                self._open_records(self._outlet)

    def eof_received(self) -> bool | None:
        """Pass on the end of the client's words."""
        return self._page.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        self._outlet = None
        self._page.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass on that the client does not keep up."""
        self._page.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the client has caught up."""
        self._page.resume_writing()

    def _open_records(self, outlet: TLSOutlet) -> None:
        try:
            while not outlet.transport.is_closing() and (size := self._state.read_into(_ROOM)):
                self._page.data_received(bytes(_ROOM[:size]))
        except PeerClosed:
            outlet.close()
        else:
            outlet.answer()


class TLSTransport(asyncio.Transport):
    """What aiohttp writes to."""

    def __init__(self, outlet: TLSOutlet, state: TLSState) -> None:
        super().__init__()
        self._outlet = outlet
        self._state = state

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send ``data``."""
        self._outlet.send(memoryview(data))

    def close(self) -> None:
        """Say close_notify, and close once all that waits has gone out."""
        self._outlet.close()

    def abort(self) -> None:
        """Close now; what waits is lost."""
        self._outlet.transport.abort()

    def is_closing(self) -> bool:
        """Say whether it is closed, or about to be."""
        return self._outlet.transport.is_closing()

    def pause_reading(self) -> None:
        """Read no more for now."""
        self._outlet.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self._outlet.transport.resume_reading()

    def is_reading(self) -> bool:
        """Say whether it reads."""
        return self._outlet.transport.is_reading()

    def get_write_buffer_size(self) -> int:
        """Count what the client has not taken yet, as ciphertext."""
        return self._outlet.transport.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Say from when on the client counts as slow."""
        self._outlet.transport.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - asyncio's own signature
        """Return what is known of the connection, including how it is encrypted."""
        known: Mapping[str, object] = {"sslcontext": self._state.session.context, "ssl_object": self._state.session}
        return known.get(name) or self._outlet.transport.get_extra_info(name, default)

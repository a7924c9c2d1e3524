"""A browser made of blocking sockets, that can part in ways that no library lets one part."""

from __future__ import annotations

import socket
import ssl
from types import TracebackType
from typing import Self
from urllib.parse import quote

from websockets.frames import Frame, Opcode

HELLO = b"RFB 003.008\n\x01\x01"


class RawBrowser:
    """A console through TLS, entered without waiting for answers; use it in a thread, as a context manager."""

    def __init__(self, port: int, context: ssl.SSLContext, token: str) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.tls = context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)
        request = (
            f"GET /websockify?token={quote(token, safe='')} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        self.tls.sendall(request.encode())
        self.send(HELLO)
        # ServerInit is the last that comes before the relay: the fake VM's name.
        while b"fake" not in (got := self.tls.recv(65536)) and b"Web <01>" not in got:
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.tls.close()

    def send(self, data: bytes, opcode: Opcode = Opcode.BINARY) -> None:
        """Send ``data`` in one frame."""
        self.tls.sendall(Frame(opcode, data).serialize(mask=True))

    def read_to_end(self) -> bytes:
        """Read until the server's close_notify; ``ssl.SSLEOFError`` when it just goes."""
        got = b""
        while data := self.tls.recv(65536):
            got += data
        return got

    def lay_bare(self) -> socket.socket:
        """Return the socket under the TLS, which is used no more."""
        timeout = self.tls.gettimeout()
        bare = socket.socket(fileno=self.tls.detach())
        bare.settimeout(timeout)
        return bare

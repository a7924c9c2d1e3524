"""Reads the head of a request, and makes the answer to a websocket upgrade (no I/O)."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

#: The page channel: JSON text frames beside the binary RFB bytes.
PAGE_CHANNEL = Subprotocol("consoleproxy.v1")
#: What noVNC and websockify have always offered.
BINARY = Subprotocol("binary")

#: Longest request head, in bytes: a token and generous cookies fit.
HEAD_LIMIT = 16 * 1024

# At debug level it would log the request line, and with it the token; kept out of the tree of
# loggers, so that no configuration can switch it on.
_silent = logging.Logger("silent", level=logging.CRITICAL + 1)  # noqa: LOG001

_UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:[^\r\n]*websocket", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A request for a websocket. ``query`` is raw and secret: it holds the token.

    ``answer`` is what to send: the 101, or, when ``is_valid`` is false, the refusal of a
    handshake that breaks RFC 6455 section 4.2.1, after which the socket is closed.
    """

    path: str
    query: str
    origin: str
    host: str
    has_events: bool
    is_valid: bool
    answer: bytes

    def __repr__(self) -> str:
        """Show nothing of the query."""
        return f"Upgrade(path={self.path!r}, origin={self.origin!r}, host={self.host!r})"


def head_size(data: bytes | bytearray) -> int:
    """Return the size of the request head at the start of ``data``, or 0 while it is incomplete."""
    end = data.find(b"\r\n\r\n")
    return end + 4 if end >= 0 else 0


def refusal_of(head: bytes) -> bytes:
    """Return the answer to a head that goes no further, or nothing: an empty one was too long."""
    if not head:
        return plain_answer("431 Request Header Fields Too Large", "The request's head is too long.")
    method = head.partition(b" ")[0]
    if method not in {b"GET", b"HEAD"}:
        status = "400 Bad Request" if head.startswith(b"\r\n") else "405 Method Not Allowed"
        return plain_answer(status, "Only GET and HEAD are answered here.")
    return b""


def is_upgrade(head: bytes) -> bool:
    """Say whether ``head`` asks for a websocket; whether it asks properly is ``read_upgrade``'s to find."""
    return _UPGRADE.search(head) is not None


def read_upgrade(head: bytes) -> Upgrade:
    """Read the head of an upgrade request and prepare the answer (RFC 6455 section 4)."""
    protocol = ServerProtocol(select_subprotocol=_choose_subprotocol, logger=_silent)
    protocol.receive_data(head)
    request = next((event for event in protocol.events_received() if isinstance(event, Request)), None)
    if request is None:
        return Upgrade("", "", "", "", has_events=False, is_valid=False, answer=_BAD_REQUEST)
    response = protocol.accept(request)
    protocol.send_response(response)
    path, _, query = request.path.partition("?")
    return Upgrade(
        path,
        query,
        origin=_header(request, "Origin"),
        host=_header(request, "Host"),
        has_events=protocol.subprotocol == PAGE_CHANNEL,
        is_valid=response.status_code == 101,  # noqa: PLR2004 the one status that upgrades
        answer=b"".join(protocol.data_to_send()),
    )


def plain_answer(status: str, text: str) -> bytes:
    """Return a whole HTTP answer for a request that never reaches aiohttp."""
    body = text.encode() + b"\n"
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        "X-Content-Type-Options: nosniff\r\n"
    )
    return head.encode() + b"Connection: close\r\n\r\n" + body


def _choose_subprotocol(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    # A browser fails when it is answered with something that it did not offer.
    return next((ours for ours in (PAGE_CHANNEL, BINARY) if ours in offered), None)


def _header(request: Request, name: str) -> str:
    values = request.headers.get_all(name)
    return values[0] if values else ""


_BAD_REQUEST = plain_answer("400 Bad Request", "This is not a websocket handshake that can be understood.")

"""A browser's websocket as a ``ByteStream``: its binary messages, joined, are the bytes.

Used from the 101 answer until the relay takes over. Pings are answered, the page's
text is taken where the page channel was agreed on, and anything against the protocol
raises ``RemoteProtocolError`` with the close code to use.
"""

from __future__ import annotations

import json

from consoleproxy.errors import BrowserClosed, PeerClosed, RemoteProtocolError, VMTLSError
from consoleproxy.net.masking import Masks
from consoleproxy.net.stream import Channel
from consoleproxy.net.tls_stream import BrowserStream
from consoleproxy.wire.reader import Reader
from consoleproxy.wire.websocket import (
    OP_BINARY,
    OP_PONG,
    OP_TEXT,
    Binary,
    Close,
    Event,
    FrameParser,
    Ping,
    Text,
    close_frame,
    encode_frame,
    masked_frame,
)

_ANY_LENGTH = (1 << 63) - 1
#: RFC 6455 section 7.4.1: data of a kind that the endpoint cannot accept.
UNSUPPORTED_DATA = 1003


class WebSocketStream:
    """The server's end of an accepted websocket, while handshakes run.

    ``has_events`` says that the peer speaks the page channel (``consoleproxy.v1``):
    then it gets JSON text frames, and its own are accepted.
    """

    def __init__(self, stream: BrowserStream, *, max_message: int, has_events: bool) -> None:
        self._stream = stream
        self._payload = Reader()
        self.parser = FrameParser(max_message=max_message)
        self.has_events = has_events

    async def read(self, size: int) -> bytes:
        """Return exactly ``size`` bytes of binary payload.

        Raises ``BrowserClosed`` when the peer says goodbye, ``PeerClosed`` when it just goes,
        ``RemoteProtocolError`` when it breaks RFC 6455.
        """
        while (data := self._payload.take(size)) is None:
            for event in self.parser.feed(await self._stream.receive()):
                await self._take(event)
        return data

    async def write(self, data: bytes) -> None:
        """Send ``data`` as one binary message."""
        await self._stream.write(encode_frame(OP_BINARY, data))

    async def start_tls(self, server_name: str) -> None:
        """Refuse: TLS towards a browser lies under the websocket, never inside."""
        raise VMTLSError(f"no TLS inside a websocket ({server_name})")

    async def send_event(self, fields: dict[str, str | int]) -> None:
        """Tell the page something, where it listens; otherwise do nothing."""
        if self.has_events:
            await self._stream.write(event_frame(fields))

    async def say_goodbye(self, frames: bytes) -> None:
        """Send ``frames``, which end with a close frame, and wait for the peer's, or for its end.

        Closing the socket right away would reset it while the peer still sends, and the
        reset would destroy our words on their way. Run it under ``asyncio.timeout``.
        """
        try:
            await self._stream.write(frames)
            if self.parser.is_over:
                # After a breach the answer cannot be told from more rubbish: the peer has to hang up.
                self._stream.half_close()
            while True:
                for event in self.parser.feed(await self._stream.receive()):
                    if isinstance(event, Close):
                        return
        except (PeerClosed, RemoteProtocolError):
            return

    def detach(self) -> Channel:
        """Give the connection away, with the payload that was read too far."""
        channel = self._stream.detach()
        return Channel(channel.sock, self._payload.take_all(), tls=channel.tls)

    def close(self) -> None:
        """Close at once, without a word."""
        self._stream.close()

    async def _take(self, event: Event) -> None:
        match event:
            case Binary(data):
                self._payload.feed(data)
            case Ping(payload):
                await self._stream.write(encode_frame(OP_PONG, payload))
            case Text() if not self.has_events:
                raise RemoteProtocolError("text outside the page channel", close_code=UNSUPPORTED_DATA)
            case Close(code):
                await self._stream.write(close_frame(code))
                raise BrowserClosed(f"the browser closed with {code}")
            case _:
                pass


class WebSocketClientStream:
    """The client's end of a websocket towards a VM, while handshakes run; the opening handshake is over.

    What is read are its binary messages, joined; what is written is one binary message each. ``stream`` must
    hold what came behind the opening handshake.
    """

    def __init__(self, stream: BrowserStream) -> None:
        self._stream = stream
        self._payload = Reader()
        self._masks = Masks()
        # The VM's bytes pass as they come: nothing is collected that would need a limit.
        self._parser = FrameParser(max_message=_ANY_LENGTH, max_text=0, is_client=True)

    async def read(self, size: int) -> bytes:
        """Return exactly ``size`` bytes; raise ``PeerClosed`` or ``RemoteProtocolError``."""
        while (data := self._payload.take(size)) is None:
            for event in self._parser.feed(await self._stream.receive()):
                await self._take(event)
        return data

    async def write(self, data: bytes) -> None:
        """Send ``data`` as one binary message."""
        await self._stream.write(masked_frame(OP_BINARY, data, self._masks.take()))

    async def start_tls(self, server_name: str) -> None:
        """Refuse: TLS towards a VM lies under its websocket, never inside."""
        raise VMTLSError(f"no TLS inside a websocket ({server_name})")

    def detach(self) -> Channel:
        """Give the connection away, with the payload that was read too far."""
        channel = self._stream.detach()
        return Channel(channel.sock, self._payload.take_all(), tls=channel.tls, websocket=self._parser)

    def close(self) -> None:
        """Close at once, without a word."""
        self._stream.close()

    async def _take(self, event: Event) -> None:
        match event:
            case Binary(data):
                self._payload.feed(data)
            case Ping(payload):
                await self._stream.write(masked_frame(OP_PONG, payload, self._masks.take()))
            case Close(code):
                raise PeerClosed(f"the websocket was closed with {code}")
            case _:
                pass


def event_frame(fields: dict[str, str | int]) -> bytes:
    """Return one event of the page channel as a websocket text frame."""
    return encode_frame(OP_TEXT, json.dumps(fields).encode())

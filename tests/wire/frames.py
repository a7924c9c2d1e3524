"""Client frames made by others' code, and what a parser makes of them as plain values."""

from __future__ import annotations

from collections.abc import Iterable

from websockets.frames import Frame, Opcode

from consoleproxy.errors import RemoteProtocolError
from consoleproxy.wire.websocket import Binary, Close, Event, FrameParser, Ping, Pong, Text

#: What is compared: kind of event, its payload, its close code.
Fact = tuple[str, bytes, int | None]


#: Four different bytes, so that a mask that is turned wrongly shows.
MASK = b"\x37\xfa\x21\x3d"


def client_frame(opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bytes = MASK) -> bytes:
    """Return a frame as ``websockets`` writes it, masked by the letter of RFC 6455 section 5.3."""
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    frame = bytearray(Frame(Opcode(opcode), masked, fin=fin).serialize(mask=False))
    frame[1] |= 0x80
    frame[len(frame) - len(payload) : len(frame) - len(payload)] = mask
    return bytes(frame)


def raw_frame(first: int, length: bytes, rest: bytes = b"\1\2\3\4") -> bytes:
    """Return a frame byte by byte: first byte, length field with mask bit, mask and payload."""
    return bytes([first]) + length + rest


def facts(events: Iterable[Event]) -> list[Fact]:
    """Join binary pieces to messages, and tell everything in order; an unfinished message is left out."""
    told: list[Fact] = []
    message = b""
    for event in events:
        match event:
            case Binary(data, end):
                message += data
                if end:
                    told.append(("binary", message, None))
                    message = b""
            case Text(text):
                told.append(("text", text.encode(), None))
            case Ping(payload):
                told.append(("ping", payload, None))
            case Pong(payload):
                told.append(("pong", payload, None))
            case Close(code, reason):
                told.append(("close", reason.encode(), code))
    return told


def parse(parser: FrameParser, pieces: Iterable[bytes]) -> tuple[list[Event], RemoteProtocolError | None]:
    """Feed all ``pieces`` and return the events, and the error that ended them."""
    events: list[Event] = []
    try:
        for piece in pieces:
            for event in parser.feed(piece):
                events.append(event)  # noqa: PERF402 what came before an error counts
    except RemoteProtocolError as error:
        return events, error
    return events, None

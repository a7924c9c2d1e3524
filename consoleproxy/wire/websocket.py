"""Websocket frames, as a server reads and writes them for a relay of bytes.

Source: RFC 6455 sections 5, 7 and 8.1. The opening handshake is elsewhere (``websockets``'
own, without I/O), and extensions are never agreed on, so RSV bits are always wrong.

A relay needs no messages, it needs their bytes: the payload of a binary message comes out
as it comes in, however large or fragmented it is, and only what must be whole (text and
control frames) is collected, within bounds.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from consoleproxy.errors import RemoteProtocolError

try:
    from websockets.speedups import apply_mask
except ImportError:  # pragma: no cover - a platform without the compiled part
    from websockets.utils import apply_mask

OP_CONTINUATION: Final = 0x0
OP_TEXT: Final = 0x1
OP_BINARY: Final = 0x2
OP_CLOSE: Final = 0x8
OP_PING: Final = 0x9
OP_PONG: Final = 0xA

#: First byte of a binary message in one frame; its payload below ``SHORT`` bytes, the second is their number.
FINAL_BINARY: Final = 0x82
SHORT: Final = 126

INVALID_DATA: Final = 1007
TOO_BIG: Final = 1009

#: The longest payload of a control frame (RFC 6455 section 5.5), and of a close reason.
MAX_CONTROL: Final = 125
MAX_REASON: Final = MAX_CONTROL - 2
#: The longest text message, in bytes, unless the maker of the parser says otherwise.
MAX_TEXT: Final = 64 * 1024

_FIN: Final = 0x80
_RSV: Final = 0x70
_OPCODE: Final = 0x0F
_MASKED: Final = 0x80
_MASK_SIZE: Final = 4
_LENGTH_16: Final = SHORT
_LENGTH_64: Final = 127
_MAX_16: Final = 0xFFFF
_MAX_64: Final = (1 << 63) - 1
_U16 = struct.Struct(">H")
_U64 = struct.Struct(">Q")
_HEADER_7 = struct.Struct(">BB")
_HEADER_16 = struct.Struct(">BBH")
_HEADER_64 = struct.Struct(">BBQ")

_CONTROL_FIRST = frozenset({_FIN | OP_CLOSE, _FIN | OP_PING, _FIN | OP_PONG})
#: First bytes that may open a frame between messages, and inside a fragmented message.
_FIRST_BETWEEN = _CONTROL_FIRST | {OP_TEXT, OP_BINARY, _FIN | OP_TEXT, _FIN | OP_BINARY}
_FIRST_INSIDE = _CONTROL_FIRST | {OP_CONTINUATION, _FIN | OP_CONTINUATION}

#: Close codes that may stand in a frame (RFC 6455 section 7.4 and IANA's registry).
_CLOSE_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})


# --- writing --------------------------------------------------------------------------


def frame_header(opcode: int, length: int) -> bytes:
    """Return the header of a final, unmasked frame; ``length`` bytes of payload must follow it."""
    if length < _LENGTH_16:
        return _HEADER_7.pack(_FIN | opcode, length)
    if length <= _MAX_16:
        return _HEADER_16.pack(_FIN | opcode, _LENGTH_16, length)
    return _HEADER_64.pack(_FIN | opcode, _LENGTH_64, length)


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """Return one whole message or control frame."""
    return frame_header(opcode, len(payload)) + payload


def masked_frame(opcode: int, payload: bytes, mask: bytes) -> bytes:
    """Return one whole message or control frame of a client; ``mask`` is four bytes that nobody can foresee."""
    header = bytearray(frame_header(opcode, len(payload)))
    header[1] |= _MASKED
    return bytes(header) + mask + apply_mask(payload, mask)


def close_frame(code: int | None, reason: str = "") -> bytes:
    """Return a close frame; without a code it is empty, as the answer to an empty one.

    ``reason`` is cut to 123 bytes, never inside a character.
    """
    if code is None:
        return encode_frame(OP_CLOSE, b"")
    text = reason.encode("utf-8", "replace")[:MAX_REASON]
    return encode_frame(OP_CLOSE, _U16.pack(code) + text.decode("utf-8", "ignore").encode())


# --- reading --------------------------------------------------------------------------


def small_binary_frame(data: bytes) -> bytes | None:
    """Return the payload if ``data`` is exactly one whole, final, masked binary frame below 126 bytes.

    The short way for nearly everything that a browser sends. Call it only while the parser is
    ``idle``; feed the parser when the answer is ``None`` (an empty frame's is ``b""``).
    """
    size = len(data)
    # Header and mask are six bytes: the second byte is 0x80 plus size - 6.
    if 5 < size < 132 and data[0] == 0x82 and data[1] == size + 122:  # noqa: PLR2004 - cheaper than names
        return apply_mask(data[6:], data[2:6])
    return None


@dataclass(frozen=True, slots=True)
class Binary:
    """Bytes of a binary message, unmasked; ``end`` when they are its last."""

    data: bytes
    end: bool


@dataclass(frozen=True, slots=True)
class Text:
    """A whole text message."""

    text: str


@dataclass(frozen=True, slots=True)
class Ping:
    """A ping; answer with a pong of the same payload."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """An answer to a ping, or a sign of life that nobody asked for."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """The peer's goodbye; ``code`` is ``None`` when its frame was empty."""

    code: int | None
    reason: str = ""


Event: TypeAlias = Binary | Text | Ping | Pong | Close


class FrameParser:
    """Takes a client's bytes, or a server's where ``is_client`` says that we are the client, and tells what they say.

    ``max_message`` bounds a message in bytes, whatever it is split into, and is checked before
    its payload arrives; ``max_text`` bounds a text message further, since it is collected.
    ``idle`` says that the next byte opens a new message: nothing is held back. ``is_over`` says
    that nothing is read any more, after a goodbye or a breach. ``frames`` counts those that were
    opened: many small ones are dear, whatever they hold.
    """

    __slots__ = (
        "_collected",
        "_decoder",
        "_head",
        "_in_frame",
        "_is_final",
        "_is_masked",
        "_mask",
        "_max_message",
        "_max_text",
        "_message",
        "_message_size",
        "_opcode",
        "_remaining",
        "frames",
        "idle",
        "is_over",
    )

    def __init__(self, max_message: int, *, max_text: int = MAX_TEXT, is_client: bool = False) -> None:
        self._is_masked = not is_client
        self._max_message = max_message
        self._max_text = min(max_text, max_message)
        self._head = b""  # a header that is not whole yet
        self._in_frame = False
        self._opcode = OP_CONTINUATION  # what the open frame belongs to: never a continuation itself
        self._is_final = True
        self._mask = b""
        self._remaining = 0  # payload of the open frame that has not come yet
        self._message = OP_CONTINUATION  # opcode of the message begun and not ended
        self._message_size = 0
        self._collected = bytearray()  # of a control frame
        self._decoder: _TextDecoder | None = None  # of the text message begun and not ended
        self.is_over = False
        self.frames = 0
        self.idle = True

    def feed(self, data: bytes) -> Iterator[Event]:
        """Parse ``data`` and yield its events; run it to its end before you feed more.

        After ``Close`` everything is ignored. Raises ``RemoteProtocolError`` with the
        ``close_code`` to answer (1002, 1007 or 1009), after the events that came before the
        fault; then everything is ignored as well.
        """
        self.idle = False
        if self._head:
            data, self._head = self._head + data, b""
        at = 0
        while not self.is_over:
            if not self._in_frame:
                payload_at = self._open_frame(data, at)
                if not payload_at:
                    self._head = data[at:]
                    self.idle = not self._head and not self._message
                    return
                at = payload_at
            piece = data[at : at + self._remaining]
            at += len(piece)
            if (event := self._take(piece)) is not None:
                yield event
            if self._in_frame:
                return

    def _open_frame(self, data: bytes, at: int) -> int:
        """Read the header that begins at ``at``: where its payload begins, or 0 while it is not whole.

        What is wrong is refused at the first byte that shows it.
        """
        have = len(data) - at
        if have and data[at] not in (_FIRST_INSIDE if self._message else _FIRST_BETWEEN):
            raise self._fault(_explain(data[at], in_message=bool(self._message)))
        if have < 2:  # noqa: PLR2004 - the two bytes that every header has
            return 0
        length = data[at + 1] & ~_MASKED
        if (data[at + 1] >= _MASKED) != self._is_masked:
            raise self._fault("unmasked frame" if self._is_masked else "masked frame of a server")
        opcode = data[at] & _OPCODE
        if opcode >= OP_CLOSE and length > MAX_CONTROL:
            raise self._fault("control frame longer than 125 bytes")
        mask_at = at + 2
        if length >= _LENGTH_16:
            mask_at += 2 if length == _LENGTH_16 else 8
            if len(data) < mask_at:
                return 0
            length = self._long_length(data[at + 2 : mask_at])
        if opcode < OP_CLOSE:
            self._check_size(opcode or self._message, length)
        payload_at = mask_at + _MASK_SIZE * self._is_masked
        if len(data) < payload_at:
            return 0
        self._is_final = data[at] >= _FIN
        self._mask = data[mask_at:payload_at]
        self._remaining = length
        self._in_frame = True
        self.frames += 1
        if opcode < OP_CLOSE:
            self._message = opcode = opcode or self._message
            self._message_size += length
        self._opcode = opcode
        return payload_at

    def _long_length(self, field: bytes) -> int:
        """Decode a length of 2 or 8 bytes; it must be the shortest form (RFC 6455 section 5.2)."""
        length = int.from_bytes(field, "big")
        is_shortest = length >= _LENGTH_16 if len(field) == _U16.size else _MAX_16 < length <= _MAX_64
        if not is_shortest:
            raise self._fault(f"length {length} in {len(field)} bytes")
        return length

    def _check_size(self, opcode: int, length: int) -> None:
        limit = self._max_text if opcode == OP_TEXT else self._max_message
        if self._message_size + length > limit:
            raise self._fault(f"message longer than {limit} bytes", TOO_BIG)

    def _take(self, piece: bytes) -> Event | None:
        """Unmask a piece of the open frame's payload and close the frame after its last."""
        payload = apply_mask(piece, self._mask) if self._is_masked else piece
        self._remaining -= len(piece)
        if self._remaining:
            # The next piece begins somewhere inside the mask.
            turn = len(piece) % _MASK_SIZE
            self._mask = self._mask[turn:] + self._mask[:turn]
        else:
            self._in_frame = False
        opcode = self._opcode
        if opcode >= OP_CLOSE:
            return self._take_control(opcode, payload)
        is_end = self._is_final and not self._in_frame
        if is_end:
            self._message = OP_CONTINUATION
            self._message_size = 0
        if opcode == OP_TEXT:
            return self._take_text(payload, is_end=is_end)
        return Binary(payload, is_end) if payload or is_end else None

    def _take_control(self, opcode: int, payload: bytes) -> Event | None:
        self._collected += payload
        if self._in_frame:
            return None
        whole = bytes(self._collected)
        self._collected.clear()
        if opcode == OP_PING:
            return Ping(whole)
        if opcode == OP_PONG:
            return Pong(whole)
        self.is_over = True
        return self._read_close(whole)

    def _read_close(self, payload: bytes) -> Close:
        if not payload:
            return Close(None)
        if len(payload) < _U16.size:
            raise self._fault("close frame of one byte")
        code = int.from_bytes(payload[:2], "big")
        if code not in _CLOSE_CODES:
            raise self._fault(f"close code {code}")
        try:
            return Close(code, payload[2:].decode())
        except UnicodeDecodeError as error:
            raise self._fault(f"close reason: {error.reason}", INVALID_DATA) from error

    def _take_text(self, payload: bytes, *, is_end: bool) -> Text | None:
        decoder = self._decoder = self._decoder or _TextDecoder()
        try:
            decoder.feed(payload, is_end=is_end)
        except UnicodeDecodeError as error:
            raise self._fault(f"text: {error.reason}", INVALID_DATA) from error
        if not is_end:
            return None
        self._decoder = None
        return Text(decoder.collected.decode())

    def _fault(self, text: str, close_code: int = 1002) -> RemoteProtocolError:
        self.is_over = True
        return RemoteProtocolError(text, close_code=close_code)


class _TextDecoder:
    """Collects a text message and finds bad UTF-8 as soon as it shows (RFC 6455 section 8.1)."""

    __slots__ = ("_decoder", "collected")

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        # Bytes, not the decoded pieces: a message of one-byte fragments would cost fifty times its size.
        self.collected = bytearray()

    def feed(self, data: bytes, *, is_end: bool) -> None:
        self._decoder.decode(data, final=is_end)
        self.collected += data


def _explain(first: int, *, in_message: bool) -> str:
    """Say what is wrong with a frame's first byte, for the log."""
    opcode = first & _OPCODE
    if first & _RSV:
        return "reserved bits are set and no extension was agreed on"
    if opcode not in (OP_CONTINUATION, OP_TEXT, OP_BINARY, OP_CLOSE, OP_PING, OP_PONG):
        return f"unknown opcode {opcode}"
    if opcode >= OP_CLOSE:
        return "fragmented control frame"
    return "new message inside a fragmented one" if in_message else "continuation of no message"

"""What a client says after the handshake: where each message ends, and who may say it.

Source: rfbproto 7.5 and its extensions (extended clipboard, fences, continuous updates, xvp,
SetDesktopSize, QEMU keys and audio, extended mouse buttons); VMware's message: CloudStack
fact 6. Contracts, section 8.

Two readers share one knowledge of lengths. ``InputParser`` watches the stream that passes by
and counts what a person did; it stands on the hot path, where a payload is nearly always one
whole small message. ``ViewOnlyFilter`` lets through what a mere viewer may say. Neither keeps
more of the stream than the head of one message, ``LONGEST_HEAD`` bytes at most.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final

from consoleproxy.errors import RemoteProtocolError
from consoleproxy.wire import rfb

#: Bytes that are enough to tell the length of any message.
LONGEST_HEAD: Final = 9

#: What only a person's hand causes. VMware's message is a key or a pointer.
_INPUT_KINDS: Final = frozenset({rfb.KEY_EVENT, rfb.POINTER_EVENT, rfb.CLIENT_CUT_TEXT, rfb.VMWARE})
_QEMU_KEY: Final = bytes([rfb.QEMU, rfb.QEMU_KEY])
#: What a viewer may say: how and when it wants the screen. All else is dropped.
_VIEW_KINDS: Final = frozenset(
    {
        rfb.SET_PIXEL_FORMAT,
        rfb.SET_ENCODINGS,
        rfb.UPDATE_REQUEST,
        rfb.ENABLE_CONTINUOUS_UPDATES,
        rfb.CLIENT_FENCE,
    }
)

_FIXED_SIZES: Final = {
    rfb.SET_PIXEL_FORMAT: 20,
    rfb.UPDATE_REQUEST: 10,
    rfb.KEY_EVENT: 8,
    rfb.ENABLE_CONTINUOUS_UPDATES: 10,
    rfb.XVP: 4,
}
_POINTER_SIZE: Final = 6
_POINTER_MARK: Final = 0x80
_SET_ENCODINGS_HEAD: Final = 4
_CUT_TEXT_HEAD: Final = 8
_VMWARE_HEAD: Final = 4
_MAX_FENCE_PAYLOAD: Final = 64
#: QEMU's audio messages by operation.
_QEMU_AUDIO_SIZES: Final = {rfb.AUDIO_ENABLE: 4, rfb.AUDIO_DISABLE: 4, rfb.AUDIO_SET_FORMAT: 10}


_U32 = struct.Struct(">I")


def _u16(field: bytes) -> int:
    return int.from_bytes(field, "big")


def _vmware_size(head: bytes) -> int:
    size = _u16(head[2:4])  # of the whole message
    return size if size >= _VMWARE_HEAD else 0


def _fence_size(head: bytes) -> int:
    return LONGEST_HEAD + head[8] if head[8] <= _MAX_FENCE_PAYLOAD else 0


def _qemu_size(head: bytes) -> int:
    if head[1] == rfb.QEMU_KEY:
        return 12
    return _QEMU_AUDIO_SIZES.get(_u16(head[2:4]), 0) if head[1] == rfb.QEMU_AUDIO else 0


def _no_size(_: bytes) -> int:
    return 0


#: How many bytes of a message tell its size, and how; a size of 0 makes no sense.
_SIZE_IN_HEAD: Final[dict[int, tuple[int, Callable[[bytes], int]]]] = {
    rfb.SET_ENCODINGS: (4, lambda head: _SET_ENCODINGS_HEAD + 4 * _u16(head[2:4])),
    # Extended clipboard: a negative length.
    rfb.CLIENT_CUT_TEXT: (8, lambda head: 8 + abs(int.from_bytes(head[4:8], "big", signed=True))),
    rfb.VMWARE: (_VMWARE_HEAD, _vmware_size),
    rfb.CLIENT_FENCE: (LONGEST_HEAD, _fence_size),
    rfb.SET_DESKTOP_SIZE: (7, lambda head: 8 + 16 * head[6]),
    rfb.QEMU: (4, _qemu_size),
}

#: The short way, for a payload that is one whole message: its size by kind, 0 where the head
#: must be read, and what the kind means to each reader.
_WHOLE_SIZES: Final = tuple({**_FIXED_SIZES, rfb.POINTER_EVENT: _POINTER_SIZE}.get(kind, 0) for kind in range(256))
_IS_INPUT: Final = tuple(int(kind in _INPUT_KINDS) for kind in range(256))
_IS_VIEW: Final = tuple(kind in _VIEW_KINDS for kind in range(256))


class InputParser:
    """Counts what a person did in a stream that others carry; it never fails.

    ``inputs`` grows by one for each key, pointer, cut text and VMware message. A message of
    unknown kind has an unknown length: then ``parsing`` becomes false, and from the first byte
    of that message on every byte counts as an input, so that nobody is called idle by mistake.
    """

    __slots__ = ("_walker", "inputs", "parsing")

    def __init__(self) -> None:
        self._walker = _Walker()
        self.inputs = 0
        self.parsing = True

    def feed(self, data: bytes) -> None:
        """Count what ``data`` holds; it may begin and end anywhere."""
        if self._walker.at_boundary and _is_whole(data):
            self.inputs += _IS_INPUT[data[0]]
        elif self.parsing:
            self._walk(data)
        else:
            self.inputs += len(data)

    def _walk(self, data: bytes) -> None:
        walker = self._walker
        try:
            for piece, is_start in walker.walk(data):
                if is_start and (_IS_INPUT[walker.kind] or piece.startswith(_QEMU_KEY)):
                    self.inputs += 1
        except RemoteProtocolError:
            self.parsing = False
            self.inputs += walker.unread


class ViewOnlyFilter:
    """Lets through only what a viewer may say; known messages beyond that are dropped whole."""

    __slots__ = ("_walker",)

    def __init__(self) -> None:
        self._walker = _Walker()

    def feed(self, data: bytes) -> bytes:
        """Return what of ``data`` may go to the VM; ``data`` may begin and end anywhere.

        Raises ``RemoteProtocolError`` at a message of unknown kind, since nobody knows where it
        ends; the session must end then.
        """
        walker = self._walker
        if walker.at_boundary and _is_whole(data):
            return data if _IS_VIEW[data[0]] else b""
        return b"".join(piece for piece, _ in walker.walk(data) if _IS_VIEW[walker.kind])


class _Walker:
    """Cuts a stream of client messages into pieces, none of which belongs to two messages."""

    __slots__ = ("_half_encoding", "_has_extended_buttons", "_head", "_remaining", "at_boundary", "kind", "unread")

    def __init__(self) -> None:
        self._head = b""  # of a message whose length is not known yet
        self._remaining = 0  # bytes of the open message that have not come yet
        self._half_encoding = b""  # an entry of SetEncodings that is cut in two
        self._has_extended_buttons = False
        self.kind = 0  # of the message that the last piece belongs to
        self.at_boundary = True
        self.unread = 0  # after an error: bytes from the unknown message on

    def walk(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """Yield each piece, and whether it opens a message; such a piece holds the whole head.

        Run it to its end. Raises ``RemoteProtocolError`` at a message of unknown length.
        """
        if self._head:
            data, self._head = self._head + data, b""
        at = 0
        while at < len(data):
            if is_start := not self._remaining:
                self._remaining = self._size(data, at)
                if not self._remaining:
                    self._head = data[at:]
                    break
                self.kind = data[at]
            piece = data[at : at + self._remaining]
            at += len(piece)
            self._remaining -= len(piece)
            if self.kind == rfb.SET_ENCODINGS:
                self._read_encodings(piece, is_start=is_start)
            yield piece, is_start
        self.at_boundary = not (self._remaining or self._head)

    def _size(self, data: bytes, at: int) -> int:
        """Return the size of the message that begins at ``at``, 0 while its head is not whole."""
        kind = data[at]
        if (size := _FIXED_SIZES.get(kind)) is not None:
            return size
        have = len(data) - at
        if kind == rfb.POINTER_EVENT:
            if have < 2:  # noqa: PLR2004 - kind and mask
                return 0
            return _POINTER_SIZE + (self._has_extended_buttons and data[at + 1] >= _POINTER_MARK)
        head_size, read_size = _SIZE_IN_HEAD.get(kind, (1, _no_size))
        if have < head_size:
            return 0
        head = data[at : at + LONGEST_HEAD]
        size = read_size(head)
        if not size:
            self._head, self.unread, self.at_boundary = head, have, False
            raise RemoteProtocolError(f"client message of unknown kind, beginning with {head.hex()}")
        return size

    def _read_encodings(self, piece: bytes, *, is_start: bool) -> None:
        """Look whether the client announces longer PointerEvents; each list replaces the one before.

        Whether the server confirmed them is not seen here. It need not be: until then a client
        that announced them keeps the mark in the mask clear.
        """
        if is_start:
            self._has_extended_buttons = False
            entries = piece[_SET_ENCODINGS_HEAD:]
        else:
            entries = self._half_encoding + piece
        count = len(entries) // 4
        self._half_encoding = entries[4 * count :]
        if rfb.EXTENDED_MOUSE_BUTTONS in struct.unpack_from(f">{count}i", entries):
            self._has_extended_buttons = True


def _is_whole(data: bytes) -> bool:
    """Tell whether ``data`` is exactly one message, of a kind for which that is quickly said."""
    size = len(data)
    if not size:
        return False
    kind = data[0]
    if size == _WHOLE_SIZES[kind]:
        # A mark in a pointer's mask may mean a seventh byte: that takes the long way.
        return size != _POINTER_SIZE or data[1] < _POINTER_MARK
    if kind == rfb.CLIENT_CUT_TEXT and size >= _CUT_TEXT_HEAD:
        text_size: int = _U32.unpack_from(data, 4)[0]
        return size == _CUT_TEXT_HEAD + text_size
    return False

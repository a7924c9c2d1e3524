"""Client messages after the handshake: how long they are, who caused them, who may send them."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consoleproxy.errors import RemoteProtocolError
from consoleproxy.wire.rfb_input import LONGEST_HEAD, InputParser, ViewOnlyFilter
from tests.wire.conversations import BOUNDED, cut_at, every_split

KEY = bytes.fromhex("0401000000000061")
POINTER = bytes.fromhex("050100200030")
BUTTON_8 = bytes.fromhex("058000200030")
EXTENDED_POINTER = BUTTON_8 + b"\1"
UPDATE_REQUEST = bytes.fromhex("03010000000004000300")
PIXEL_FORMAT = bytes(4) + bytes.fromhex("2018000100ff00ff00ff100800000000")
FENCE = bytes.fromhex("f8000000 80000001 04 61626364")
CONTINUOUS = bytes.fromhex("96010000000004000300")
QEMU_KEY = bytes.fromhex("ff00000100000061 0000001e")
VMWARE_KEY = bytes.fromhex("7f000008001e0100")


def encodings(*numbers: int) -> bytes:
    """Return a SetEncodings message."""
    return struct.pack(f">BxH{len(numbers)}i", 2, len(numbers), *numbers)


def cut_text(length: int, body: bytes) -> bytes:
    """Return a ClientCutText message; a negative length makes it an extended one."""
    return struct.pack(">B3xi", 6, length) + body


PLAIN_ENCODINGS = encodings(7, -223, -258)
EXTENDED_ENCODINGS = encodings(0, -316, -223)

#: name: the message, whether a person caused it, whether a viewer may send it
MESSAGES = {
    "SetPixelFormat": (PIXEL_FORMAT, 0, True),
    "SetEncodings": (PLAIN_ENCODINGS, 0, True),
    "SetEncodings, empty": (encodings(), 0, True),
    "FramebufferUpdateRequest": (UPDATE_REQUEST, 0, True),
    "KeyEvent": (KEY, 1, False),
    "PointerEvent": (POINTER, 1, False),
    "PointerEvent, button 8": (BUTTON_8, 1, False),
    "ClientCutText": (cut_text(5, b"hello"), 1, False),
    "ClientCutText, empty": (cut_text(0, b""), 1, False),
    "extended clipboard": (cut_text(-12, bytes.fromhex("1000000178da030000000001")), 1, False),
    "VMware key": (VMWARE_KEY, 1, False),
    "VMware, other length": (bytes.fromhex("7f03000c0000000000000000"), 1, False),
    "EnableContinuousUpdates": (CONTINUOUS, 0, True),
    "ClientFence": (FENCE, 0, True),
    "ClientFence, empty": (bytes.fromhex("f80000008000000100"), 0, True),
    "ClientFence, longest": (bytes.fromhex("f80000008000000140") + bytes(64), 0, True),
    "xvp": (bytes.fromhex("fa000102"), 0, False),
    "SetDesktopSize, no screen": (bytes.fromhex("fb00040003000000"), 0, False),
    "SetDesktopSize, two screens": (bytes.fromhex("fb00040003000200") + bytes(32), 0, False),
    "QEMU key": (QEMU_KEY, 1, False),
    "QEMU audio on": (bytes.fromhex("ff010000"), 0, False),
    "QEMU audio off": (bytes.fromhex("ff010001"), 0, False),
    "QEMU audio format": (bytes.fromhex("ff010002 03 02 0000ac44"), 0, False),
}

#: Heads of messages whose length nobody knows.
UNKNOWN = {
    "1 (FixColourMapEntries)": b"\1\0\0\0",
    "7": b"\7",
    "gii": b"\xfd\x81\0\4\0\1",
    "VMware shorter than its head": b"\x7f\0\0\3",
    "ClientFence of 65 bytes": bytes.fromhex("f80000008000000141"),
    "QEMU submessage 2": b"\xff\2\0\0",
    "QEMU audio operation 3": b"\xff\1\0\3",
}


def inputs_of(pieces: Iterable[bytes]) -> tuple[int, bool]:
    """Feed a new parser and return what it tells."""
    parser = InputParser()
    for piece in pieces:
        parser.feed(piece)
    return parser.inputs, parser.parsing


def passed_of(pieces: Iterable[bytes]) -> bytes:
    """Feed a new filter and return what it lets through."""
    view_only = ViewOnlyFilter()
    return b"".join(view_only.feed(piece) for piece in pieces)


@pytest.mark.parametrize(("message", "count", "passes"), MESSAGES.values(), ids=MESSAGES)
def test_each_message_ends_where_it_ends(message: bytes, count: int, passes: bool) -> None:  # noqa: FBT001
    """A message is counted once and passed or dropped whole, and the next one is found, for every split."""
    stream = message + KEY + message + UPDATE_REQUEST
    for pieces in every_split(stream):
        assert (2 * count + 1, True) == inputs_of(pieces)
        assert (message + message if passes else b"") + UPDATE_REQUEST == passed_of(pieces)


@pytest.mark.parametrize(("message", "count", "passes"), MESSAGES.values(), ids=MESSAGES)
def test_a_message_alone_is_the_same_as_in_a_stream(message: bytes, count: int, passes: bool) -> None:  # noqa: FBT001
    """One whole message in one payload, the hot path, is counted and passed alike, again and again."""
    assert (3 * count, True) == inputs_of([message] * 3)
    assert (message * 3 if passes else b"") == passed_of([message] * 3)


@pytest.mark.parametrize("message", UNKNOWN.values(), ids=UNKNOWN)
def test_after_an_unknown_message_every_byte_is_an_input(message: bytes) -> None:
    """Parsing stops at an unknown message, and from its first byte on bytes are counted, for every split."""
    for pieces in every_split(UPDATE_REQUEST + KEY + message + UPDATE_REQUEST):
        assert (1 + len(message) + len(UPDATE_REQUEST), False) == inputs_of(pieces)


@pytest.mark.parametrize("message", UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_message_ends_a_view_only_session(message: bytes) -> None:
    """The filter raises at an unknown message, for every split, and does not recover."""
    for pieces in every_split(UPDATE_REQUEST + KEY + message):
        view_only = ViewOnlyFilter()
        with pytest.raises(RemoteProtocolError):  # noqa: PT012 the pieces before the fault may pass
            for piece in pieces:
                view_only.feed(piece)
        with pytest.raises(RemoteProtocolError):
            view_only.feed(UPDATE_REQUEST)


def test_extended_mouse_buttons_lengthen_marked_pointers_only() -> None:
    """Once the client announced them, a PointerEvent with bit 7 set has seven bytes, others stay at six."""
    stream = EXTENDED_ENCODINGS + POINTER + EXTENDED_POINTER + UPDATE_REQUEST
    for pieces in every_split(stream):
        assert (2, True) == inputs_of(pieces)
        assert EXTENDED_ENCODINGS + UPDATE_REQUEST == passed_of(pieces)
    assert (2, True) == inputs_of([EXTENDED_ENCODINGS, EXTENDED_POINTER, POINTER])
    # Six of its seven bytes look like a whole message that came alone.
    in_two = [EXTENDED_ENCODINGS, EXTENDED_POINTER[:6], EXTENDED_POINTER[6:], UPDATE_REQUEST]
    assert (1, True) == inputs_of(in_two)
    assert EXTENDED_ENCODINGS + UPDATE_REQUEST == passed_of(in_two)


def test_a_new_list_of_encodings_replaces_the_old_one() -> None:
    """Extended mouse buttons end with a list that does not name them."""
    stream = EXTENDED_ENCODINGS + PLAIN_ENCODINGS + BUTTON_8 + UPDATE_REQUEST
    for pieces in every_split(stream):
        assert (1, True) == inputs_of(pieces)


def test_encodings_are_read_at_their_places() -> None:
    """Bytes that look like the extended buttons' number but lie across two entries mean nothing."""
    across = encodings(0x0000FFFF, -0x013C0000)
    assert b"\xff\xff\xfe\xc4" in across
    for pieces in every_split(across + BUTTON_8 + UPDATE_REQUEST):
        assert (1, True) == inputs_of(pieces)


@pytest.mark.parametrize("length", [1 << 20, -(1 << 20)])
def test_a_long_text_is_skipped_and_never_kept(length: int) -> None:
    """The body of a cut text is counted off, not stored: a megabyte leaves nothing behind."""
    message = cut_text(length, bytes(1 << 20))
    parser, view_only = InputParser(), ViewOnlyFilter()
    for piece in (message[:100], message[100:500_000], message[500_000:]):
        parser.feed(piece)
        assert b"" == view_only.feed(piece)
        for walker in (parser._walker, view_only._walker):  # noqa: SLF001 what is kept is the fact
            assert LONGEST_HEAD > len(walker._head)  # noqa: SLF001
    parser.feed(KEY)
    assert (2, True) == (parser.inputs, parser.parsing)
    assert UPDATE_REQUEST == view_only.feed(UPDATE_REQUEST)


def test_the_most_negative_length_is_a_length() -> None:
    """An extended clipboard length of -2**31 means that many bytes, and none of them is a message."""
    assert (1, True) == inputs_of([cut_text(-(1 << 31), b""), KEY, KEY])


def test_a_message_that_has_not_ended_holds_nothing_back() -> None:
    """What a viewer may send passes as it comes: a list of encodings is not kept until it is whole."""
    view_only = ViewOnlyFilter()
    assert b"" == view_only.feed(PLAIN_ENCODINGS[:3])
    assert PLAIN_ENCODINGS[:7] == view_only.feed(PLAIN_ENCODINGS[3:7])
    assert PLAIN_ENCODINGS[7:] == view_only.feed(PLAIN_ENCODINGS[7:])


STREAMS = st.lists(
    st.one_of(
        st.sampled_from([message for message, _, _ in MESSAGES.values()] + [EXTENDED_ENCODINGS, EXTENDED_POINTER]),
        st.sampled_from(list(UNKNOWN.values())),
        st.binary(max_size=12),
    ),
    max_size=12,
).map(b"".join)
CUTS = st.lists(st.integers(0, 400), max_size=8)


@BOUNDED
@given(STREAMS, CUTS)
def test_any_stream_is_counted_alike_for_every_split(stream: bytes, cuts: list[int]) -> None:
    """``InputParser`` never raises, and its counts do not depend on where the bytes were cut."""
    assert inputs_of([stream]) == inputs_of(cut_at(stream, cuts))


@BOUNDED
@given(STREAMS, CUTS)
def test_any_stream_is_filtered_alike_for_every_split(stream: bytes, cuts: list[int]) -> None:
    """``ViewOnlyFilter`` lets the same bytes through, or raises ``RemoteProtocolError``, for every split."""
    try:
        passed = passed_of([stream])
    except RemoteProtocolError:
        with pytest.raises(RemoteProtocolError):
            passed_of(cut_at(stream, cuts))
        return
    assert passed == passed_of(cut_at(stream, cuts))
    # What passed is allowed in its turn: the filter cannot be fooled into inventing a message.
    assert passed == passed_of([passed])

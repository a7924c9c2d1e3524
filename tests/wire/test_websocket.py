"""Websocket frames: what is written, what is read, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consoleproxy.errors import RemoteProtocolError
from consoleproxy.wire.websocket import (
    MAX_TEXT,
    OP_BINARY,
    OP_CLOSE,
    OP_CONTINUATION,
    OP_PING,
    OP_PONG,
    OP_TEXT,
    Binary,
    Close,
    FrameParser,
    Ping,
    Pong,
    Text,
    close_frame,
    encode_frame,
    frame_header,
    masked_frame,
    small_binary_frame,
)
from tests.wire.conversations import BOUNDED, cut_at, every_split
from tests.wire.frames import client_frame, facts, parse, raw_frame

LIMIT = 1 << 20

# --- writing --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, "8200"),
        (125, "827d"),
        (126, "827e007e"),
        (65535, "827effff"),
        (65536, "827f0000000000010000"),
        (1 << 40, "827f0000010000000000"),
    ],
)
def test_headers_have_the_shortest_length(length: int, header: str) -> None:
    """A server's frame is final and unmasked, its length in the shortest of three forms."""
    assert header == frame_header(OP_BINARY, length).hex()


def test_a_frame_is_header_and_payload() -> None:
    """``encode_frame`` puts the payload, unmasked, behind its header."""
    assert b"\x8a\3abc" == encode_frame(OP_PONG, b"abc")


@pytest.mark.parametrize(
    ("code", "reason", "payload"),
    [
        (None, "never sent", b""),
        (1000, "", b"\x03\xe8"),
        (4456, "vm-closed ref=abcd1234", b"\x11\x68vm-closed ref=abcd1234"),
        (1000, "x" * 200, b"\x03\xe8" + b"x" * 123),
        (1000, "é" * 100, b"\x03\xe8" + "é".encode() * 61),
        (1000, "日" * 41 + "!", b"\x03\xe8" + "日".encode() * 41),
        (1000, "\ud800", b"\x03\xe8?"),
    ],
)
def test_close_reasons_are_cut_between_characters(code: int | None, reason: str, payload: bytes) -> None:
    """A close frame has at most 125 bytes of payload, and its reason stays UTF-8."""
    assert bytes([0x88, len(payload)]) + payload == close_frame(code, reason)


# --- reading --------------------------------------------------------------------------

BIG = bytes(range(256)) * 257

#: name: what a client sends, what it says
VALID = {
    "binary": ([client_frame(OP_BINARY, b"abc")], [("binary", b"abc", None)]),
    "empty binary": ([client_frame(OP_BINARY)], [("binary", b"", None)]),
    "125, 126 bytes": (
        [client_frame(OP_BINARY, bytes(125)), client_frame(OP_BINARY, bytes(126))],
        [("binary", bytes(125), None), ("binary", bytes(126), None)],
    ),
    "text": ([client_frame(OP_TEXT, "日本".encode())], [("text", "日本".encode(), None)]),
    "empty text": ([client_frame(OP_TEXT)], [("text", b"", None)]),
    "fragments, a ping between": (
        [
            client_frame(OP_BINARY, b"ab", fin=False),
            client_frame(OP_PING, b"?"),
            client_frame(OP_CONTINUATION, b"", fin=False),
            client_frame(OP_CONTINUATION, b"cd"),
            client_frame(OP_PONG, b"!"),
        ],
        [("ping", b"?", None), ("binary", b"abcd", None), ("pong", b"!", None)],
    ),
    "an empty last fragment": (
        [client_frame(OP_BINARY, b"ab", fin=False), client_frame(OP_CONTINUATION)],
        [("binary", b"ab", None)],
    ),
    "text cut inside a character": (
        [client_frame(OP_TEXT, b"\xe6\x97", fin=False), client_frame(OP_CONTINUATION, b"\xa5")],
        [("text", "日".encode(), None)],
    ),
    "longest ping": ([client_frame(OP_PING, bytes(125))], [("ping", bytes(125), None)]),
    "close without a code": ([client_frame(OP_CLOSE)], [("close", b"", None)]),
    "close with a reason": ([client_frame(OP_CLOSE, b"\x03\xe9bye")], [("close", b"bye", 1001)]),
    "close inside a message": (
        [client_frame(OP_BINARY, b"ab", fin=False), client_frame(OP_CLOSE, b"\x0f\xa0")],
        [("close", b"", 4000)],
    ),
}


@pytest.mark.parametrize(("frames", "said"), VALID.values(), ids=VALID)
def test_valid_frames_say_the_same_for_every_split(frames: list[bytes], said: list[tuple[str, bytes, int]]) -> None:
    """Messages and control frames come out whole and in order, wherever the bytes were cut."""
    for pieces in every_split(b"".join(frames)):
        events, error = parse(FrameParser(LIMIT), pieces)
        assert error is None
        assert said == facts(events)


@pytest.mark.parametrize("first", [0x82, 0x02])
def test_a_big_payload_passes_as_it_comes(first: int) -> None:
    """A binary payload is passed on with each piece of the stream, right up to the last byte, never collected."""
    header = raw_frame(first, b"\xff" + (1 << 19).to_bytes(8, "big"), b"\1\2\3\4")
    parser = FrameParser(LIMIT)
    assert [] == list(parser.feed(header))
    payload = b""
    for size in (1, 2, 3, 70_000, (1 << 19) - 70_007):
        (event,) = parser.feed(bytes(size))
        assert isinstance(event, Binary)
        assert (size, False) == (len(event.data), event.end)
        payload += event.data
    (last,) = parser.feed(b"\0")
    assert Binary(b"\4", end=first == 0x82) == last
    assert b"\1\2\3\4" * (1 << 17) == payload + b"\4"


def is_idle_after(parser: FrameParser, data: bytes) -> bool:
    """Feed ``data`` and tell whether the parser is idle then."""
    list(parser.feed(data))
    return parser.idle


def test_idle_means_nothing_is_held_back() -> None:
    """``idle`` is true only between messages: not in a header, a payload, or a fragmented message."""
    stream = client_frame(OP_BINARY, b"ab", fin=False) + client_frame(OP_PING) + client_frame(OP_CONTINUATION, b"cd")
    parser = FrameParser(LIMIT)
    assert parser.idle
    assert not parser.is_over
    is_idle = [is_idle_after(parser, stream[at : at + 1]) for at in range(len(stream))]
    assert [False] * (len(stream) - 1) + [True] == is_idle
    assert not is_idle_after(parser, stream[:5])
    assert not is_idle_after(parser, b"")
    assert is_idle_after(parser, stream[5:] + stream)


def test_after_close_nothing_is_read() -> None:
    """What follows a close frame is ignored, in the same piece and later, and the parser is never idle again."""
    parser = FrameParser(LIMIT)
    assert [Close(1000)] == list(parser.feed(client_frame(OP_CLOSE, b"\x03\xe8") + client_frame(OP_PING)))
    assert [] == list(parser.feed(b"\xff\xff"))
    assert parser.is_over
    assert not parser.idle


def test_pings_keep_their_payload_when_split() -> None:
    """Two control frames in a row do not share their payloads."""
    stream = client_frame(OP_PING, b"ab") + client_frame(OP_PONG, b"cd")
    for pieces in every_split(stream):
        assert ([Ping(b"ab"), Pong(b"cd")], None) == parse(FrameParser(LIMIT), pieces)


# --- refused --------------------------------------------------------------------------

#: name: frames before the fault, the fault, at which of its bytes it shows, the close code
REFUSED = {
    "RSV1": (b"", b"\xc2", 1, 1002),
    "RSV2": (b"", b"\xa2", 1, 1002),
    "RSV3": (b"", b"\x92", 1, 1002),
    "opcode 3": (b"", b"\x83", 1, 1002),
    "opcode 7": (b"", b"\x87", 1, 1002),
    "opcode 11": (b"", b"\x8b", 1, 1002),
    "opcode 15": (b"", b"\x8f", 1, 1002),
    "unmasked": (b"", b"\x82\x01", 2, 1002),
    "unmasked ping": (b"", b"\x89\x00", 2, 1002),
    "fragmented ping": (b"", b"\x09", 1, 1002),
    "fragmented close": (b"", b"\x08", 1, 1002),
    "ping of 126 bytes": (b"", b"\x89\xfe\x00\x7e", 2, 1002),
    "continuation of nothing": (b"", b"\x80", 1, 1002),
    "continuation after the end": (client_frame(OP_BINARY, b"x"), b"\x00", 1, 1002),
    "new message inside another": (client_frame(OP_BINARY, b"x", fin=False), b"\x82", 1, 1002),
    "text inside binary": (client_frame(OP_BINARY, b"x", fin=False), b"\x81", 1, 1002),
    "125 in two bytes": (b"", b"\x82\xfe\x00\x7d", 4, 1002),
    "65535 in eight bytes": (b"", b"\x82\xff\0\0\0\0\0\0\xff\xff", 10, 1002),
    "64-bit length, top bit": (b"", b"\x82\xff\x80\0\0\0\0\0\0\0", 10, 1002),
    "close of one byte": (b"", client_frame(OP_CLOSE, b"\x03"), 7, 1002),
    **{
        f"close code {code}": (b"", client_frame(OP_CLOSE, code.to_bytes(2, "big")), 8, 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
    "close reason": (b"", client_frame(OP_CLOSE, b"\x03\xe8\xff"), 9, 1007),
    "text": (b"", client_frame(OP_TEXT, b"ab\xff" + bytes(9)), 9, 1007),
    "text beyond Unicode": (b"", client_frame(OP_TEXT, b"\xf4\x90" + bytes(9)), 8, 1007),
    "text that ends inside a character": (b"", client_frame(OP_TEXT, b"\xe6\x97"), 8, 1007),
    "text fragment": (
        client_frame(OP_TEXT, b"\xe6\x97", fin=False),
        client_frame(OP_CONTINUATION, b"\x97\xff", fin=False),
        8,
        1007,
    ),
    "message too big": (b"", b"\x82\xff\0\0\0\0\0\x10\0\1", 10, 1009),
    "message far too big": (b"", b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 10, 1009),
    "fragments too big together": (
        client_frame(OP_BINARY, bytes(LIMIT - 125), fin=False),
        b"\x80\xfe\x00\x7e",
        4,
        1009,
    ),
    "text too big": (b"", b"\x81\xff" + (MAX_TEXT + 1).to_bytes(8, "big"), 10, 1009),
}


@pytest.mark.parametrize(("before", "fault", "shows_at", "code"), REFUSED.values(), ids=REFUSED)
def test_a_fault_is_refused_where_it_shows(before: bytes, fault: bytes, shows_at: int, code: int) -> None:
    """Each fault has its close code, and is raised at the first byte that shows it, no sooner."""
    parser = FrameParser(LIMIT)
    assert None is parse(parser, [before, *(fault[i : i + 1] for i in range(shows_at - 1))])[1]
    with pytest.raises(RemoteProtocolError) as raised:
        list(parser.feed(fault[shows_at - 1 : shows_at]))
    assert code == raised.value.close_code
    assert [] == list(parser.feed(client_frame(OP_PING)))
    assert parser.is_over
    assert not parser.idle


@pytest.mark.parametrize("name", REFUSED)
def test_what_came_before_a_fault_is_told(name: str) -> None:
    """Events that precede a fault in the same piece are delivered before it is raised."""
    before, fault, _, code = REFUSED[name]
    stream = client_frame(OP_BINARY, b"first") + client_frame(OP_PING, b"second") + before + fault
    events, error = parse(FrameParser(LIMIT), [stream])
    assert [Binary(b"first", end=True), Ping(b"second")] == events[:2]
    assert error is not None
    assert code == error.close_code


def test_limits_are_reached_but_not_passed() -> None:
    """A message of exactly the limit passes, fragmented or not, and each message is counted anew."""
    frames = [
        client_frame(OP_BINARY, bytes(6), fin=False),
        client_frame(OP_PING, bytes(100)),
        client_frame(OP_CONTINUATION, bytes(4)),
        client_frame(OP_TEXT, b"0123456789"),
        client_frame(OP_BINARY, bytes(10)),
    ]
    events, error = parse(FrameParser(10), [b"".join(frames)])
    assert error is None
    assert ["ping", "binary", "text", "binary"] == [kind for kind, _, _ in facts(events)]


def test_text_has_a_limit_of_its_own() -> None:
    """Text is bounded by ``max_text``, and never by more than ``max_message``."""
    assert None is parse(FrameParser(10, max_text=5), [client_frame(OP_TEXT, b"12345")])[1]
    for parser in (FrameParser(10, max_text=4), FrameParser(4, max_text=10)):
        _, error = parse(parser, [client_frame(OP_TEXT, b"12345")])
        assert error is not None
        assert 1009 == error.close_code


# --- the short way --------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 6, 10, 124, 125])
def test_a_small_frame_takes_the_short_way(size: int) -> None:
    """One whole, final binary frame below 126 bytes is unmasked at once."""
    payload = bytes(range(size))
    assert payload == small_binary_frame(client_frame(OP_BINARY, payload))


WHOLE = client_frame(OP_BINARY, b"abcdef")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x82",
        b"\x82\x80",
        b"\x82\x80\0\0\0",
        WHOLE[:-1],
        WHOLE + b"\x82",
        WHOLE + WHOLE,
        client_frame(OP_TEXT, b"abcdef"),
        client_frame(OP_PING, b"abcdef"),
        client_frame(OP_CLOSE, b"\x03\xe8"),
        client_frame(OP_BINARY, b"abcdef", fin=False),
        client_frame(OP_CONTINUATION, b"abcdef"),
        client_frame(OP_BINARY, bytes(126)),
        client_frame(OP_BINARY, bytes(65536)),
        b"\xc2" + WHOLE[1:],
        b"\x82\x06" + WHOLE[2:],
        b"\x82\xfe\x00\x7c" + bytes(128),
    ],
)
def test_everything_else_takes_the_long_way(data: bytes) -> None:
    """What is not exactly one small binary frame is left to the parser."""
    assert None is small_binary_frame(data)


@BOUNDED
@given(st.one_of(st.binary(max_size=140), st.binary(max_size=140).map(lambda data: client_frame(OP_BINARY, data))))
def test_the_short_way_and_the_long_way_agree(data: bytes) -> None:
    """Whenever the short way answers, the parser says the same and is idle before and after."""
    payload = small_binary_frame(data)
    parser = FrameParser(LIMIT)
    if payload is not None:
        assert [Binary(payload, end=True)] == list(parser.feed(data))
        assert parser.idle


@BOUNDED
@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8), st.integers(0, 100))
def test_any_bytes_are_parsed_or_refused(data: bytes, cuts: list[int], limit: int) -> None:
    """Random bytes give events or ``RemoteProtocolError``, the same for every split."""
    whole, error = parse(FrameParser(limit), [data])
    split, split_error = parse(FrameParser(limit), cut_at(data, cuts))
    assert facts(whole) == facts(split)
    assert repr(error) == repr(split_error)
    assert not [event for event in whole if isinstance(event, Text) and len(event.text.encode()) > limit]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_a_client_reads_what_a_server_writes_and_the_other_way_round(size: int) -> None:
    """Frames of a server are unmasked, those of a client masked; each parser takes the other's, and no other."""
    payload = bytes(range(256)) * (size // 256 + 1)
    payload = payload[:size]
    plain, masked = encode_frame(OP_BINARY, payload), masked_frame(OP_BINARY, payload, b"\x01\x80\xff\x00")
    for frame, is_client in ((plain, True), (masked, False)):
        events = list(FrameParser(1 << 20, is_client=is_client).feed(frame))
        assert [Binary(payload, end=True)] == events
        with pytest.raises(RemoteProtocolError, match="masked"):
            list(FrameParser(1 << 20, is_client=not is_client).feed(frame))

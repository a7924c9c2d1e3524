"""Our frames against those of ``websockets``: two parsers that know nothing of each other must agree."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import assume, given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import CLIENT, OPEN, SERVER, Protocol, Side

from consoleproxy.wire.websocket import (
    OP_BINARY,
    OP_CLOSE,
    OP_CONTINUATION,
    OP_PING,
    OP_PONG,
    OP_TEXT,
    FrameParser,
    close_frame,
    encode_frame,
)
from tests.wire.conversations import BOUNDED, cut_at
from tests.wire.frames import Fact, client_frame, facts, parse

#: More than all frames of a stream together: ``websockets`` also counts a control frame against the message it is in.
LIMIT = 1 << 20
#: More than any frame within ``LIMIT`` needs to be whole.
PADDING = bytes(2 * LIMIT)

NAMES = {OP_TEXT: "text", OP_BINARY: "binary", OP_PING: "ping", OP_PONG: "pong"}

# --- what others make of it -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was said, and the close code and the text of the refusal, if any."""

    told: list[Fact]
    code: int | None = None
    text: str = field(default="", compare=False)


def receive(data: bytes, side: Side = SERVER, padding: bytes = b"") -> Verdict:
    """Let ``websockets`` parse ``data``; ``padding`` follows where it has refused nothing so far."""
    protocol = Protocol(side, state=OPEN, max_size=LIMIT)
    protocol.receive_data(data)
    frames = [event for event in protocol.events_received() if isinstance(event, Frame)]
    if padding and protocol.parser_exc is None:
        protocol.receive_data(padding)
    code = protocol.close_sent.code if protocol.parser_exc and protocol.close_sent else None
    return Verdict(_told(frames), code, str(protocol.parser_exc))


def judge(pieces: list[bytes]) -> Verdict:
    """Let our parser parse ``pieces``."""
    events, error = parse(FrameParser(LIMIT, max_text=LIMIT), pieces)
    return Verdict(facts(events), error.close_code if error else None, str(error))


def _told(frames: list[Frame]) -> list[Fact]:
    told: list[Fact] = []
    kind, message = "", b""
    for frame in frames:
        payload = bytes(frame.data)
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            kind = frame.opcode.name.lower() if frame.opcode is not Opcode.CONT else kind
            message += payload
            if frame.fin:
                told.append((kind, message, None))
                message = b""
        elif frame.opcode is Opcode.CLOSE:
            close = Close.parse(payload)
            told.append(("close", close.reason.encode(), close.code if payload else None))
        else:
            told.append((frame.opcode.name.lower(), payload, None))
    return told


# --- what clients send ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stream:
    """Valid frames, and where each of them begins."""

    data: bytes
    starts: tuple[int, ...]


PAYLOADS = st.one_of(st.binary(max_size=20), st.sampled_from([bytes(125), bytes(126), bytes(127), bytes(65535)]))
MASKS = st.binary(min_size=4, max_size=4)
CONTROLS = st.builds(
    lambda opcode, payload, mask: client_frame(opcode, payload, mask=mask),
    st.sampled_from([OP_PING, OP_PONG]),
    st.binary(max_size=125),
    MASKS,
)


@st.composite
def messages(draw: st.DrawFn) -> list[bytes]:
    """Draw one message as its frames, with control frames between them."""
    is_text = draw(st.booleans())
    payload = draw(st.text(max_size=20)).encode() if is_text else draw(PAYLOADS)
    pieces = cut_at(payload, draw(st.lists(st.integers(0, 65535), max_size=3))) or [b""]
    frames: list[bytes] = []
    for i, piece in enumerate(pieces):
        opcode = OP_CONTINUATION if i else OP_TEXT if is_text else OP_BINARY
        frames.append(client_frame(opcode, piece, fin=i == len(pieces) - 1, mask=draw(MASKS)))
        frames += draw(st.lists(CONTROLS, max_size=1))
    return frames


CLOSES = st.builds(
    lambda code, reason: client_frame(OP_CLOSE, Close(code, reason).serialize()),
    st.one_of(st.sampled_from([1000, 1001, 1002, 1003, *range(1007, 1015)]), st.integers(3000, 4999)),
    st.text(max_size=30),
)


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """Draw some messages and perhaps a goodbye."""
    frames = [frame for message in draw(st.lists(messages(), max_size=4)) for frame in message]
    frames += draw(st.lists(CLOSES, max_size=1))
    starts = [sum(map(len, frames[:i])) for i in range(len(frames))]
    return Stream(b"".join(frames), tuple(starts))


CUTS = st.lists(st.integers(0, 1 << 18), max_size=8)


@BOUNDED
@given(streams(), CUTS)
def test_valid_frames_say_the_same_to_both(stream: Stream, cuts: list[int]) -> None:
    """Any valid frames, cut anywhere, give the messages that ``websockets`` reads."""
    verdict = judge(cut_at(stream.data, cuts))
    assert verdict.code is None
    assert receive(stream.data) == verdict


@BOUNDED
@given(streams(), st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9), st.integers(1, 255)), max_size=3), CUTS)
def test_broken_frames_are_judged_alike(stream: Stream, flips: list[tuple[int, int, int]], cuts: list[int]) -> None:
    """Frames with bits flipped in their headers are refused by both with one code, or by neither."""
    data = bytearray(stream.data)
    for which, offset, bits in flips:
        if stream.starts:
            place = stream.starts[which % len(stream.starts)] + offset
            data[place % len(data)] ^= bits
    ours = judge(cut_at(bytes(data), cuts))
    # What we refuse at its first byte, the other refuses once it has the whole frame.
    others = receive(bytes(data), padding=PADDING if ours.code else b"")
    assume(not _is_known_difference(ours, others))
    assert others == ours


def _is_known_difference(ours: Verdict, others: Verdict) -> bool:
    """Tell whether the two disagree on purpose."""
    # UTF-8 of text is the business of who calls ``websockets``, and it takes lengths that are longer than need be.
    if ours.text.startswith(("text", "length")):
        return True
    # It refuses a goodbye inside a fragmented message, which RFC 6455 section 5.4 allows.
    if others.text == "incomplete fragmented message":
        return True
    # Of a malformed frame it sees first that it is too long, or that a close reason is no UTF-8.
    return ours.told == others.told and ours.code == 1002 and others.code in (1007, 1009)


@BOUNDED
@given(st.lists(st.tuples(st.sampled_from(list(NAMES)), st.binary(max_size=300)), max_size=5))
def test_our_frames_are_read_by_others(frames: list[tuple[int, bytes]]) -> None:
    """What we write, ``websockets`` reads as a client."""
    frames = [(opcode, payload[:125] if opcode >= OP_CLOSE else payload) for opcode, payload in frames]
    data = b"".join(encode_frame(opcode, payload) for opcode, payload in frames)
    assert Verdict([(NAMES[opcode], payload, None) for opcode, payload in frames]) == receive(data, CLIENT)


@BOUNDED
@given(st.integers(3000, 4999), st.text(alphabet=st.characters(), max_size=200))
def test_our_close_frames_are_read_by_others(code: int, reason: str) -> None:
    """Any reason gives a close frame that ``websockets`` accepts, with the reason or its beginning."""
    verdict = receive(close_frame(code, reason), CLIENT)
    ((kind, text, told_code),) = verdict.told
    assert ("close", code, None) == (kind, told_code, verdict.code)
    assert reason.encode("utf-8", "replace").startswith(text)
    assert len(text) > 119 or text == reason.encode("utf-8", "replace")

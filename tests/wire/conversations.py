"""Runs a wire conversation on plain bytes: no socket, no loop, no time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

from hypothesis import settings

from consoleproxy.wire.conversation import Conversation, Read, Send, Step
from consoleproxy.wire.reader import Reader

T = TypeVar("T")

#: Few enough examples for a slow core, and no deadline for one of them on a busy machine.
BOUNDED = settings(max_examples=150, deadline=None)


@dataclass(frozen=True, slots=True)
class Played(Generic[T]):
    """How a conversation went: what it sent, how it ended, and what it left unread.

    ``is_over`` is false when the script was over before the conversation.
    """

    sent: bytes
    leftover: bytes
    is_over: bool
    result: T | None = None
    error: Exception | None = None

    @property
    def outcome(self) -> tuple[bytes, bytes, bool, T | None, str]:
        """Everything as plain values, to compare two runs."""
        return self.sent, self.leftover, self.is_over, self.result, repr(self.error)


def play(conversation: Conversation[T], incoming: Iterable[bytes]) -> Played[T]:
    """Run ``conversation`` against a peer that says ``incoming``, piece by piece, whatever it is told."""
    pieces = iter(incoming)
    reader = Reader()
    sent = bytearray()
    result: T | None = None
    error: Exception | None = None
    is_over = True
    try:
        step = next(conversation)
        while (answer := _answer(step, pieces, reader, sent)) is not None:
            step = conversation.send(answer)
        is_over = False
    except StopIteration as done:
        result = done.value
    except Exception as raised:  # noqa: BLE001 - the tests judge it
        error = raised
    return Played(bytes(sent), reader.take_all() + b"".join(pieces), is_over, result, error)


def _answer(step: Step, pieces: Iterator[bytes], reader: Reader, sent: bytearray) -> bytes | None:
    """Do what ``step`` asks; ``None`` when the script is over."""
    match step:
        case Send(data):
            sent += data
            return b""
        case Read(size):
            while (answer := reader.take(size)) is None:
                if (piece := next(pieces, None)) is None:
                    return None
                reader.feed(piece)
            return answer
        case _:
            raise AssertionError(f"no conversation here asks for {step}")


def every_split(data: bytes) -> Iterator[list[bytes]]:
    """Yield ``data`` whole, byte by byte, and cut in two at every place."""
    yield [data]
    yield [data[i : i + 1] for i in range(len(data))]
    for cut in range(1, len(data)):
        yield [data[:cut], data[cut:]]


def cut_at(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Cut ``data`` at each place of ``cuts``, taken modulo its length."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]

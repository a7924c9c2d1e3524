"""The byte buffer between a peer and the parsers."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consoleproxy.errors import RemoteProtocolError
from consoleproxy.wire.reader import Reader
from tests.wire.conversations import BOUNDED


def test_take_waits_until_enough_is_there() -> None:
    """``take`` removes nothing while fewer bytes are there than asked for."""
    reader = Reader()
    reader.feed(b"ab")
    assert reader.take(3) is None
    reader.feed(b"cd")
    assert b"abc" == reader.take(3)
    assert b"d" == reader.take_all()


def test_take_nothing_is_always_possible() -> None:
    """Zero bytes can be taken from an empty reader: a name or reason may be empty."""
    assert b"" == Reader().take(0)


def test_peek_keeps_everything() -> None:
    """``peek_all`` shows everything and removes nothing."""
    reader = Reader()
    reader.feed(memoryview(b"abc"))
    assert b"abc" == reader.peek_all()
    assert 3 == len(reader)


def test_more_than_the_limit_is_refused() -> None:
    """A peer cannot send more ahead than the limit, and may send as much again once it was read."""
    reader = Reader(limit=4)
    reader.feed(b"abcd")
    with pytest.raises(RemoteProtocolError):
        reader.feed(b"e")
    assert b"abc" == reader.take(3)
    reader.feed(b"efg")
    assert b"defg" == reader.take_all()


@pytest.mark.parametrize("take", ["take", "take_all"])
def test_a_drained_reader_holds_no_memory(take: str) -> None:
    """Once drained, the reader's buffer is as small as a new one."""
    reader = Reader()
    reader.feed(bytes(1 << 19))
    assert bytes(1 << 19) == (reader.take(1 << 19) if take == "take" else reader.take_all())
    assert sys.getsizeof(bytearray()) == sys.getsizeof(reader._buffer)  # noqa: SLF001 its size is the fact


@BOUNDED
@given(st.lists(st.binary(max_size=20)), st.lists(st.integers(0, 30)))
def test_bytes_come_out_as_they_went_in(pieces: list[bytes], sizes: list[int]) -> None:
    """Whatever is fed comes out once, in order, however it is taken."""
    reader = Reader()
    for piece in pieces:
        reader.feed(piece)
    taken = b"".join(reader.take(size) or b"" for size in sizes)
    assert b"".join(pieces) == taken + reader.take_all()
    assert 0 == len(reader)

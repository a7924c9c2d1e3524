"""Who may read how much: one alone much, several less, nobody more than a share of each turn."""

from __future__ import annotations

import asyncio

from consoleproxy.proxy.pace import HEADER_ROOM, LONE_READ, SHARED_READ, TURN_SHARE, Pace


class Side:
    """A side of a relay that notes whether it may read."""

    def __init__(self) -> None:
        self._waits = False

    def wait_turn(self) -> None:
        self._waits = True

    def take_turn(self) -> None:
        self._waits = False

    def may_read(self) -> bool:
        return not self._waits


def read_turn(pace: Pace, *sides: Side) -> dict[Side, int]:
    """Let ``sides`` read in turn as libuv does, up to 32 times each while they may; return what each read."""
    done = dict.fromkeys(sides, 0)
    for side in sides:
        for _ in range(32):
            if side.may_read():
                done[side] += (size := len(pace.vm_room))
                pace.filled(side, size)
    return done


async def test_a_lone_stream_gets_large_reads_and_no_more_than_its_share() -> None:
    """After a few ordinary reads the buffer grows; at its share the stream waits for the next turn."""
    pace, side = Pace(), Side()
    assert SHARED_READ == len(pace.vm_room)
    for _ in range(3):
        assert TURN_SHARE <= read_turn(pace, side)[side] < TURN_SHARE + LONE_READ
        assert not side.may_read()
        await asyncio.sleep(0)
        assert side.may_read()
        assert LONE_READ == len(pace.vm_room)


async def test_several_streams_get_ordinary_reads() -> None:
    """As soon as a second one streams, both read less at once, and each has its share of a turn."""
    pace, one, other = Pace(), Side(), Side()
    read_turn(pace, one)
    await asyncio.sleep(0)
    for _ in range(3):
        for read in read_turn(pace, one, other).values():
            assert TURN_SHARE <= read < TURN_SHARE + LONE_READ
        assert SHARED_READ == len(pace.vm_room)
        await asyncio.sleep(0)


async def test_a_stream_that_rests_gives_the_large_reads_up() -> None:
    """A turn in which nobody used up his share ends the large reads."""
    pace, side = Pace(), Side()
    read_turn(pace, side)
    await asyncio.sleep(0)
    pace.filled(side, LONE_READ)
    await asyncio.sleep(0)
    assert SHARED_READ == len(pace.vm_room)


async def test_a_flood_waits_a_turn_without_having_filled_anything() -> None:
    """Who floods us waits as often as it asks to."""
    pace, side = Pace(), Side()
    for _ in range(2):
        pace.wait(side)
        assert not side.may_read()
        await asyncio.sleep(0)
        assert side.may_read()


def test_a_frame_can_be_sent_from_where_it_was_read() -> None:
    """The room lent to a VM lies right behind the room for the header, in one memory."""
    pace = Pace()
    pace.vm_room[0] = 7
    assert pace.vm_memory[HEADER_ROOM] == 7
    assert HEADER_ROOM + LONE_READ == len(pace.vm_memory)

"""Packets between processes: whole, in order, with open files in them, and bounded."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

import pytest

from consoleproxy.net import packets
from consoleproxy.net.packets import MAX_PACKET, PacketPipe, close_files, packet_pair
from tests.helpers.leaks import open_sockets

pytestmark = pytest.mark.usefixtures("no_sockets_left_open")


class End:
    """One end that notes what it gets."""

    def __init__(self, sock: socket.socket) -> None:
        self.got: list[bytes] = []
        self.files: list[int] = []
        self.closes = 0
        self.pipe = PacketPipe(sock, on_packet=self._take, on_close=self._closed)
        self.pipe.start()

    def _take(self, data: bytes, files: list[int]) -> None:
        self.got.append(data)
        self.files += files

    def _closed(self) -> None:
        self.closes += 1


async def until(condition: Callable[[], bool]) -> None:
    """Wait until ``condition`` holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the other end is in this process, the kernel is between
            await asyncio.sleep(0.001)


async def test_packets_arrive_whole_and_in_order_though_the_peer_is_slow() -> None:
    """More than the kernel takes at once is queued, and arrives as it was sent."""
    one, other = map(End, packet_pair())
    other.pipe.pause()
    sent = [bytes([number]) * (MAX_PACKET if number % 10 == 0 else 100) for number in range(200)]
    for packet in sent:
        one.pipe.send(packet)
    states = [one.pipe.is_flushed]
    other.pipe.start()
    await until(lambda: len(other.got) == len(sent))
    assert sent == other.got
    states.append(one.pipe.is_flushed)
    assert [False, True] == states
    one.pipe.close()
    await until(lambda: other.closes == 1)
    assert not other.pipe.is_open


async def test_open_files_travel_and_are_not_inherited() -> None:
    """What arrives is another descriptor of the same socket, closed on exec."""
    one, other = map(End, packet_pair())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one.pipe.send(b"take it", [listener.fileno()])
        await until(lambda: bool(other.got))
        (file,) = other.files
        assert not os.get_inheritable(file)
        with socket.socket(fileno=file) as copy:
            assert listener.getsockname() == copy.getsockname()
    one.pipe.close()
    other.pipe.close()


async def test_what_was_sent_before_the_end_is_read_before_it() -> None:
    """A peer's last words are not lost when it has gone, and sending to it does no harm."""
    one, other = map(End, packet_pair())
    other.pipe.pause()
    one.pipe.send(b"last words")
    one.pipe.close()
    other.pipe.send(b"too late")
    other.pipe.start()
    await until(lambda: other.closes == 1)
    assert [b"last words"] == other.got
    other.pipe.send(b"to nobody")
    assert 1 == other.closes


async def test_a_peer_that_never_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the line ends, once, instead of the memory."""
    monkeypatch.setattr(packets, "MOST_QUEUED", 50)
    one, other = map(End, packet_pair())
    other.pipe.pause()
    for _ in range(500):
        one.pipe.send(bytes(10_000))
    await until(lambda: one.closes == 1)
    assert not one.pipe.is_open
    other.pipe.close()


def test_a_packet_has_its_bounds() -> None:
    """Too many bytes or files are the caller's mistake."""
    left, right = packet_pair()
    with right:
        pipe = PacketPipe(left, on_packet=lambda *_: None, on_close=lambda: None)
        for data, files in ((bytes(MAX_PACKET + 1), []), (b"", [0] * 9)):
            with pytest.raises(ValueError, match="a packet of"):
                pipe.send(data, files)
        left.close()


def test_unwanted_files_are_closed() -> None:
    """Nobody keeps what nobody wants."""
    before = open_sockets()
    files = [socket.socket().detach() for _ in range(3)]
    close_files(files)
    assert before == open_sockets()

"""The driver between conversations and streams."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from consoleproxy.errors import PeerClosed, VMPasswordError, VMTLSError
from consoleproxy.net.handshake import converse
from consoleproxy.net.stream import SocketStream
from consoleproxy.wire import rfb_client
from consoleproxy.wire.conversation import Conversation, Read, Send, StartTLS

pytestmark = pytest.mark.usefixtures("no_sockets_left_open")


@pytest.fixture
async def pair() -> AsyncIterator[tuple[SocketStream, socket.socket]]:
    """A stream and its peer, which is a plain blocking socket."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    stream = SocketStream(ours)
    yield stream, theirs
    stream.close()
    theirs.close()


def greet() -> Conversation[bytes]:
    """Send a greeting and return the answer."""
    yield Send(b"hello")
    return (yield Read(3))


def encrypt() -> Conversation[None]:
    """Ask for TLS."""
    yield StartTLS("vm.test")


async def test_a_conversation_runs_on_a_stream(pair: tuple[SocketStream, socket.socket]) -> None:
    """What it sends goes out, what it reads comes in, and what it left unread goes to the next owner."""
    stream, peer = pair
    peer.sendall(b"heyyou")
    assert b"hey" == await converse(greet(), stream)
    assert b"hello" == peer.recv(100)
    channel = stream.detach()
    assert b"you" == channel.leftover
    channel.sock.close()


async def test_the_answer_may_come_in_single_bytes(pair: tuple[SocketStream, socket.socket]) -> None:
    """One ``recv`` is never taken for a whole message."""
    stream, peer = pair
    talking = asyncio.gather(converse(greet(), stream), trickle(peer, b"hey"))
    assert b"hey" == (await talking)[0]


async def trickle(peer: socket.socket, data: bytes) -> None:
    """Send byte by byte, letting the other side read in between."""
    for byte in data:
        peer.sendall(bytes([byte]))
        await asyncio.sleep(0.01)


async def test_the_end_of_the_peer_is_told(pair: tuple[SocketStream, socket.socket]) -> None:
    """An end of file in the middle of an answer is ``PeerClosed``."""
    stream, peer = pair
    peer.sendall(b"he")
    peer.shutdown(socket.SHUT_WR)
    with pytest.raises(PeerClosed, match="end of file"):
        await converse(greet(), stream)


async def test_a_refusal_without_a_reason_is_still_a_refusal(pair: tuple[SocketStream, socket.socket]) -> None:
    """A server that says no and hangs up has said no: the password was wrong, not the connection."""
    stream, peer = pair
    peer.sendall(b"RFB 003.008\n" + b"\x01\x02" + bytes(16) + bytes([0, 0, 0, 1]))
    peer.shutdown(socket.SHUT_WR)
    with pytest.raises(VMPasswordError, match="no reason given"):
        await converse(rfb_client.connect("secret"), stream)


async def test_there_is_no_tls_without_trust(pair: tuple[SocketStream, socket.socket]) -> None:
    """Asked for TLS, a stream without trust material refuses."""
    stream, _ = pair
    with pytest.raises(VMTLSError, match="no trust material"):
        await converse(encrypt(), stream)


async def test_a_stream_that_was_closed_or_given_away_is_of_no_use(pair: tuple[SocketStream, socket.socket]) -> None:
    """Reading and writing after ``close`` raise, and closing again does nothing."""
    stream, _ = pair
    stream.close()
    stream.close()
    with pytest.raises(PeerClosed):
        await stream.write(b"x")
    with pytest.raises(PeerClosed):
        await stream.read(1)

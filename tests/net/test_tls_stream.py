"""``TLSStream`` against Python's own TLS: what passes, what is refused, how it parts."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress

import pytest

from consoleproxy.errors import PeerClosed, TLSFailed, VMTLSError
from consoleproxy.net.stream import SocketStream
from consoleproxy.net.tls import TLSContexts
from consoleproxy.net.tls_stream import HANDSHAKE_LIMIT, TLSStream
from tests.helpers.tls import made_pair

pytestmark = pytest.mark.usefixtures("no_sockets_left_open")

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
SERVER = TLSContexts(made_pair().pair).context()

Peer = Callable[[socket.socket], None]


async def meet(peer: Peer, ours: Callable[[SocketStream], Awaitable[None]]) -> None:
    """Run a blocking ``peer`` in a thread on one end of a pair, and ``ours`` on the other."""
    here, there = socket.socketpair()
    here.setblocking(False)
    there.settimeout(10)
    stream = SocketStream(here)
    with closing(there):
        task = asyncio.get_running_loop().run_in_executor(None, peer, there)
        try:
            async with asyncio.timeout(10):
                await ours(stream)
        finally:
            stream.close()
            await task


def client(sock: socket.socket, version: ssl.TLSVersion | None = None, name: str = "localhost") -> ssl.SSLSocket:
    """Return a blocking client that can tell a close_notify from a mere end."""
    return made_pair().client(version).wrap_socket(sock, server_hostname=name, suppress_ragged_eofs=False)


@pytest.mark.parametrize("version", VERSIONS)
async def test_bytes_pass_both_ways(version: ssl.TLSVersion) -> None:
    """Whole, in pieces and beyond one record, under each version."""
    data = random.Random(1).randbytes(300_000)

    def peer(sock: socket.socket) -> None:
        with client(sock, version) as secure:
            secure.sendall(data)
            got = b""
            while len(got) < len(data):
                got += secure.recv(65536)
            assert data == got
            secure.sendall(b"done")
            secure.unwrap()

    async def ours(stream: SocketStream) -> None:
        secure = await TLSStream.accept(stream, SERVER)
        assert str(version.name).replace("_", ".") == secure.version
        assert data[:5] == await secure.read(5)
        assert data[5:] == await secure.read(len(data) - 5)
        await secure.write(data)
        assert b"done" == await secure.receive()
        with pytest.raises(PeerClosed, match="closed"):
            await secure.receive()
        secure.close()

    await meet(peer, ours)


async def test_what_was_put_back_comes_first() -> None:
    """Bytes that were read too far are read again before the next."""

    def peer(sock: socket.socket) -> None:
        with client(sock) as secure:
            secure.sendall(b"head and more")
            assert b"x" == secure.recv(1)

    async def ours(stream: SocketStream) -> None:
        secure = await TLSStream.accept(stream, SERVER)
        assert b"head and more" == await secure.receive()
        secure.put_back(b"and more")
        assert b"and" == await secure.read(3)
        secure.put_back(b"and")
        assert b"and more" == await secure.receive()
        await secure.write(b"x")
        secure.close()

    await meet(peer, ours)


@pytest.mark.parametrize("is_clean", [True, False])
async def test_a_closed_peer_and_a_truncated_one_are_told_apart(is_clean: bool) -> None:  # noqa: FBT001
    """With close_notify it is ``closed``, without it ``truncated``; what came before is read first."""

    def peer(sock: socket.socket) -> None:
        secure = client(sock)
        assert b"go" == secure.recv(2)
        secure.sendall(b"last")
        if is_clean:
            with suppress(OSError):
                secure.unwrap()
        else:
            socket.socket(fileno=secure.detach()).close()
        secure.close()

    async def ours(stream: SocketStream) -> None:
        secure = await TLSStream.accept(stream, SERVER)
        await secure.write(b"go")
        assert b"last" == await secure.read(4)
        with pytest.raises(PeerClosed, match="closed" if is_clean else "truncated"):
            await secure.read(1)
        secure.close()

    await meet(peer, ours)


async def test_a_half_close_lets_the_peer_finish() -> None:
    """Our close_notify ends our words only: the peer sees a proper end, and can still speak."""

    def peer(sock: socket.socket) -> None:
        with client(sock) as secure:
            assert b"bye" == secure.recv(3)
            assert b"" == secure.recv(1)
            secure.sendall(b"you too")

    async def ours(stream: SocketStream) -> None:
        secure = await TLSStream.accept(stream, SERVER)
        await secure.write(b"bye")
        secure.half_close()
        with pytest.raises(PeerClosed):
            await secure.write(b"more")
        assert b"you too" == await secure.read(7)
        secure.close()
        secure.close()

    await meet(peer, ours)


async def test_a_close_says_close_notify() -> None:
    """Closing is a proper end to the peer."""

    def peer(sock: socket.socket) -> None:
        with client(sock) as secure:
            assert b"" == secure.recv(1)

    async def ours(stream: SocketStream) -> None:
        (await TLSStream.accept(stream, SERVER)).close()

    await meet(peer, ours)


@pytest.mark.parametrize(
    ("first", "kind", "answer"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "plain-http", b""),
        (b"\x16\x03\x01\x00\x05hello", "protocol", b"\x15\x03\x03\x00\x02\x02\x0a"),
        (b"RFB 003.008\nRFB 003.008\n", "protocol", b""),
        (bytes(100), "protocol", b""),
    ],
    ids=["http", "rubbish", "rfb", "zeros"],
)
async def test_what_is_no_handshake_is_told_by_its_kind(first: bytes, kind: str, answer: bytes) -> None:
    """Whoever speaks something else fails under a word that can be counted; an alert goes to who speaks TLS."""

    def peer(sock: socket.socket) -> None:
        sock.sendall(first)
        got = b""
        with suppress(OSError):
            while data := sock.recv(100):
                got += data
        assert answer == got

    async def ours(stream: SocketStream) -> None:
        with pytest.raises(TLSFailed) as caught:
            await TLSStream.accept(stream, SERVER)
        assert kind == caught.value.kind
        stream.close()

    await meet(peer, ours)


async def test_a_client_that_distrusts_us_is_an_alert() -> None:
    """A client without our root says so, and that is counted as its alert."""

    def peer(sock: socket.socket) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context(cafile=None, cadata=made_pair(domain="second.test").root).wrap_socket(
                sock, server_hostname="localhost"
            )

    async def ours(stream: SocketStream) -> None:
        # Under TLS 1.3 the client's alert may come after the server thinks that all is well.
        with pytest.raises(PeerClosed, match=r"(?i)alert|closed|reset|truncated"):
            await (await TLSStream.accept(stream, SERVER)).receive()
        stream.close()

    await meet(peer, ours)


async def test_a_handshake_without_end_is_cut_off() -> None:
    """A ClientHello that goes on and on costs a bounded number of bytes."""
    hello = b"\x16\x03\x01\x40\x00" + b"\x01\x01\xf0\x00" + bytes(16380)
    more = b"\x16\x03\x01\x40\x00" + bytes(16384)

    def peer(sock: socket.socket) -> None:
        with suppress(OSError):
            sock.sendall(hello)
            for _ in range(2 * HANDSHAKE_LIMIT // len(more)):
                sock.sendall(more)

    async def ours(stream: SocketStream) -> None:
        with pytest.raises(TLSFailed):
            await TLSStream.accept(stream, SERVER)
        stream.close()

    await meet(peer, ours)


async def test_a_handshake_in_single_bytes_comes_about() -> None:
    """However the ClientHello is cut, it is understood."""
    here, there = socket.socketpair()
    here.setblocking(False)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    side = made_pair().client().wrap_bio(incoming, outgoing, server_hostname="localhost")
    there.setblocking(False)
    loop = asyncio.get_running_loop()

    async def drip() -> None:
        while True:
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
                side.write(b"x")
            for byte in outgoing.read():
                await loop.sock_sendall(there, bytes([byte]))
                await asyncio.sleep(0)
            if side.version() and not incoming.pending and side.cipher() and finished():
                return
            incoming.write(await loop.sock_recv(there, 65536))

    def finished() -> bool:
        return side.getpeercert() is not None

    async with asyncio.timeout(10):
        secure, _ = await asyncio.gather(TLSStream.accept(SocketStream(here), SERVER), drip())
        assert b"x" == await secure.read(1)
    secure.close()
    there.close()


async def test_a_broken_record_ends_with_a_word() -> None:
    """Bytes that do not decrypt are ``PeerClosed``, and nothing of OpenSSL's escapes."""

    def peer(sock: socket.socket) -> None:
        secure = client(sock)
        secure.sendall(b"fine")
        raw = socket.socket(fileno=secure.detach())
        raw.settimeout(10)
        with closing(raw):
            raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
            with suppress(OSError):
                while raw.recv(100):
                    pass

    async def ours(stream: SocketStream) -> None:
        secure = await TLSStream.accept(stream, SERVER)
        assert b"fine" == await secure.read(4)
        for _ in range(2):
            with pytest.raises(PeerClosed, match="TLS: "):
                await secure.read(1)
        secure.close()

    await meet(peer, ours)


# --- as the client --------------------------------------------------------------------


def server(sock: socket.socket) -> ssl.SSLSocket:
    """Return a blocking server."""
    return SERVER.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False)


async def test_it_works_as_the_client() -> None:
    """The same stream reaches a server whose certificate verifies."""

    def peer(sock: socket.socket) -> None:
        with server(sock) as secure:
            secure.sendall(secure.recv(100))
            assert b"" == secure.recv(1)

    async def ours(stream: SocketStream) -> None:
        secure = await TLSStream.connect(stream, made_pair().client(), "localhost")
        await secure.write(b"hello")
        assert b"hello" == await secure.read(5)
        channel = secure.detach()
        secure.close()
        assert channel.tls is not None
        channel.sock.send(channel.tls.finish())
        channel.sock.close()

    await meet(peer, ours)


@pytest.mark.parametrize(
    ("root", "name"), [("second.test", "localhost"), ("example.test", "elsewhere.test")], ids=["root", "name"]
)
async def test_a_server_that_does_not_verify_is_refused(root: str, name: str) -> None:
    """A foreign root and a foreign name are ``VMTLSError``."""

    def peer(sock: socket.socket) -> None:
        with pytest.raises(ssl.SSLError, match="ALERT"):
            server(sock).recv(1)

    async def ours(stream: SocketStream) -> None:
        with pytest.raises(VMTLSError, match="certificate:"):
            await TLSStream.connect(stream, made_pair(domain=root).client(), name)
        stream.close()

    await meet(peer, ours)


async def test_plaintext_before_tls_is_not_taken_for_more() -> None:
    """Bytes that came in clear must not be read as if they had come through TLS."""

    def peer(sock: socket.socket) -> None:
        sock.sendall(b"okINJECTED")
        sock.recv(1)

    async def ours(stream: SocketStream) -> None:
        assert b"ok" == await stream.read(2)
        with pytest.raises(VMTLSError, match="8 bytes came in clear"):
            await TLSStream.connect(stream, made_pair().client(), "localhost")
        stream.close()

    await meet(peer, ours)


async def test_there_is_no_tls_inside_tls() -> None:
    """``start_tls`` on what is encrypted already is refused."""

    def peer(sock: socket.socket) -> None:
        with client(sock) as secure:
            assert b"" == secure.recv(1)

    async def ours(stream: SocketStream) -> None:
        secure = await TLSStream.accept(stream, SERVER)
        with pytest.raises(VMTLSError):
            await secure.start_tls("localhost")
        secure.close()

    await meet(peer, ours)

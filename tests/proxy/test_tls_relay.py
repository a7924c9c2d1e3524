"""The relay through TLS: how it parts, what OpenSSL wants to say meanwhile, and TLS towards the VM."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.frames import Close, Opcode

from consoleproxy.backends import tcp
from consoleproxy.errors import Killed
from consoleproxy.messages import Target
from consoleproxy.net.stream import ByteStream, SocketStream
from consoleproxy.net.tls import TLSContexts
from consoleproxy.net.tls_stream import TLSStream
from tests.helpers.fake_vm import FakeVM
from tests.helpers.raw_browser import RawBrowser
from tests.helpers.tls import made_pair, tls_town
from tests.helpers.town import Town, town

pytestmark = [pytest.mark.usefixtures("no_sockets_left_open"), pytest.mark.in_process]

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
OpenTown = Callable[..., AbstractAsyncContextManager[Town]]
KEY = bytes.fromhex("0401000000000061")


@pytest.fixture(params=VERSIONS, ids=str)
async def made(request: pytest.FixtureRequest) -> AsyncIterator[Town]:
    """A proxy with TLS, and a browser of each version."""
    async with tls_town(version=request.param) as running:
        yield running


async def browse(made: Town, act: Callable[[RawBrowser], None]) -> None:
    """Run ``act`` in a thread with a browser whose console is open."""
    token, context = made.token(), made.tls
    assert context is not None

    def run() -> None:
        with RawBrowser(made.port, context, token) as browser:
            act(browser)

    async with asyncio.timeout(20):
        await asyncio.get_running_loop().run_in_executor(None, run)
        await made.vm.until(lambda: not len(made.proxy))


async def relay_of(made: Town) -> Any:  # noqa: ANN401 - an inner part, looked at through two doors
    """Return the relay of the one session, once it has both its ends."""
    await made.vm.opened.wait()
    (console,) = made.carrier.carried._consoles.values()  # noqa: SLF001
    await made.vm.until(lambda: console._relay is not None and console._relay._is_joined)  # type: ignore[attr-defined]  # noqa: SLF001
    return console._relay  # type: ignore[attr-defined]  # noqa: SLF001


def detail(caplog: pytest.LogCaptureFixture) -> tuple[str, str]:
    """Return the reason and the detail of the last console's end."""
    ends = [record for record in caplog.records if record.getMessage() == "console ended"]
    return ends[-1].__dict__["reason"], ends[-1].__dict__["detail"]


@pytest.fixture(autouse=True)
def at_info(caplog: pytest.LogCaptureFixture) -> None:
    """Catch the line of each console's end."""
    caplog.set_level(logging.INFO)


# --- parting --------------------------------------------------------------------------


async def test_a_browser_that_says_close_notify_has_closed(made: Town, caplog: pytest.LogCaptureFixture) -> None:
    """It is answered with ours, and the log says that it was a proper end."""

    def act(browser: RawBrowser) -> None:
        browser.send(KEY)
        browser.tls.unwrap().close()  # returns only when ours has come

    await browse(made, act)
    assert ("browser-lost", "closed") == detail(caplog)
    assert KEY == bytes(made.vm.received)


@pytest.mark.parametrize("how", ["half", "whole"])
async def test_a_browser_that_just_ends_was_truncated(made: Town, caplog: pytest.LogCaptureFixture, how: str) -> None:
    """An end without close_notify may be somebody's cut: the log says so."""

    def act(browser: RawBrowser) -> None:
        bare = browser.lay_bare()
        if how == "half":
            bare.shutdown(socket.SHUT_WR)
            while bare.recv(100):
                pass
        bare.close()

    await browse(made, act)
    assert ("browser-lost", "truncated") == detail(caplog)


async def test_a_goodbye_is_answered_and_closed_properly(made: Town, caplog: pytest.LogCaptureFixture) -> None:
    """A browser that closes its websocket gets the close frame, then our close_notify."""

    def act(browser: RawBrowser) -> None:
        browser.send(Close(1000, "").serialize(), Opcode.CLOSE)
        assert browser.read_to_end().startswith(b"\x88\x02\x03\xe8")

    await browse(made, act)
    assert "browser-closed" == detail(caplog)[0]


async def test_a_goodbye_with_close_notify_right_behind_it_is_answered(
    made: Town, caplog: pytest.LogCaptureFixture
) -> None:
    """Both in one packet: the websocket's reason counts, and both get their answers."""

    def act(browser: RawBrowser) -> None:
        browser.send(Close(1000, "").serialize(), Opcode.CLOSE)
        # OpenSSL on this side stumbles over the websocket's answer, so that has come.
        with pytest.raises(ssl.SSLError, match="APPLICATION_DATA_AFTER_CLOSE_NOTIFY"):
            browser.tls.unwrap()

    await browse(made, act)
    assert "browser-closed" == detail(caplog)[0]


async def test_our_goodbye_is_followed_by_close_notify(made: Town) -> None:
    """A killed session: close frame, the browser's answer, then a proper end of TLS."""

    def act(browser: RawBrowser) -> None:
        assert b"\x88" == browser.tls.recv(1)
        browser.tls.recv(1000)
        browser.send(Close(4461, "").serialize(), Opcode.CLOSE)
        assert b"" == browser.read_to_end()

    async def end_when_open() -> None:
        await relay_of(made)
        made.carrier.carried.end_all(Killed("test"))

    await asyncio.gather(browse(made, act), end_when_open())


async def test_after_a_breach_our_half_closes_properly(made: Town) -> None:
    """Rubbish in a frame: close frame, close_notify, and our half is shut; the browser may go when it likes."""

    def act(browser: RawBrowser) -> None:
        browser.tls.sendall(b"\xff\xff\xff\xff")
        got = browser.read_to_end()
        assert b"\x88" == got[:1]
        assert (1002).to_bytes(2, "big") == got[2:4]
        bare = browser.lay_bare()
        assert b"" == bare.recv(1)
        bare.close()

    await browse(made, act)


async def test_a_record_that_does_not_decrypt_ends_the_session(made: Town, caplog: pytest.LogCaptureFixture) -> None:
    """The browser gets an alert, the log OpenSSL's word for it, the VM nothing."""

    def act(browser: RawBrowser) -> None:
        bare = browser.lay_bare()
        bare.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        assert b"" != bare.recv(1000)
        with suppress(ConnectionError):
            assert b"" == bare.recv(1000)
        bare.close()

    await browse(made, act)
    reason, words = detail(caplog)
    assert "browser-lost" == reason
    assert words.startswith("TLS: ")
    assert b"" == bytes(made.vm.received)


async def test_a_large_chunk_with_the_end_right_behind_it_arrives_whole(made: Town) -> None:
    """Many records and a close_notify in one go: the VM gets every byte."""
    data = random.Random(2).randbytes(1_000_000)

    def act(browser: RawBrowser) -> None:
        for start in range(0, len(data), 100_000):
            browser.send(data[start : start + 100_000])
        browser.tls.unwrap().close()

    await browse(made, act)
    await made.vm.until(lambda: len(made.vm.received) == len(data))
    assert data == bytes(made.vm.received)


# --- towards the VM -------------------------------------------------------------------


def dial_by(made: Town, dial: Callable[[Target], Awaitable[ByteStream]]) -> None:
    """Reach the VM in another way."""
    carrier = made.carrier
    carrier.context = dataclasses.replace(carrier.context, dial=dial)


async def tls_dial(target: Target) -> ByteStream:
    """Reach the VM through TLS, verified."""
    return await TLSStream.connect(await tcp.connect(target.host, target.port), made_pair().client(), "localhost")


def tls_vm() -> FakeVM:
    """A VM behind TLS."""
    return FakeVM(tls=TLSContexts(made_pair().pair).context())


@pytest.mark.parametrize("open_town", [town, tls_town], ids=["plain", "tls"])
@pytest.mark.parametrize("size", [1, 16_384, 16_385, 65_536, 3_000_000])
async def test_a_vm_behind_tls_is_carried_exactly(open_town: OpenTown, size: int) -> None:
    """Whatever the browser's side is, bytes come out as they went in."""
    data = random.Random(size).randbytes(size)
    async with open_town(vm=tls_vm()) as made:
        dial_by(made, tls_dial)
        viewer = await made.view()
        await asyncio.gather(made.vm.send(data), viewer.websocket.send(data[:1_000_000]))
        assert data == await viewer.read(size)
        await made.vm.until(lambda: len(made.vm.received) >= min(size, 1_000_000))
        assert data[:1_000_000] == bytes(made.vm.received)
        made.vm.hang_up()
        assert 4456 == (await viewer.closed())[0]


async def test_a_vm_behind_tls_that_floods_is_held_up_by_a_slow_browser() -> None:
    """Ciphertext in, ciphertext out: what waits stays below 1 MiB, and all of it arrives."""
    async with tls_town(vm=tls_vm()) as made:
        dial_by(made, tls_dial)
        viewer = await made.view()
        viewer.websocket.transport.pause_reading()
        sent = 0
        with suppress(TimeoutError):
            while sent < 64 << 20:
                async with asyncio.timeout(1):
                    await made.vm.send(bytes(65536))
                sent += 65536
        assert sent < 64 << 20, "the VM was never stopped"
        outlet = (await relay_of(made)).browser.outlet
        assert 0 < outlet.transport.get_write_buffer_size() < 1 << 20
        viewer.websocket.transport.resume_reading()
        await viewer.read(sent)
        await viewer.close()


@pytest.mark.parametrize(("reset", "words"), [(False, "closed"), (True, "truncated")])
async def test_a_vm_behind_tls_parts_in_two_ways(caplog: pytest.LogCaptureFixture, reset: bool, words: str) -> None:  # noqa: FBT001
    """A VM that closes and one that is cut off are told apart; the browser sees the VM's end."""
    async with town(vm=tls_vm()) as made:
        dial_by(made, tls_dial)
        viewer = await made.view()
        made.vm.hang_up(reset=reset)
        assert 4456 == (await viewer.closed())[0]
        reason, told = detail(caplog)
        assert "vm-closed" == reason
        assert words in told or (reset and "reset" in told.lower())


async def test_a_vm_at_a_unix_socket_is_carried(tmp_path: Path) -> None:
    """A channel need not be TCP."""
    vm = FakeVM()
    data = random.Random(3).randbytes(200_000)
    async with town(vm=vm) as made:
        path = str(tmp_path / "vnc.sock")
        server = await asyncio.start_unix_server(vm._serve, path)  # noqa: SLF001

        async def dial(_: Target) -> ByteStream:
            sock = socket.socket(socket.AF_UNIX)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, path)
            return SocketStream(sock)

        dial_by(made, dial)
        viewer = await made.view()
        await asyncio.gather(vm.send(data), viewer.websocket.send(data))
        assert data == await viewer.read(len(data))
        await vm.until(lambda: bytes(vm.received) == data)
        await viewer.close()
        server.close()


async def test_bandwidth_limits_hold_through_tls() -> None:
    """A limited console through TLS on both sides keeps to its rate, and loses nothing."""
    data = random.Random(4).randbytes(100_000)
    async with tls_town(vm=tls_vm(), session_bandwidth=200_000) as made:
        dial_by(made, tls_dial)
        viewer = await made.view()
        started = asyncio.get_running_loop().time()
        await made.vm.send(data)
        assert data == await viewer.read(len(data))
        assert asyncio.get_running_loop().time() - started > 0.1
        await viewer.websocket.send(data)
        await made.vm.until(lambda: bytes(made.vm.received) == data)
        await viewer.close()

"""The door with TLS: who gets in, who is told what, pages, and certificates that change meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from consoleproxy.errors import ConfigError
from consoleproxy.net.tls import TLSContexts
from consoleproxy.proxy import certificate
from consoleproxy.proxy.app import addresses
from tests.helpers.tls import made_pair, tls_town
from tests.helpers.town import Town, town
from tests.helpers.viewer import Viewer

pytestmark = [pytest.mark.usefixtures("no_sockets_left_open"), pytest.mark.in_process]

PAGE = b"GET /console HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
async def made() -> AsyncIterator[Town]:
    """A proxy with a single port, and TLS on it."""
    async with tls_town() as running:
        yield running


async def talk(port: int, *pieces: bytes, tls: ssl.SSLContext | None = None, pause: float = 0) -> bytes:
    """Send ``pieces``, through ``tls`` where it is given, and return everything until the other side closes."""
    async with asyncio.timeout(10):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
        except ConnectionError:
            return b""
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


async def failures(made: Town, reason: str) -> float:
    """Return how many handshakes failed for ``reason``, once there is one."""
    name = "consoleproxy_tls_handshake_failures_total"
    await made.vm.until(lambda: made.metric(name, reason=reason) > 0)
    return made.metric(name, reason=reason)


async def see(port: int) -> str:
    """Return the fingerprint of what the port serves, as openssl sees it."""
    return await asyncio.get_running_loop().run_in_executor(None, _served, port)


def _served(port: int) -> str:
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost"],
        input=b"",
        capture_output=True,
        check=False,
        timeout=10,
    )
    shown = subprocess.run(["openssl", "x509", "-outform", "DER"], input=done.stdout, capture_output=True, check=True)
    return hashlib.sha256(shown.stdout).hexdigest()


# --- handshakes -----------------------------------------------------------------------


async def test_plain_http_is_told_what_the_port_speaks(made: Town) -> None:
    """Who forgets the s in https reads why, and no token of the request is logged."""
    answer = await talk(made.port, b"GET /console?token=secret HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.endswith(b"This port speaks https: write https:// in the address.\n")
    assert 1 == await failures(made, "plain-http")


@pytest.mark.parametrize(
    "pieces", [(), (b"\x16\x03\x01",), tuple(bytes([byte]) for byte in b"\x16\x03\x01\x02\x00\x01")]
)
async def test_a_handshake_that_does_not_come_is_ended_at_the_deadline(made: Town, pieces: tuple[bytes, ...]) -> None:
    """Silence, half a hello and a byte at a time all end after the request timeout, and are counted."""
    started = asyncio.get_running_loop().time()
    assert b"" == await talk(made.port, *pieces, pause=0.1)
    assert asyncio.get_running_loop().time() - started < 5
    assert 1 == await failures(made, "timeout")
    await made.vm.until(lambda: made.metric("consoleproxy_pending") == 0)


async def test_a_request_that_does_not_come_through_tls_is_ended_too(made: Town) -> None:
    """The head has its deadline after the handshake."""
    assert b"" == await talk(made.port, b"GET / HT", tls=made.tls)
    await made.vm.until(lambda: made.metric("consoleproxy_pending") == 0)


async def test_handshakes_are_counted_against_their_address() -> None:
    """With room for two, a third that wants to shake hands is turned away."""
    async with tls_town(max_pending_per_address=2, request_timeout=5) as made:
        waiting = [await asyncio.open_connection("127.0.0.1", made.port) for _ in range(2)]
        await made.vm.until(lambda: made.metric("consoleproxy_pending") == 2)
        assert b"" == await talk(made.port, PAGE)
        assert 1 == made.metric("consoleproxy_refused_connections")
        for _, writer in waiting:
            writer.close()
        assert 2 == await failures_of(made, "closed", 2)


async def failures_of(made: Town, reason: str, count: int) -> float:
    """Return how many handshakes failed for ``reason``, once there are ``count``."""
    name = "consoleproxy_tls_handshake_failures_total"
    await made.vm.until(lambda: made.metric(name, reason=reason) >= count)
    return made.metric(name, reason=reason)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_failures_are_told_at_debug_only(made: Town, caplog: pytest.LogCaptureFixture) -> None:
    """An old client, one that distrusts us and one that speaks rubbish are counted by reason, and not logged."""
    caplog.set_level(logging.INFO)
    old = made_pair().client(ssl.TLSVersion.TLSv1_1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    foreign = made_pair(domain="second.test").client(ssl.TLSVersion.TLSv1_2)

    def knock(context: ssl.SSLContext) -> None:
        with socket.create_connection(("127.0.0.1", made.port), timeout=5) as plain, pytest.raises(ssl.SSLError):
            context.wrap_socket(plain, server_hostname="localhost")

    for context, reason in ((old, "version"), (foreign, "alert")):
        await asyncio.get_running_loop().run_in_executor(None, knock, context)
        assert 1 == await failures(made, reason)
    assert b"" == await talk(made.port, bytes(200))
    assert 1 == await failures(made, "protocol")
    assert "" == caplog.text


@pytest.mark.parametrize("option", ["-tls1_2", "-tls1_3"])
async def test_openssl_gets_the_page(made: Town, option: str) -> None:
    """The command line's client verifies us and reads the whole answer."""
    command = ("openssl", "s_client", "-connect", f"127.0.0.1:{made.port}", "-quiet", "-ign_eof", option)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(10):
        out, _ = await process.communicate(PAGE)
    assert out.startswith(b"HTTP/1.1 200 OK")
    assert out.rstrip().endswith(b"</html>")


@pytest.mark.parametrize(("option", "command"), [("-tls1_2", b"R\n"), ("-tls1_3", b"K\n"), ("-tls1_3", b"k\n")])
async def test_renegotiation_is_refused_and_new_keys_are_taken(made: Town, option: str, command: bytes) -> None:
    """``R`` renegotiates: refused. ``K`` and ``k`` change keys of TLS 1.3: the request after it is answered."""
    process = await asyncio.create_subprocess_exec(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{made.port}", option),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(10):
        await process.stdout.readuntil(b"Verify return code")
        process.stdin.write(command)
        await asyncio.sleep(0.1)
        if command != b"R\n":
            process.stdin.write(PAGE)
        out = await process.stdout.read()
        await process.wait()
    if command == b"R\n":
        assert b"no renegotiation" in out
    else:
        assert b"KEYUPDATE" in out
        assert b"HTTP/1.1 200 OK" in out
    assert (await talk(made.port, PAGE, tls=made.tls)).startswith(b"HTTP/1.1 200")


# --- pages ----------------------------------------------------------------------------


async def test_pages_and_consoles_share_a_port(made: Town) -> None:
    """The page, its files and noVNC's come through TLS, and the connection closes after each."""
    base = f"https://127.0.0.1:{made.port}"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=made.tls or False)) as client:
        for path, kind in (
            ("/console", "text/html"),
            ("/static/console.js", "text/javascript"),
            ("/static/novnc/core/rfb.js", "text/javascript"),
            ("/readyz", "text/plain"),
        ):
            async with client.get(base + path) as answer:
                assert (answer.status, answer.content_type) == (200, kind)
                assert "close" == answer.headers["Connection"]
                assert await answer.read()
    viewer = await made.view()
    await viewer.close()


async def test_an_answer_ends_with_close_notify(made: Town) -> None:
    """A client that insists on a proper end of TLS is content."""

    def ask() -> bytes:
        context = made.tls
        assert context is not None
        with socket.create_connection(("127.0.0.1", made.port), timeout=5) as plain:
            secure = context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)
            secure.sendall(PAGE)
            got = b""
            while data := secure.recv(65536):
                got += data
            secure.close()
            return got

    assert (await asyncio.get_running_loop().run_in_executor(None, ask)).startswith(b"HTTP/1.1 200")


async def test_a_kept_connection_answers_many_requests() -> None:
    """On a page port of its own a connection is kept, and pipelined requests are answered in order."""
    async with tls_town(single_port=None, page_port=0, websocket_port=0) as made:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.proxy.ports[0], ssl=made.tls)
        writer.write(b"GET /static/novnc/core/rfb.js HTTP/1.1\r\nHost: x\r\n\r\n" * 5)
        for _ in range(5):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            assert size > 50_000
            assert len(await reader.readexactly(size)) == size
        writer.close()
        await made.vm.until(lambda: made.metric("consoleproxy_pending") == 0)


async def test_a_client_that_does_not_read_its_page_is_held_and_let_go() -> None:
    """Answers nobody reads fill the kernel's buffers and a bounded piece of ours; its place is given back."""
    async with tls_town(single_port=None, page_port=0, websocket_port=0) as made:
        _, writer = await asyncio.open_connection("127.0.0.1", made.proxy.ports[0], ssl=made.tls, limit=1024)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /static/novnc/core/rfb.js HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
        await asyncio.sleep(0.3)
        assert 1 == made.metric("consoleproxy_pending")
        writer.transport.abort()
        await made.vm.until(lambda: made.metric("consoleproxy_pending") == 0)


@pytest.mark.parametrize("is_shared", [True, False])
async def test_pipelined_requests_cost_no_memory(is_shared: bool) -> None:  # noqa: FBT001
    """Requests piled up behind a page request are cut off through TLS as well."""
    async with tls_town(single_port=0 if is_shared else None, page_port=0, websocket_port=0) as made:
        request = b"GET /console HTTP/1.1\r\nHost: x\r\n\r\n"
        _, writer = await asyncio.open_connection("127.0.0.1", made.proxy.ports[0], ssl=made.tls)
        with suppress(ConnectionError, TimeoutError):
            for _ in range(200):
                writer.write(request * 500)
                await asyncio.wait_for(writer.drain(), 1)
        writer.transport.abort()
        await made.vm.until(lambda: made.metric("consoleproxy_pending") == 0)


async def test_separate_ports_serve_their_part_only() -> None:
    """The page port opens no console, and the websocket port shows no page; both speak TLS."""
    async with tls_town(single_port=None, page_port=0, websocket_port=0) as made:
        page_port, websocket_port = made.proxy.ports
        page = PAGE.replace(b"Host: x", b"Host: x\r\nConnection: close")
        assert (await talk(page_port, page, tls=made.tls)).startswith(b"HTTP/1.1 200")
        assert (await talk(websocket_port, page, tls=made.tls)).startswith(b"HTTP/1.1 404")
        for port in (page_port, websocket_port):
            assert (await talk(port, page)).startswith(b"HTTP/1.1 400")
        with pytest.raises(Exception, match="rejected WebSocket connection: HTTP 404"):
            await Viewer.open(page_port, made.token(), tls=made.tls)
        viewer = await Viewer.open(websocket_port, made.token(), tls=made.tls)
        await viewer.enter()
        await viewer.close()


# --- the certificate ------------------------------------------------------------------


async def test_addresses_and_metrics_say_that_it_is_tls(made: Town) -> None:
    """Scripts, the manager and operators are told the truth."""
    told = addresses(made.proxy, "p")
    assert str(told["http_url"]).startswith("https://")
    assert str(told["websocket_url"]).startswith("wss://")
    assert made.proxy.control.describe().is_tls
    assert 0 == made.metric("consoleproxy_plaintext_listeners")
    assert made.metric("consoleproxy_tls_not_after_seconds") > 1_700_000_000


def test_half_a_pair_is_refused_at_the_start(tmp_path: Path) -> None:
    """A certificate without a key, and files that are none, are errors in words before any port is open."""
    chain, _ = made_pair().write(tmp_path)
    (tmp_path / "x").write_text("hello")
    for key, words in (("", "belong together"), (chain, "not a private key"), (str(tmp_path / "y"), "cannot read")):
        with pytest.raises(ConfigError, match=words):
            certificate.Certificate(chain, key, CollectorRegistry(), lambda: None)


async def test_changed_files_are_served_without_being_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both files replaced: soon the new pair is served. One of them broken: told, counted, the old one stays."""
    monkeypatch.setattr(certificate, "LOOK_EVERY", 0.05)
    first, second = made_pair(), made_pair(domain="second.test")
    chain, key = first.write(tmp_path)
    async with town(tls_cert=chain, tls_key=key) as made:
        current = made.proxy.certificate
        assert current is not None
        second.write(tmp_path)
        await made.vm.until(lambda: current.contexts.current.number == 2)
        made.tls = second.client()
        viewer = await made.view()
        Path(key).write_text("broken")
        failed = "consoleproxy_tls_reload_failures_total"
        await made.vm.until(lambda: made.metric(failed) == 1)
        assert 2 == current.contexts.current.number
        assert current.contexts.current.fingerprint == await see(made.port)
        shutil.rmtree(tmp_path)
        await made.vm.until(lambda: made.metric(failed) == 2)
        tmp_path.mkdir()
        first.write(tmp_path)
        await made.vm.until(lambda: current.contexts.current.number == 3)
        await made.vm.send(b"still here")
        assert b"still here" == await viewer.read(10)
        await viewer.close()


async def test_a_pair_in_the_middle_of_its_change_is_no_alarm(tmp_path: Path) -> None:
    """A chain that has changed while its key has not yet is waited for, not complained about."""
    first, second = made_pair(), made_pair(domain="second.test")
    chain, key = first.write(tmp_path)
    async with town(tls_cert=chain, tls_key=key) as made:
        current = made.proxy.certificate
        assert current is not None
        Path(chain).write_bytes(second.pair.chain)
        current._look()  # noqa: SLF001 - the clock's turn
        Path(key).write_bytes(second.pair.key)
        os.utime(key)
        current._look()  # noqa: SLF001
        assert 1 == current.contexts.current.number
        current._look()  # noqa: SLF001
        assert 2 == current.contexts.current.number
        assert 0 == made.metric("consoleproxy_tls_reload_failures_total")


async def test_twenty_swaps_under_streaming_sessions_are_not_noticed(tmp_path: Path) -> None:
    """A hundred sessions stream while the pair changes twenty times, twice to a broken one; openssl sees the right."""
    first, second = made_pair(), made_pair(domain="second.test")
    chain, key = first.write(tmp_path)
    async with town(tls_cert=chain, tls_key=key, max_pending_per_address=200) as made:
        current = made.proxy.certificate
        assert current is not None
        made.tls = first.client()
        viewers = []
        for number in range(100):
            made.add_vm(made.vm, vm_id=f"vm-{number}")
            viewer = await Viewer.open(made.port, made.token(vm_id=f"vm-{number}"), tls=made.tls)
            await viewer.enter()
            viewers.append(viewer)
        writers = list(made.vm._writers)  # noqa: SLF001
        is_over = False

        async def stream() -> int:
            sent = 0
            while not is_over:
                for writer in writers:
                    writer.write(bytes(1000))
                sent += 1000
                await asyncio.sleep(0.005)
            return sent

        streaming = asyncio.get_running_loop().create_task(stream())
        expected = first
        for number in range(20):
            is_broken = number in (7, 13)
            wanted = expected if is_broken else (second if expected is first else first)
            wanted.write(tmp_path)
            if is_broken:
                Path(key).write_bytes(made_pair(use_rsa=True).pair.key)
            assert current.reload() is not is_broken
            expected = wanted
            assert TLSContexts(expected.pair).current.fingerprint == await see(made.port)
        is_over = True
        sent = await streaming
        for viewer in viewers:
            assert bytes(sent) == await viewer.read(sent)
        assert 2 == made.metric("consoleproxy_tls_reload_failures_total")
        assert 100 == made.metric("consoleproxy_sessions")
        await asyncio.gather(*(viewer.close() for viewer in viewers))

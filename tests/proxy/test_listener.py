"""The door: deadlines, caps, and who gets which request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import quote

import aiohttp
import pytest

from consoleproxy.proxy.listener import Admission
from consoleproxy.proxy.request import HEAD_LIMIT
from tests.helpers.town import Town, town
from tests.helpers.viewer import Viewer

pytestmark = pytest.mark.usefixtures("no_sockets_left_open")


@pytest.fixture
async def made() -> AsyncIterator[Town]:
    """A proxy with a single port."""
    async with town() as running:
        yield running


async def talk(port: int, *pieces: bytes, pause: float = 0) -> bytes:
    """Send ``pieces`` and return everything that comes until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(10):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_pages_and_consoles_share_a_port(made: Town) -> None:
    """The page, its files and noVNC's come from aiohttp, and the connection closes after each."""
    base = f"http://127.0.0.1:{made.port}"
    async with aiohttp.ClientSession() as client:
        for path, kind in (
            ("/resource/noVNC/vnc.html?autoconnect=true&port=1&token=x", "text/html"),
            ("/console", "text/html"),
            ("/static/console.js", "text/javascript"),
            ("/static/novnc/core/rfb.js", "text/javascript"),
            ("/readyz", "text/plain"),
        ):
            async with client.get(base + path) as answer:
                assert (answer.status, answer.content_type) == (200, kind)
                assert "close" == answer.headers["Connection"]
        async with client.get(base + "/static/console.js") as answer:
            etag = answer.headers["ETag"]
            assert "frame-ancestors" in answer.headers["Content-Security-Policy"]
        async with client.get(base + "/static/console.js", headers={"If-None-Match": etag}) as answer:
            assert 304 == answer.status


@pytest.mark.parametrize(
    "path",
    ["/", "/nothing", "/static/../pyproject.toml", "/static/%2e%2e/pyproject.toml", "/static/package.json", "/metrics"],
)
async def test_nothing_else_is_served(made: Town, path: str) -> None:
    """Unknown paths, other files and the operators' pages are not found on a public port."""
    answer = await talk(made.port, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404")


async def test_separate_ports_serve_their_part_only() -> None:
    """The page port opens no console, and the websocket port shows no page."""
    async with town(single_port=None, page_port=0, websocket_port=0) as made:
        page_port, websocket_port = made.proxy.ports
        page = b"GET /console HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert (await talk(page_port, page)).startswith(b"HTTP/1.1 200")
        assert (await talk(websocket_port, page)).startswith(b"HTTP/1.1 404")
        ready = page.replace(b"/console", b"/readyz")
        assert (await talk(websocket_port, ready)).startswith(b"HTTP/1.1 200")
        with pytest.raises(Exception, match="rejected WebSocket connection: HTTP 404"):
            await Viewer.open(page_port, made.token())
        viewer = await Viewer.open(websocket_port, made.token())
        await viewer.enter()
        await viewer.close()


@pytest.mark.in_process
@pytest.mark.parametrize("pieces", [(), (b"GET / HT",), (b"G", b"E", b"T", b" ", b"/", b" ", b"H", b"T", b"T")])
async def test_a_request_that_does_not_come_is_ended_at_the_deadline(made: Town, pieces: tuple[bytes, ...]) -> None:
    """Silence, half a head and a byte at a time all end after the request timeout."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert b"" == await talk(made.port, *pieces, pause=0.1)
    assert loop.time() - started < 5
    assert 0 == len(made.carrier.admission)


async def test_a_head_without_end_is_refused(made: Town) -> None:
    """A head over the limit is told so and costs no more memory."""
    answer = await talk(made.port, b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * (HEAD_LIMIT * 2))
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /websockify HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"POST /websockify HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n",
        b"\r\nUpgrade: websocket\r\n\r\n",
        (
            b"GET /websockify HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 7\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        ),
    ],
    ids=["no key", "post", "no request line", "old version"],
)
async def test_a_broken_upgrade_gets_a_refusal(made: Town, head: bytes) -> None:
    """What is no websocket handshake is answered with a 4xx and closed."""
    answer = await talk(made.port, head)
    assert answer.startswith(b"HTTP/1.1 4"), answer
    assert made.metric("consoleproxy_sessions") == 0


async def test_a_broken_upgrade_with_a_good_token_opens_nothing(made: Town) -> None:
    """A handshake that is refused consumes no session, replaces no viewer and dials no VM."""
    token = made.token()
    head = f"GET /websockify?token={quote(token, safe='')} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    for rest in ("Connection: Upgrade\r\n\r\n", "Connection: close\r\n\r\n", "Sec-WebSocket-Version: 99\r\n\r\n"):
        assert (await talk(made.port, (head + rest).encode())).startswith(b"HTTP/1.1 4")
    assert 0 == made.vm.connects
    viewer = await Viewer.open(made.port, token)
    await viewer.enter()
    await viewer.close()


@pytest.mark.in_process
async def test_a_page_connection_is_counted_until_it_closes() -> None:
    """Who asks for pages and does not go away fills his own places, not ours."""
    async with town(single_port=None, page_port=0, websocket_port=0, max_pending_per_address=2) as made:
        port = made.proxy.ports[0]
        kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for reader, writer in kept:
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"ready\n")
        assert 2 == made.metric("consoleproxy_pending")
        assert b"" == await talk(port)
        for _, writer in kept:
            writer.close()
        await made.vm.until(lambda: made.metric("consoleproxy_pending") == 0)


@pytest.mark.in_process
@pytest.mark.parametrize("is_shared", [True, False])
async def test_pipelined_requests_cost_no_memory(is_shared: bool) -> None:  # noqa: FBT001
    """Requests piled up behind a page request are cut off, and nothing of them stays."""
    async with town(single_port=0 if is_shared else None, page_port=0, websocket_port=0) as made:
        before = made.metric("consoleproxy_pending")
        request = b"GET /console HTTP/1.1\r\nHost: x\r\n\r\n"
        _, writer = await asyncio.open_connection("127.0.0.1", made.proxy.ports[0])
        with suppress(ConnectionError):
            for _ in range(200):
                writer.write(request * 500)
                await asyncio.wait_for(writer.drain(), 1)
        writer.transport.abort()
        await made.vm.until(lambda: made.metric("consoleproxy_pending") == before)


async def test_only_get_is_answered(made: Town) -> None:
    """A body that never ends is not waited for."""
    answer = await talk(made.port, b"POST /console HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405")
    assert (await talk(made.port, b"\r\n\r\nGET /console HTTP/1.1\r\nX: ")).startswith(b"HTTP/1.1 400")


@pytest.mark.in_process
async def test_an_address_over_its_cap_is_turned_away() -> None:
    """With room for two, a third waiting connection is closed at once, and the first two live on."""
    async with town(max_pending_per_address=2, request_timeout=5) as made:
        waiting = [await asyncio.open_connection("127.0.0.1", made.port) for _ in range(2)]
        await made.vm.until(lambda: len(made.carrier.admission) == 2)
        assert b"" == await talk(made.port)
        assert made.metric("consoleproxy_refused_connections") == 1
        for reader, writer in waiting:
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
            writer.close()


def test_an_ipv6_network_counts_as_one() -> None:
    """Who has one address of a /64 has them all."""
    admission = Admission(most=10, most_per_address=2)
    addresses = ("2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1", "::ffff:192.0.2.1", "::ffff:192.0.2.2")
    assert [True, True, False, True, True, True] == [admission.enter(address) for address in addresses]


def test_admission_counts_in_all_and_for_each_address() -> None:
    """A place that is given back is free again, and nothing is kept of who has gone."""
    admission = Admission(most=3, most_per_address=2)
    assert [True, True, False, True, False] == [admission.enter(who) for who in ("a", "a", "a", "b", "b")]
    admission.leave("a")
    assert admission.enter("b")
    for who in ("a", "b", "b"):
        admission.leave(who)
    assert (0, {}) == (len(admission), dict(admission._by_address))  # noqa: SLF001


async def test_the_operators_port_shows_metrics_and_health() -> None:
    """``/metrics`` names the sessions, ``/readyz?verbose`` the parts, and a draining proxy is not ready."""
    async with town() as made, aiohttp.ClientSession() as client:
        base = f"http://127.0.0.1:{made.proxy.ops_port}"
        viewer = await made.view()
        async with client.get(base + "/metrics") as answer:
            assert "consoleproxy_sessions 1.0" in await answer.text()
        async with client.get(base + "/livez") as answer:
            assert 200 == answer.status
        async with client.get(base + "/readyz?verbose") as answer:
            assert "sessions: 1 of" in await answer.text()
        await viewer.close()
        await made.proxy.drain(1)
        async with client.get(base + "/readyz") as answer:
            assert (503, "not ready\n") == (answer.status, await answer.text())

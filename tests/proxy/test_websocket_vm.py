"""A VM behind a websocket, played by a server of the websockets library, which is strict about its clients."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import random
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from consoleproxy.access.token import decode, encode
from consoleproxy.messages import Target
from consoleproxy.net.stream import ByteStream, SocketStream
from consoleproxy.net.tls import TLSContexts
from consoleproxy.net.tls_stream import TLSStream
from consoleproxy.net.websocket import WebSocketClientStream
from tests.helpers.fake_vm import FakeVM
from tests.helpers.tls import made_pair
from tests.helpers.town import Town, town
from tests.helpers.viewer import Viewer

pytestmark = [pytest.mark.usefixtures("no_sockets_left_open"), pytest.mark.in_process]

KEY = bytes.fromhex("0401000000000061")
UPDATE_REQUEST = bytes.fromhex("03010000000000400030")


async def pump(connection: ServerConnection, port: int) -> None:
    """Carry bytes between a websocket and the fake VM's port, in messages of awkward sizes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def out() -> None:
        sizes = random.Random(5)
        while data := await reader.read(sizes.choice([1, 7, 125, 126, 70_000])):
            await connection.send(data)
        await connection.close(1000)

    async def back() -> None:
        async for message in connection:
            assert isinstance(message, bytes)
            writer.write(message)
            await writer.drain()

    sending = asyncio.get_running_loop().create_task(out())
    try:
        await back()
    except ConnectionClosed:
        pass
    finally:
        writer.close()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def open_websocket(stream: Any) -> WebSocketClientStream:  # noqa: ANN401 - a stream, plain or TLS
    """Go through the opening handshake."""
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    await stream.write(
        b"GET / HTTP/1.1\r\nHost: vm\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: binary\r\nSec-WebSocket-Key: " + key.encode() + b"\r\n\r\n"
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += await stream.read(1)
    assert head.startswith(b"HTTP/1.1 101")
    return WebSocketClientStream(stream)


@asynccontextmanager
async def websocket_town(way: str, **changes: object) -> AsyncIterator[tuple[Town, list[ServerConnection]]]:
    """Run a town whose VM is reached by ``ws`` or ``wss``, and the list of the server's connections."""
    pair = made_pair()
    connections: list[ServerConnection] = []

    async def handle(connection: ServerConnection) -> None:
        connections.append(connection)
        await pump(connection, made.vm.port)

    async with town(vm=FakeVM(), **changes) as made:  # type: ignore[arg-type]  # the dataclass checks it
        tls = TLSContexts(pair.pair).context() if way == "wss" else None
        async with serve(handle, "127.0.0.1", 0, ssl=tls, subprotocols=["binary"], compression=None) as server:  # type: ignore[list-item]
            port = next(iter(server.sockets)).getsockname()[1]

            async def dial(_: Target) -> ByteStream:
                sock = socket.socket()
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
                stream = SocketStream(sock)
                if way == "wss":
                    return await open_websocket(await TLSStream.connect(stream, pair.client(), "localhost"))
                return await open_websocket(stream)

            made.carrier.context = dataclasses.replace(made.carrier.context, dial=dial)
            yield made, connections


@pytest.mark.parametrize("way", ["ws", "wss"])
@pytest.mark.parametrize("limit", [0, 50_000_000], ids=["free", "limited"])
async def test_bytes_arrive_exactly_in_both_directions(way: str, limit: int) -> None:
    """Random bytes pass a VM's websocket as they are, whatever messages they came in; pings are answered."""
    data = random.Random(6).randbytes(300_000)
    async with websocket_town(way, session_bandwidth=limit) as (made, connections):
        viewer = await made.view()
        pong = await connections[0].ping()
        await asyncio.gather(made.vm.send(data), viewer.websocket.send(data))
        assert data == await viewer.read(len(data))
        await made.vm.until(lambda: bytes(made.vm.received) == data)
        async with asyncio.timeout(5):
            await pong
        await viewer.close()
        async with asyncio.timeout(5):
            await connections[0].wait_closed()
        assert 1001 == connections[0].close_code


async def test_a_vm_that_closes_its_websocket_ends_the_session() -> None:
    """The browser hears of the VM's end, and nothing is left of it."""
    async with websocket_town("ws") as (made, connections):
        viewer = await made.view()
        await connections[0].close(1000)
        assert 4456 == (await viewer.closed())[0]
        await made.vm.until(lambda: not len(made.proxy))


async def test_text_from_a_vm_is_a_breach() -> None:
    """RFB has no text: the session ends with the VM's fault."""
    async with websocket_town("ws") as (made, connections):
        viewer = await made.view()
        await connections[0].send("hello")
        assert 4455 == (await viewer.closed())[0]


async def test_a_mere_viewer_types_nothing_into_it() -> None:
    """View-only is enforced as for any VM, since RFB is terminated here."""
    async with websocket_town("ws") as (made, _):
        keys = made.proxy.keys
        assert keys is not None
        token = encode({**decode(made.token(), keys), "viewOnly": True}, keys.current, secrets.token_bytes(12))
        viewer = await Viewer.open(made.port, token)
        await viewer.enter()
        await viewer.websocket.send(KEY + UPDATE_REQUEST)
        await made.vm.until(lambda: bool(made.vm.received))
        assert UPDATE_REQUEST == bytes(made.vm.received)
        await viewer.close()


async def test_a_slow_browser_holds_up_the_vm_behind_its_websocket() -> None:
    """What waits in this process stays below 1 MiB."""
    async with websocket_town("ws") as (made, _):
        viewer = await made.view()
        viewer.websocket.transport.pause_reading()
        sent = 0
        try:
            while sent < 64 << 20:
                async with asyncio.timeout(1):
                    await made.vm.send(bytes(65536))
                sent += 65536
        except TimeoutError:
            pass
        assert sent < 64 << 20, "the VM was never stopped"
        (console,) = made.carrier.carried._consoles.values()  # noqa: SLF001
        relay: Any = console._relay  # type: ignore[attr-defined]  # noqa: SLF001
        assert 0 < relay.browser.outlet.transport.get_write_buffer_size() < 1 << 20
        viewer.reset()

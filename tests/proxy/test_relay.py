"""The hot path over real sockets: exact bytes, bounded memory, RFC 6455 to the letter."""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, cast
from unittest.mock import patch
from urllib.parse import quote

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from consoleproxy.access.token import decode, encode
from consoleproxy.proxy.browser_end import BrowserEnd
from consoleproxy.proxy.pace import FLOOD_READ
from tests.helpers.fake_vm import FakeVM
from tests.helpers.tls import tls_town
from tests.helpers.town import Town, town
from tests.helpers.viewer import CHANNEL, Viewer

pytestmark = pytest.mark.usefixtures("no_sockets_left_open")

KEY = struct.pack(">BBxxI", 4, 1, ord("a"))
POINTER = struct.pack(">BBHH", 5, 0, 10, 20)
UPDATE_REQUEST = struct.pack(">BBHHHH", 3, 1, 0, 0, 64, 48)
CUT_TEXT = struct.pack(">BxxxI", 6, 5) + b"paste"


OpenTown = Callable[..., AbstractAsyncContextManager[Town]]


@pytest.fixture(params=[town, tls_town], ids=["plain", "tls"])
def open_town(request: pytest.FixtureRequest) -> OpenTown:
    """Whatever holds for bytes holds in clear and through TLS."""
    return cast("OpenTown", request.param)


@pytest.fixture
async def made(open_town: OpenTown) -> AsyncIterator[Town]:
    """A proxy with a sane VM."""
    async with open_town() as running:
        yield running


async def send_raw(viewer: Viewer, *frames: Frame) -> None:
    """Send frames as they are, masked."""
    viewer.websocket.transport.write(b"".join(frame.serialize(mask=True) for frame in frames))


async def relay_of(made: Town) -> Any:  # noqa: ANN401 - an inner part, looked at through two doors
    """Return the relay of the one session, once it has both its ends."""
    (console,) = made.carrier.carried._consoles.values()  # noqa: SLF001
    relay = console._relay  # type: ignore[attr-defined]  # noqa: SLF001
    await made.vm.until(lambda: relay.browser.outlet is not None)
    return relay


async def push(send: Callable[[bytes], Awaitable[None]]) -> int:
    """Send until the other side has stopped reading for a second; return how many bytes went."""
    sent = 0
    with suppress(TimeoutError):
        while True:
            async with asyncio.timeout(1):
                await send(bytes(65536))
            sent += 65536
    return sent


@pytest.mark.parametrize("size", [1, 125, 126, 127, 65535, 65536, 1_000_000])
async def test_bytes_arrive_exactly_in_both_directions(made: Town, size: int) -> None:
    """Random bytes of every awkward length come out as they went in."""
    data = random.Random(size).randbytes(size)
    viewer = await made.view()
    await made.vm.send(data)
    assert hashlib.sha256(await viewer.read(size)).digest() == hashlib.sha256(data).digest()
    await viewer.websocket.send(data)
    await made.vm.until(lambda: len(made.vm.received) >= size)
    assert bytes(made.vm.received) == data
    await viewer.close()


async def test_fragments_and_pings_between_them_do_not_disturb_the_bytes(made: Town) -> None:
    """A fragmented message is passed on as it comes; a ping in the middle is answered."""
    viewer = await made.view()
    await send_raw(viewer, Frame(Opcode.BINARY, KEY[:3], fin=False))
    pong = await viewer.websocket.ping()
    await send_raw(viewer, Frame(Opcode.CONT, KEY[3:]))
    await pong
    await made.vm.until(lambda: len(made.vm.received) == len(KEY))
    assert bytes(made.vm.received) == KEY
    await viewer.close()


async def test_a_frame_in_single_bytes_arrives(made: Town) -> None:
    """A browser's frame may come a byte at a time."""
    viewer = await made.view()
    for byte in Frame(Opcode.BINARY, KEY).serialize(mask=True):
        viewer.websocket.transport.write(bytes([byte]))
        await asyncio.sleep(0)
    await made.vm.until(lambda: len(made.vm.received) == len(KEY))
    assert bytes(made.vm.received) == KEY
    await viewer.close()


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (Frame(Opcode.BINARY, KEY).serialize(mask=False), 1002),
        (b"\xc2\x80\0\0\0\0", 1002),
        (b"\x83\x80\0\0\0\0", 1002),
        (Frame(Opcode.CONT, KEY).serialize(mask=True), 1002),
        (Frame(Opcode.TEXT, b"{}").serialize(mask=True), 1003),
        (struct.pack(">BBQ", 0x82, 0xFF, 1 << 20 | 1), 1009),
    ],
    ids=["unmasked", "rsv", "opcode", "stray continuation", "text", "too big"],
)
async def test_a_breach_of_the_protocol_is_closed_with_its_code(made: Town, raw: bytes, code: int) -> None:
    """Each breach ends the session with the code of RFC 6455, and the VM's connection with it."""
    viewer = await made.view()
    viewer.websocket.transport.write(raw)
    assert (await viewer.closed())[0] == code
    await made.vm.until(lambda: made.vm.open_connections == 0)
    assert bytes(made.vm.received) == b""


async def test_text_on_the_page_channel_does_not_reach_the_vm(made: Town) -> None:
    """A page may send events; what nobody knows is ignored, and RFB goes on."""
    viewer = await made.view(subprotocols=(CHANNEL,))
    await viewer.websocket.send('{"event": "of tomorrow"}')
    await viewer.websocket.send(KEY)
    await made.vm.until(lambda: bool(made.vm.received))
    assert bytes(made.vm.received) == KEY
    await viewer.close()


@pytest.mark.in_process
async def test_a_browser_that_does_not_read_costs_little_memory(made: Town) -> None:
    """The VM is stopped instead: what waits in this process stays below 1 MiB."""
    viewer = await made.view()
    viewer.websocket.transport.pause_reading()
    transport = (await relay_of(made)).browser.outlet.transport
    sent = await push(made.vm.send)
    assert 0 < transport.get_write_buffer_size() < 1 << 20
    assert sent < 64 << 20, "the VM was never stopped"
    viewer.websocket.transport.resume_reading()
    await viewer.read(sent)
    await viewer.close()


@pytest.mark.in_process
async def test_a_vm_that_does_not_read_stops_the_browser(open_town: OpenTown) -> None:
    """The other way round as well: the browser's sending waits, and memory stays bounded."""
    async with open_town(vm=FakeVM(reads=False), close_timeout=0.2) as made:
        viewer = await made.view()
        transport = (await relay_of(made)).vm.outlet.transport
        sent = await push(viewer.websocket.send)
        assert 0 < transport.get_write_buffer_size() < 1 << 20
        assert sent < 64 << 20, "the browser was never stopped"
        viewer.reset()


@pytest.mark.in_process
@pytest.mark.parametrize("who", ["vm", "browser"])
async def test_a_peer_that_never_reads_again_is_given_up(open_town: OpenTown, who: str) -> None:
    """While one side is stuck the other is not even heard leaving: after the stall timeout the session ends."""
    async with open_town(vm=FakeVM(reads=who != "vm"), stall_timeout=0.2) as made:
        viewer = await made.view()
        transport = (await relay_of(made)).browser.outlet.transport
        if who == "browser":
            viewer.websocket.transport.pause_reading()
        with suppress(ConnectionClosed, OSError):
            await push(made.vm.send if who == "browser" else viewer.websocket.send)
        viewer.reset()
        await made.vm.until(transport.is_closing)
        reason = "vm-timeout" if who == "vm" else "browser-lost"
        await made.proxy.crew.refresh()
        assert made.metric("consoleproxy_consoles_ended_total", reason=reason, phase="relay") == 1


@pytest.mark.in_process
async def test_pings_without_reading_do_not_fill_the_memory(made: Town) -> None:
    """A browser that pings and never reads its pongs is not owed them."""
    viewer = await made.view()
    viewer.websocket.transport.pause_reading()
    transport = (await relay_of(made)).browser.outlet.transport
    pings = Frame(Opcode.PING, bytes(125)).serialize(mask=True) * 1000
    for _ in range(200):
        viewer.websocket.transport.write(pings)
    await viewer.websocket.send(KEY)
    await made.vm.until(lambda: bool(made.vm.received))
    assert transport.get_write_buffer_size() < 1 << 20
    viewer.reset()


async def test_a_view_only_session_passes_no_input(made: Town) -> None:
    """Keys, pointer and clipboard stop at the proxy; asking for pictures goes on."""
    keys = made.proxy.keys
    assert keys is not None
    token = encode({**decode(made.token(), keys), "viewOnly": True}, keys.current, secrets.token_bytes(12))
    viewer = await Viewer.open(made.port, token, tls=made.tls)
    await viewer.enter()
    await viewer.websocket.send(KEY + POINTER)
    await viewer.websocket.send(CUT_TEXT)
    await viewer.websocket.send(UPDATE_REQUEST)
    await made.vm.until(lambda: bool(made.vm.received))
    assert bytes(made.vm.received) == UPDATE_REQUEST
    await viewer.websocket.send(b"\x63 what is this")
    assert (await viewer.closed())[0] == 1002


async def test_bytes_sent_along_with_the_handshake_are_not_lost(made: Town) -> None:
    """A client may send its first messages before it has read ServerInit."""
    viewer = await Viewer.open(made.port, made.token(), tls=made.tls)
    await viewer.read(12)
    await viewer.websocket.send(b"RFB 003.008\n\x01\x01" + KEY + UPDATE_REQUEST)
    await made.vm.until(lambda: len(made.vm.received) == len(KEY + UPDATE_REQUEST))
    assert bytes(made.vm.received) == KEY + UPDATE_REQUEST
    await viewer.close()


async def test_bytes_that_the_vm_sends_along_with_server_init_are_not_lost(open_town: OpenTown) -> None:
    """A VM may speak before it is asked."""

    async def eager(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await vm.handshake(reader, writer)
        writer.write(b"\x02" * 3)
        await writer.drain()
        await reader.read()

    vm = FakeVM(talk=eager)
    async with open_town(vm=vm) as made:
        viewer = await made.view()
        assert await viewer.read(3) == b"\x02" * 3
        await viewer.close()


FLOODS = {
    "empty fragments": Frame(Opcode.BINARY, b"", fin=False).serialize(mask=True)
    + Frame(Opcode.CONT, b"", fin=False).serialize(mask=True) * 20_000,
    "pings": Frame(Opcode.PING, b"").serialize(mask=True) * 20_000,
    "tiny frames": Frame(Opcode.BINARY, b"\xff").serialize(mask=True) * 20_000,
    "after a breach": b"\xff" * 200_000,
}


@pytest.mark.in_process
@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
async def test_a_flood_of_tiny_frames_is_taken_in_small_portions(made: Town, flood: bytes) -> None:
    """However much a browser sends, one turn of the loop takes a few kilobytes of it."""
    viewer = await made.view()
    browser = (await relay_of(made)).browser
    for _ in range(5):
        viewer.websocket.transport.write(flood)
    await made.vm.until(lambda: len(browser.get_buffer(0)) == FLOOD_READ)
    portions: list[int] = []
    read = type(browser).buffer_updated
    turns = 0

    def count(end: BrowserEnd, nbytes: int) -> None:
        portions.append(nbytes)
        read(end, nbytes)

    with patch.object(type(browser), "buffer_updated", count):
        while turns < 20:
            before = len(portions)
            await asyncio.sleep(0)
            turns += 1
            assert len(portions) - before <= 2
    assert max(portions, default=0) <= FLOOD_READ
    viewer.reset()


async def test_bytes_that_came_with_the_request_are_not_lost(made: Town) -> None:
    """A client may send its first frame in one packet with the upgrade request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", made.port, ssl=made.tls)
    upgrade = (
        f"GET /websockify?token={quote(made.token(), safe='')} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    early = Frame(Opcode.BINARY, b"RFB 003.008\n\x01\x01" + KEY).serialize(mask=True)
    writer.write(upgrade.encode() + early)
    await made.vm.until(lambda: bytes(made.vm.received) == KEY)
    writer.close()
    await reader.read()

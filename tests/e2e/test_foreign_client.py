"""A VNC client by others opens consoles of real VNC servers, with a console's address and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncvnc
import numpy as np
import pytest
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from consoleproxy.config import Settings
from consoleproxy.demo.guest import QemuGuest
from consoleproxy.demo.screen import ScreenServer
from consoleproxy.manager.endpoint import Endpoint
from tests.e2e.real_parts import PAPER, PATIENCE, qemu, xtigervnc
from tests.helpers.authority import Instance
from tests.helpers.town import Town, town

PASSWORD = "secret12"
#: The deadlines of a real proxy: a real VNC server on a busy machine may need some of them.
SETTINGS = Settings(single_port=0, ops_listen="")

Client = Any  # asyncvnc has no types
Picture = NDArray[np.uint8]


class Pipe:
    """A websocket as the reader and the writer that asyncvnc asks for; what is written goes out before a read."""

    def __init__(self, websocket: ClientConnection) -> None:
        self._websocket = websocket
        self._unread = bytearray()
        self._unsent = bytearray()

    @classmethod
    async def open(cls, host: str, port: int, *, path: str, token: str) -> tuple[Pipe, Pipe]:
        """Connect to a console."""
        url = f"ws://{host}:{port}/{path}?token={quote(token, safe='')}"
        # Without a limit to its queue, since one that is full would hide the answer to a goodbye.
        pipe = cls(await connect(url, max_size=None, max_queue=None))
        return pipe, pipe

    async def readexactly(self, size: int) -> bytes:
        """Return the next bytes; raise ``ConnectionClosed`` with the close code when there are no more."""
        await self.drain()
        while len(self._unread) < size:
            data = await self._websocket.recv()
            assert isinstance(data, bytes), "a client that asked for no events got one"
            self._unread += data
        data = bytes(self._unread[:size])
        del self._unread[:size]
        return data

    async def readline(self) -> bytes:
        """Return the only line of RFB, its version."""
        return await self.readexactly(12)

    def write(self, data: bytes) -> None:
        """Send later."""
        self._unsent += data

    async def drain(self) -> None:
        """Send now."""
        if self._unsent:
            data = bytes(self._unsent)
            self._unsent.clear()
            await self._websocket.send(data)

    def close(self) -> None:
        """Nothing yet: ``wait_closed`` does it."""

    async def wait_closed(self) -> None:
        """Say goodbye."""
        await self._websocket.close()


@asynccontextmanager
async def on_console(endpoint: Endpoint) -> AsyncIterator[Client]:
    """Look at a VM through the proxy, as a client that knows host, port, path and token."""
    opener = partial(Pipe.open, path=endpoint.path, token=endpoint.token)
    async with asyncio.timeout(PATIENCE), asyncvnc.connect(endpoint.host, endpoint.port, opener=opener) as client:
        yield client


@asynccontextmanager
async def on_vm(port: int, password: str = "") -> AsyncIterator[Client]:
    """Look at a VM without the proxy."""
    async with asyncio.timeout(PATIENCE), asyncvnc.connect("127.0.0.1", port, password=password) as client:
        yield client


async def watch(client: Client, condition: Callable[[Picture], bool]) -> Picture:
    """Wait until the screen is as asked for, and return it."""
    picture: Picture = await client.screenshot()
    while not condition(picture):
        # Asks for what changes, so the answer comes when something has.
        client.video.refresh()
        await client.read()
        picture = client.video.as_rgba().copy()
    return picture


async def assert_same(client: Client, direct: Client, rows: slice = slice(None)) -> Picture:
    """Wait until a VM shows both the same; a cursor that blinks between two looks makes them differ for a while."""
    while True:
        through_proxy, truth = await client.screenshot(), await direct.screenshot()
        if np.array_equal(through_proxy[rows], truth[rows]):
            picture: Picture = truth
            return picture


def endpoint_of(place: Town, port: int, password: str = "") -> Endpoint:
    """Make a VM known and return the address of a console of it."""
    vm_id = str(uuid.uuid4())
    place.service.add_instance(Instance(vm_id, "vm", "Real", "", "127.0.0.1", port, password))
    return place.service.create_endpoint(vm_id)


async def security_types(port: int) -> bytes:
    """Return what a VNC server asks for: the count of its security types, and they."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(PATIENCE):
        writer.write(await reader.readexactly(12))
        count = await reader.readexactly(1)
        types = await reader.readexactly(count[0])
    writer.close()
    await writer.wait_closed()
    return count + types


async def ending(opening: AbstractAsyncContextManager[Client]) -> tuple[int, str]:
    """Open a console that does not come to life, and return the close code and the reason's word."""
    with pytest.raises(ConnectionClosed) as caught:
        async with opening:
            pytest.fail("the console opened")
    return told(caught.value)


def told(closed: ConnectionClosed) -> tuple[int, str]:
    """Return the close code and the reason's word."""
    assert closed.rcvd is not None
    word, _, reference = closed.rcvd.reason.partition(" ref=")
    assert 8 == len(reference)
    return closed.rcvd.code, word


@pytest.fixture
async def place() -> AsyncIterator[Town]:
    """A proxy and its control plane."""
    async with town(settings=SETTINGS) as running:
        yield running


# --- QEMU -----------------------------------------------------------------------------

#: Where the guest writes what is typed: the row of its prompt, in cells of the text mode.
PROMPT_ROW, TYPED_COLUMN = 6, 2
TEXT_MODE = (720, 400)


def changed_cells(before: Picture, after: Picture) -> set[tuple[int, int]]:
    """Return row and column of the characters that differ; the text mode has 25 rows of 80, each 9 pixels by 16."""
    differs = (before != after).any(axis=2).reshape(25, 16, 80, 9).any(axis=(1, 3))
    return {(int(row), int(column)) for row, column in np.argwhere(differs)}


async def boot(guest: QemuGuest) -> Picture:
    """Wait until the guest shows its prompt, and return its screen.

    While it boots its screen changes size, which asyncvnc cannot follow: it has to come again.
    """
    while True:
        async with on_vm(guest.port, PASSWORD) as client:
            if TEXT_MODE == (client.video.width, client.video.height):
                return await watch(client, lambda picture: bool(picture[96:112, :9, :3].any()))
        await asyncio.sleep(0.02)


@pytest.mark.usefixtures("no_sockets_left_open")
async def test_a_key_reaches_a_qemu_guest(place: Town, tmp_path: Path) -> None:
    """A real VM behind a VNC password, which the client never learns, prints the keys and changes nothing else."""
    async with qemu(tmp_path, PASSWORD) as guest:
        before = await boot(guest)
        assert b"\x01\x02" == await security_types(guest.port)
        async with (
            on_console(endpoint_of(place, guest.port, PASSWORD)) as client,
            on_vm(guest.port, PASSWORD) as direct,
        ):
            await assert_same(client, direct)
            client.keyboard.write("vnc")
            expected = {(PROMPT_ROW, TYPED_COLUMN + number) for number in range(3)}
            await watch(client, lambda picture: expected <= changed_cells(before, picture))
            after = await assert_same(client, direct)
        # The cursor blinks: at its new place, or at an old one when the first look was early.
        prompt = {(PROMPT_ROW, column) for column in range(TYPED_COLUMN + 4)}
        assert expected <= changed_cells(before, after) <= prompt


async def test_a_vm_that_dies_ends_its_console(place: Town, tmp_path: Path) -> None:
    """A VM that is killed while somebody watches closes the console at once, with the reason."""
    async with qemu(tmp_path, PASSWORD) as guest:
        await boot(guest)
        async with on_console(endpoint_of(place, guest.port, PASSWORD)) as client:
            await client.screenshot()
            os.kill(guest.pid, signal.SIGKILL)
            with pytest.raises(ConnectionClosed) as caught:
                # Less than any deadline of the proxy: nothing but the VM's own end can be the cause.
                async with asyncio.timeout(4):
                    await watch(client, lambda _: False)
    assert (4456, "vm-closed") == told(caught.value)


# --- Xtigervnc ------------------------------------------------------------------------

#: A pixel inside the terminal that neither its text nor the pointer covers, and where the end of its first line stands.
EMPTY_PLACE = (100, 120)
TEXT = slice(0, 20), slice(60, 100)


@pytest.mark.usefixtures("no_sockets_left_open")
@pytest.mark.parametrize("password", ["", PASSWORD])
async def test_text_typed_into_a_terminal_arrives(place: Town, tmp_path: Path, password: str) -> None:
    """A line that is typed into a real X terminal arrives as it was typed, and its picture comes back the same."""
    async with xtigervnc(tmp_path, password) as server, server.terminal() as typed:
        assert (b"\x01\x02" if password else b"\x01\x01") == await security_types(server.port)
        async with (
            on_console(endpoint_of(place, server.port, password)) as client,
            on_vm(server.port, password) as direct,
        ):
            before = await watch(client, lambda picture: PAPER == tuple(picture[EMPTY_PLACE][:3]))
            client.mouse.move(60, 60)
            client.keyboard.write("Hello, world")
            await watch(client, lambda picture: bool((before != picture)[TEXT].any()))
            client.keyboard.press("Return")
            while not typed.read_text():
                await client.screenshot()
            after = await assert_same(client, direct)
    assert "Hello, world\n" == typed.read_text()
    assert (before != after)[TEXT].any()


@pytest.mark.parametrize("known", ["wrong", ""])
async def test_a_wrong_password_of_the_vm_is_told(place: Town, tmp_path: Path, known: str) -> None:
    """A VNC password that is wrong or missing on our side refuses the console, and does no harm to the next."""
    async with xtigervnc(tmp_path, PASSWORD) as server:
        for _ in range(3):
            assert (4454, "vm-password") == await ending(on_console(endpoint_of(place, server.port, known)))
        async with on_console(endpoint_of(place, server.port, PASSWORD)) as client:
            assert (400, 640, 4) == (await client.screenshot()).shape


async def test_a_vm_that_shuts_us_out_is_told(place: Town, tmp_path: Path) -> None:
    """After too many wrong passwords Xtigervnc refuses even the right one, and the console says so."""
    async with xtigervnc(tmp_path, PASSWORD, "-BlacklistThreshold", "1", "-BlacklistTimeout", "100000") as server:
        assert (4454, "vm-password") == await ending(on_console(endpoint_of(place, server.port, "wrong")))
        assert (4451, "vm-refused") == await ending(on_console(endpoint_of(place, server.port, PASSWORD)))


# --- the demo's screen ----------------------------------------------------------------

#: The part of the demo's screen that changes by keys alone, but for a caret; and where the typed text stands.
PANEL = slice(116, 540)
TYPED = slice(232, 520), slice(64, 124)


@pytest.mark.usefixtures("no_sockets_left_open")
@pytest.mark.parametrize("password", ["", PASSWORD])
async def test_a_key_reaches_the_demo_screen(place: Town, password: str) -> None:
    """The demo's own VM looks the same through the proxy, and echoes what is typed."""
    async with AsyncExitStack() as stack:
        screen = ScreenServer("Demo VM", password=password)
        stack.push_async_callback(screen.close)
        await screen.start()
        client = await stack.enter_async_context(on_console(endpoint_of(place, screen.port, password)))
        direct = await stack.enter_async_context(on_vm(screen.port, password))
        before = await assert_same(client, direct, PANEL)
        client.keyboard.write("hello")
        await watch(client, lambda picture: bool((before != picture)[TYPED].any()))
        after = await assert_same(client, direct, PANEL)
    assert (before != after)[TYPED].any()

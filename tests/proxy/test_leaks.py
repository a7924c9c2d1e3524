"""What two hundred sessions, ended in every way, leave behind: nothing."""

from __future__ import annotations

import asyncio
import gc
import struct
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress

import pytest
from websockets.exceptions import ConnectionClosed

from tests.helpers.fake_vm import FakeVM
from tests.helpers.leaks import open_sockets, tasks_left
from tests.helpers.tls import tls_town
from tests.helpers.town import Town, town
from tests.helpers.viewer import Viewer

SESSIONS = 200
OpenTown = Callable[..., AbstractAsyncContextManager[Town]]
TOWNS = [town, tls_town]
WAYS = ("goodbye", "reset", "vm closes", "vm resets", "silent", "half a frame", "refused", "rubbish")


async def end(made: Town, way: str) -> None:
    """Open a session and end it in one way."""
    if way == "refused":
        viewer = await Viewer.open(made.port, "no token", tls=made.tls)
        await viewer.closed()
    elif way == "silent":
        viewer = await Viewer.open(made.port, made.token(), tls=made.tls)
        await viewer.closed()
    else:
        viewer = await made.view()
        await end_open(made, viewer, way)
    with suppress(ConnectionClosed):
        await viewer.close()


async def end_open(made: Town, viewer: Viewer, way: str) -> None:
    """End a session that was opened."""
    if way == "reset":
        viewer.reset()
    elif way == "goodbye":
        await viewer.close()
    elif way.startswith("vm"):
        made.vm.hang_up(reset=way == "vm resets")
        await viewer.closed()
    else:
        transport = viewer.websocket.transport
        half = struct.pack(">BBH", 0x82, 0xFE, 1000) + bytes(50)
        transport.write(half if way == "half a frame" else b"\xff\xff\xff\xff")
        if way == "half a frame":
            viewer.reset()
        else:
            assert (await viewer.closed())[0] == 1002


async def settle(made: Town) -> None:
    """Wait until the proxy and the VM have let everything go."""
    await made.vm.until(lambda: made.vm.open_connections == 0)
    async with asyncio.timeout(10):
        await made.carrier.carriage.patience.farewells.wait_empty()
        await made.vm.until(lambda: not len(made.proxy) and not len(made.carrier.tasks))


@pytest.mark.in_process
@pytest.mark.parametrize("open_town", TOWNS, ids=["plain", "tls"])
async def test_two_hundred_sessions_leave_nothing(open_town: OpenTown) -> None:
    """Sockets, tasks and slots are as before, and nothing of the proxy grows with the number of sessions."""
    async with open_town(vm=FakeVM(), browser_handshake_timeout=0.1) as made:
        tracemalloc.start()
        try:
            await end_all(made, SESSIONS // 2)  # caches, pools, the first of everything
            before = (open_sockets(), len(await tasks_left()))
            memory = proxy_memory()
            await end_all(made, SESSIONS)
            grown = proxy_memory() - memory
        finally:
            tracemalloc.stop()
        assert before == (open_sockets(), len(await tasks_left()))
        # A console that stays behind is 1500 bytes and more; the interpreter's free lists fill up slowly.
        assert grown < 300 * SESSIONS, f"{grown} bytes more after {SESSIONS} sessions"


async def end_all(made: Town, count: int) -> None:
    """End ``count`` sessions, in every way in turn."""
    for number in range(count):
        await end(made, WAYS[number % len(WAYS)])
    await settle(made)


def proxy_memory() -> int:
    """Return the bytes that the proxy's code holds; the control plane remembers used sessions, and has its bound."""
    gc.collect()
    kept = [tracemalloc.Filter(True, "*/consoleproxy/*"), tracemalloc.Filter(False, "*/consoleproxy/manager/*")]
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(kept).traces)


@pytest.mark.in_process
@pytest.mark.parametrize("open_town", TOWNS, ids=["plain", "tls"])
@pytest.mark.parametrize("way", WAYS)
async def test_each_way_gives_its_slot_back(open_town: OpenTown, way: str) -> None:
    """With room for one session, the same way can be gone again and again."""
    async with open_town(max_sessions=1, browser_handshake_timeout=0.1) as made:
        for _ in range(3):
            await end(made, way)
            await settle(made)
        assert made.proxy.readiness()[0]

"""The relay that one writes with websockets: its asyncio server on one side, asyncio's streams on the other.

``python -m bench.peers.websockets_relay PORT VNC-PORT``. It runs on uvloop, as ours does.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

READ_SIZE = 65536


async def to_browser(vm: asyncio.StreamReader, browser: ServerConnection) -> None:
    """Carry what the VM says, and end the browser's side behind it."""
    with suppress(ConnectionClosed):
        while data := await vm.read(READ_SIZE):
            await browser.send(data)
        await browser.close()


async def relay(browser: ServerConnection, vnc_port: int) -> None:
    """Answer one browser."""
    reader, writer = await asyncio.open_connection("127.0.0.1", vnc_port)
    reading = asyncio.get_running_loop().create_task(to_browser(reader, browser))
    try:
        async for message in browser:
            writer.write(message.encode() if isinstance(message, str) else message)
            await writer.drain()
    except ConnectionClosed:
        return
    finally:
        reading.cancel()
        writer.close()


async def _serve(port: int, vnc_port: int) -> None:
    async with serve(
        lambda browser: relay(browser, vnc_port),
        "127.0.0.1",
        port,
        subprotocols=[Subprotocol("binary")],
        compression=None,
        max_size=None,
        backlog=4096,
    ) as server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))

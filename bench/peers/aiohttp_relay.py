"""The relay that one writes with aiohttp: ``WebSocketResponse`` on one side, asyncio's streams on the other.

``python -m bench.peers.aiohttp_relay PORT VNC-PORT``. It runs on uvloop, as ours does.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from aiohttp import WSMsgType, web

READ_SIZE = 65536


async def to_browser(vm: asyncio.StreamReader, browser: web.WebSocketResponse) -> None:
    """Carry what the VM says, and end the browser's side behind it."""
    while data := await vm.read(READ_SIZE):
        await browser.send_bytes(data)
    await browser.close()


async def to_vm(browser: web.WebSocketResponse, vm: asyncio.StreamWriter) -> None:
    """Carry what the browser says."""
    async for message in browser:
        if message.type is WSMsgType.BINARY:
            vm.write(message.data)
            await vm.drain()


async def relay(request: web.Request, vnc_port: int) -> web.WebSocketResponse:
    """Answer one browser."""
    browser = web.WebSocketResponse(protocols=("binary",), compress=False)
    await browser.prepare(request)
    reader, writer = await asyncio.open_connection("127.0.0.1", vnc_port)
    reading = asyncio.get_running_loop().create_task(to_browser(reader, browser))
    try:
        await to_vm(browser, writer)
    finally:
        reading.cancel()
        writer.close()
    return browser


def main(port: int, vnc_port: int) -> None:
    """Serve until the process is ended."""
    app = web.Application()
    app.router.add_get("/{path:.*}", lambda request: relay(request, vnc_port))
    uvloop.install()
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None, backlog=4096)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

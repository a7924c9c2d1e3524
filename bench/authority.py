"""The manager's end of the control link, without a database: it says yes to every token.

What a manager costs is measured by itself (``endpoint``); everywhere else this keeps it out of
the figures. It runs as a program: ``python -m bench.authority PORT SECRET-FILE KEY-FILE``.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop
from aiohttp import web

from consoleproxy.manager.link import LinkServer
from consoleproxy.messages import AccessAnswer, AccessRequest, LoadReport, ProxyDescription, Welcome


class Yes:
    """The service behind the link: every proxy is welcome, every viewer may enter."""

    def __init__(self, token_key: str) -> None:
        self._welcome = Welcome(token_key)

    async def register(self, description: ProxyDescription) -> Welcome:
        """Hand out the key and the defaults."""
        return self._welcome

    async def authorise(self, proxy_id: str, request: AccessRequest) -> AccessAnswer:
        """Say yes."""
        return AccessAnswer()

    async def report(self, proxy_id: str, incarnation: str, report: LoadReport) -> None:
        """Let it be acknowledged."""

    async def link_lost(self, proxy_id: str, incarnation: str) -> None:
        """It will come again, or not."""


async def _serve(port: int, secret: str, token_key: str) -> None:
    links = LinkServer(Yes(token_key), secret)
    app = web.Application()
    app.add_routes([web.get("/link", links.handle)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    await asked.wait()
    await links.close()
    await runner.cleanup()


def main(arguments: Sequence[str]) -> None:
    """Serve until SIGTERM."""
    port, secret, key = arguments
    uvloop.run(_serve(int(port), Path(secret).read_text(), Path(key).read_text()))


if __name__ == "__main__":
    main(sys.argv[1:])

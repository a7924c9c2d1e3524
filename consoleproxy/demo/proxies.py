"""The demo's proxies: one in this process, or several in processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from consoleproxy.config import Settings
from consoleproxy.errors import ConfigError

#: Seconds for a child to come up, and to end once it was asked.
START_SECONDS = 30.0
STOP_SECONDS = 10.0


class ProxyChildren:
    """``count`` processes of ``consoleproxy proxy``. ``start``, then ``stop`` always.

    ``told`` is what each said of itself: name, http_url, websocket_url, ops_url, pid.
    """

    def __init__(self, settings: Settings, count: int, *, manager_url: str, secret: str, folder: Path) -> None:
        self._settings = settings
        self._count = count
        self._manager_url = manager_url
        self._secret = secret
        self._folder = folder
        self._stack = AsyncExitStack()
        self.told: list[dict[str, Any]] = []

    async def start(self) -> None:
        """Start all of them and wait until each has told its addresses."""
        secret_file = self._folder / "link.secret"
        secret_file.touch(mode=0o600)
        secret_file.write_text(self._secret)
        for number in range(1, self._count + 1):
            self.told.append(await self._start_one(f"proxy-{number}", secret_file))

    async def stop(self) -> None:
        """End all of them: each says goodbye to its viewers."""
        await self._stack.aclose()

    async def _start_one(self, name: str, secret_file: Path) -> dict[str, Any]:
        settings = self._settings
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "consoleproxy", "proxy", "--json"),
            *("--manager-url", self._manager_url, "--link-secret", f"@{secret_file}"),
            *("--proxy-name", name, "--state-folder", str(self._folder / name)),
            *("--listen-address", settings.listen_address, "--public-address", settings.public_address),
            *(
                "--workers",
                "0",
                "--single-port",
                "0",
                "--ops-listen",
                "127.0.0.1:0",
                "--max-sessions",
                str(settings.max_sessions),
            ),
            *("--tls-cert", settings.tls_cert, "--tls-key", settings.tls_key),
            *("--log-level", settings.log_level, "--log-format", settings.log_format),
            stdout=PIPE,
            # Ctrl-C in the terminal is for us; we end our children in order.
            start_new_session=True,
            env=_environment(),
        )
        self._stack.push_async_callback(_end, process)
        try:
            async with asyncio.timeout(START_SECONDS):
                line = await process.stdout.readline() if process.stdout else b""
            return dict(json.loads(line))
        except (TimeoutError, ValueError) as error:
            raise ConfigError(f"{name} does not start; its own words are above") from error


def _environment() -> dict[str, str]:
    """Our environment without our own settings, which are for the demo as a whole."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CONSOLEPROXY_")}


async def _end(process: Process) -> None:
    """Interrupt ``process``, kill it where that does not help, and reap it."""
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()

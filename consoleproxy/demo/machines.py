"""The demo's virtual machines."""

from __future__ import annotations

import secrets
import tempfile
import uuid
from contextlib import AsyncExitStack
from pathlib import Path

from consoleproxy.demo.guest import QemuGuest, find_qemu
from consoleproxy.demo.screen import ScreenServer
from consoleproxy.errors import ConfigError
from consoleproxy.manager.model import Instance

LOOPBACK = "127.0.0.1"


class DemoMachines:
    """Built-in screens, and a QEMU guest where it is wanted and there. ``start``, then ``stop`` always."""

    def __init__(self, *, screens: int, qemu: str, account_id: str) -> None:
        self._screens = screens
        self._qemu = qemu
        self._account_id = account_id
        self._stack = AsyncExitStack()
        self.instances: list[Instance] = []

    async def start(self) -> None:
        """Start them; raise ``ConfigError`` where QEMU is insisted on and missing."""
        for number in range(1, self._screens + 1):
            await self._add_screen(number)
        if self._qemu == "on" and find_qemu() is None:
            raise ConfigError("--demo-qemu is on, but qemu-system-x86_64 is missing: apt install qemu-system-x86")
        if self._qemu != "off" and find_qemu() is not None:
            await self._add_guest()

    async def stop(self) -> None:
        """Stop them, the last first."""
        await self._stack.aclose()

    async def _add_screen(self, number: int) -> None:
        # Every second one has a password, which the browser never sees.
        password = secrets.token_hex(4) if number % 2 == 0 else ""
        screen = ScreenServer(f"Demo VM {number}", password=password)
        self._stack.push_async_callback(screen.close)
        await screen.start(LOOPBACK)
        text = "Built-in screen, with a VNC password" if password else "Built-in screen"
        self._add(f"demo-{number}", f"Demo VM {number}", text, screen.port, password)

    async def _add_guest(self) -> None:
        password = secrets.token_hex(4)
        guest = QemuGuest("qemu-1", password=password)
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="consoleproxy-demo-"))
        self._stack.push_async_callback(guest.close)
        await guest.start(Path(folder))
        self._add("qemu-1", "QEMU guest", "A real virtual machine: type, it echoes", guest.port, password)

    def _add(self, name: str, display_name: str, description: str, port: int, password: str) -> None:
        instance_id = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.demo.consoleproxy"))
        self.instances.append(
            Instance(
                id=instance_id,
                name=name,
                display_name=display_name,
                description=description,
                account_id=self._account_id,
                state="Running",
                host=LOOPBACK,
                port=port,
                password=password,
            )
        )

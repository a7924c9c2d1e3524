"""Everything that the demo consists of, started in order and stopped in the other order."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import tempfile
import uuid
from contextlib import AsyncExitStack
from pathlib import Path

from aiohttp import web

from consoleproxy.access.token import TokenKey, TokenKeys
from consoleproxy.config import Settings
from consoleproxy.demo.guest import QemuGuest, find_qemu
from consoleproxy.demo.screen import ScreenServer
from consoleproxy.errors import ConfigError
from consoleproxy.links.direct import DirectLink
from consoleproxy.manager.app import start_app
from consoleproxy.manager.endpoint import ProxyAddress, root_url
from consoleproxy.manager.service import ConsoleService, Instance
from consoleproxy.ops.pages import find_page_files
from consoleproxy.proxy.app import Proxy, listen

LOOPBACK = "127.0.0.1"
ANY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognised, not bound


class DemoTown:
    """Demo VMs, their manager and a proxy. ``start`` it, then ``stop`` it always.

    ``any_port``: let the kernel choose every port, so that many can run side by side.
    """

    def __init__(self, settings: Settings, *, any_port: bool) -> None:
        if any_port:
            settings = dataclasses.replace(settings, single_port=0, manager_port=0, ops_listen=f"{LOOPBACK}:0")
        self._settings = settings
        self._stack = AsyncExitStack()
        self._manager_port = 0
        keys = _token_keys(settings)
        files = find_page_files()
        self.service = ConsoleService(keys.current, self._proxy_address)
        self.proxy = Proxy(settings, DirectLink(self.service), keys, files)
        self._start_app = start_app(self.service, files)

    async def start(self) -> None:
        """Start VMs, proxy and start page; raise ``ConfigError`` for a port that is taken."""
        for number in range(1, self._settings.demo_vms + 1):
            await self._add_screen(number)
        await self._add_guest()
        # Last, so that it is stopped first: its viewers are told that it stops, not that their VM has gone.
        self._stack.push_async_callback(self.proxy.stop)
        await self.proxy.start()
        await self._open_start_page()

    async def stop(self) -> None:
        """Stop what was started, the last first."""
        await self._stack.aclose()

    @property
    def start_url(self) -> str:
        """Where a person begins."""
        return f"http://{LOOPBACK}:{self._manager_port}/"

    def as_json(self) -> str:
        """Return one line for scripts."""
        address = self._proxy_address()
        http_url = root_url(address)
        proxy = {
            "name": "proxy-1",
            "http_url": http_url,
            "websocket_url": f"ws://{address.host}:{address.websocket_port}/websockify",
            "ops_url": f"http://{LOOPBACK}:{self.proxy.ops_port}",
            "pid": os.getpid(),
        }
        instances = [{"id": i.id, "name": i.name, "displayname": i.display_name} for i in self.service.instances]
        start = {"start_url": self.start_url, "manager_url": self.start_url.rstrip("/")}
        return json.dumps({**start, "proxies": [proxy], "instances": instances})

    def as_text(self) -> str:
        """Return what a person is told."""
        names = "\n".join(f"    {vm.display_name:<20} {vm.description}" for vm in self.service.instances)
        qemu = "" if find_qemu() else "    (apt install qemu-system-x86 adds a real guest)\n"
        ops = f"  Metrics: http://{LOOPBACK}:{self.proxy.ops_port}/metrics\n" if self.proxy.ops_port else ""
        return (
            f"\n  Open {self.start_url} in a browser and choose a virtual machine:\n\n{names}\n{qemu}\n"
            f"{ops}  Ctrl-C ends the demo.\n"
        )

    def _proxy_address(self) -> ProxyAddress:
        ports = self.proxy.ports
        host = self._settings.public_address or self._settings.listen_address
        # All addresses is where to listen, not where to go.
        host = LOOPBACK if host in ANY_ADDRESS else host
        return ProxyAddress(host, page_port=ports[0], websocket_port=ports[-1])

    async def _open_start_page(self) -> None:
        sock = listen(LOOPBACK, self._settings.manager_port)
        runner = web.AppRunner(self._start_app, access_log=None, shutdown_timeout=1.0)
        self._stack.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.SockSite(runner, sock).start()
        self._manager_port = sock.getsockname()[1]

    async def _add_screen(self, number: int) -> None:
        name = f"demo-{number}"
        # Every second one has a password, which the browser never sees.
        password = secrets.token_hex(4) if number % 2 == 0 else ""
        screen = ScreenServer(f"Demo VM {number}", password=password)
        self._stack.push_async_callback(screen.close)
        await screen.start(LOOPBACK)
        text = "Built-in screen, with a VNC password" if password else "Built-in screen"
        self._add(name, f"Demo VM {number}", text, screen.port, password)

    async def _add_guest(self) -> None:
        if self._settings.demo_qemu == "off":
            return
        if find_qemu() is None:
            if self._settings.demo_qemu == "on":
                raise ConfigError("--demo-qemu is on, but qemu-system-x86_64 is missing: apt install qemu-system-x86")
            return
        password = secrets.token_hex(4)
        guest = QemuGuest("qemu-1", password=password)
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="consoleproxy-demo-"))
        self._stack.push_async_callback(guest.close)
        await guest.start(Path(folder))
        self._add("qemu-1", "QEMU guest", "A real virtual machine: type, it echoes", guest.port, password)

    def _add(self, name: str, display_name: str, description: str, port: int, password: str) -> None:
        instance_id = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.demo.consoleproxy"))
        self.service.add_instance(Instance(instance_id, name, display_name, description, LOOPBACK, port, password))


def _token_keys(settings: Settings) -> TokenKeys:
    if not settings.token_key:
        return TokenKeys(TokenKey.generate(secrets.token_bytes))
    previous = TokenKey.from_json(settings.token_key_previous) if settings.token_key_previous else None
    return TokenKeys(TokenKey.from_json(settings.token_key), previous)

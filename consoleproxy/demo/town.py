"""Everything that the demo consists of, started in order and stopped in the other order."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import secrets
import tempfile
import uuid
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from consoleproxy.config import Settings
from consoleproxy.demo.guest import find_qemu
from consoleproxy.demo.machines import LOOPBACK, DemoMachines
from consoleproxy.demo.proxies import ProxyChildren
from consoleproxy.demo.start_page import ApiClient, start_routes
from consoleproxy.errors import ConfigError
from consoleproxy.links.direct import DirectLink
from consoleproxy.links.state import Identity
from consoleproxy.manager.inventory import Inventory
from consoleproxy.manager.model import Account
from consoleproxy.manager.program import Manager, token_keys_setting
from consoleproxy.net.listening import is_loopback
from consoleproxy.ops.certs import make_certs
from consoleproxy.ops.pages import find_page_files
from consoleproxy.proxy.app import Proxy, addresses

#: Seconds for the proxies to be known to the manager.
LINK_SECONDS = 15.0


class DemoTown:
    """Demo VMs, their manager and proxies. ``start`` it, then ``stop`` it always.

    ``any_port``: let the kernel choose every port, so that many can run side by side.
    """

    def __init__(self, settings: Settings, *, any_port: bool) -> None:
        if any_port:
            settings = dataclasses.replace(
                settings, single_port=0, manager_listen=f"{LOOPBACK}:0", ops_listen=f"{LOOPBACK}:0"
            )
        if not is_loopback(settings.manager_listen.rpartition(":")[0]):
            raise ConfigError(
                f"manager_listen is {settings.manager_listen}: the demo's start page opens every console, so it must "
                "listen on loopback, such as 127.0.0.1:6081"
            )
        self._settings = settings
        self._stack = AsyncExitStack()
        self._folder = Path()
        #: The CA of the certificate that was made for this demo, where one was.
        self._ca_file = ""
        self._secret = secrets.token_urlsafe(24)
        self.account = Account(
            str(uuid.uuid4()), "demo", secrets.token_urlsafe(32), secrets.token_urlsafe(32), is_admin=True
        )
        self.machines = DemoMachines(screens=settings.demo_vms, qemu=settings.demo_qemu, account_id=self.account.id)
        self._files = find_page_files()
        self._proxies: list[dict[str, Any]] = []
        self._own_proxy: Proxy | None = None
        self.manager: Manager

    async def start(self) -> None:
        """Start VMs, manager and proxies; raise ``ConfigError`` for a port that is taken."""
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="consoleproxy-demo-")))
        self._stack.push_async_callback(self.machines.stop)
        await self.machines.start()
        self._make_certificate()
        await self._start_manager()
        if self._settings.proxies == 1:
            await self._start_own_proxy()
        else:
            await self._start_children()
        await self._wait_for_links()

    async def drain(self) -> None:
        """Take no new consoles, and wait for those that run here."""
        if self._own_proxy is not None:
            await self._own_proxy.drain(self._settings.drain_timeout)

    async def stop(self) -> None:
        """Stop what was started, the last first."""
        await self._stack.aclose()

    @property
    def start_url(self) -> str:
        """Where a person begins."""
        return f"http://{LOOPBACK}:{self.manager.port}/"

    def as_json(self) -> str:
        """Return one line for scripts."""
        vms = [{"id": vm.id, "name": vm.name, "displayname": vm.display_name} for vm in self.machines.instances]
        return json.dumps(
            {
                "pid": os.getpid(),
                "start_url": self.start_url,
                "api_url": f"{self.start_url}client/api",
                "api_key": self.account.api_key,
                "secret_key": self.account.secret_key,
                "manager_url": self.start_url.rstrip("/"),
                "manager_ops_url": f"http://{LOOPBACK}:{self.manager.ops_port}" if self.manager.ops_port else "",
                "proxies": self._proxies,
                "ca_file": self._ca_file,
                "instances": vms,
            }
        )

    def as_text(self) -> str:
        """Return what a person is told."""
        names = "\n".join(f"    {vm.display_name:<20} {vm.description}" for vm in self.machines.instances)
        qemu = "" if find_qemu() else "    (apt install qemu-system-x86 adds a real guest)\n"
        lines = [f"\n  Open {self.start_url} in a browser and choose a virtual machine:\n\n{names}\n{qemu}"]
        lines += [
            f"  {proxy['name']}: {proxy['http_url']}, metrics at {proxy['ops_url']}/metrics" for proxy in self._proxies
        ]
        if self._ca_file:
            lines.append(f"  Browsers warn of the certificate until they trust {self._ca_file}")
        return "\n".join([*lines, "  Ctrl-C ends the demo.\n"])

    def _make_certificate(self) -> None:
        settings = self._settings
        if not settings.tls or settings.tls_cert:
            return
        folder = self._folder / "certificates"
        hosts = [host.strip("[]") for host in (settings.public_address, settings.listen_address) if host]
        make_certs(folder, hosts=hosts)
        self._ca_file = str(folder / "ca-cert.pem")
        self._settings = dataclasses.replace(
            settings, tls_cert=str(folder / "server-chain.pem"), tls_key=str(folder / "server-key.pem")
        )

    async def _start_manager(self) -> None:
        api = ApiClient(self.account)
        self._stack.push_async_callback(api.close)
        # The operators' port is the proxy's where that is in this process too.
        ops = f"{LOOPBACK}:0" if self._settings.ops_listen else ""
        self.manager = Manager(
            self._folder / "manager",
            self._secret,
            listen=self._settings.manager_listen,
            ops_listen=ops,
            token_keys=token_keys_setting(self._settings.token_key, self._settings.token_key_previous),
        )
        self._stack.push_async_callback(self.manager.stop)
        inventory = Inventory((self.account,), tuple(self.machines.instances))
        await self.manager.start(inventory, start_routes(api, self._files))
        api.url = f"{self.start_url}client/api"

    async def _start_own_proxy(self) -> None:
        link = DirectLink(self.manager.service)
        self.manager.send_commands_by(link.command)
        self.manager.service.on_settings_changed.append(link.push_settings)
        proxy = self._own_proxy = Proxy(self._settings, link, None, self._files, Identity("proxy-1"))
        self._stack.push_async_callback(proxy.stop)
        await proxy.start()
        self._proxies = [dict(addresses(proxy, "proxy-1"))]

    async def _start_children(self) -> None:
        children = ProxyChildren(
            self._settings,
            self._settings.proxies,
            manager_url=self.start_url.rstrip("/"),
            secret=self._secret,
            folder=self._folder,
        )
        self._stack.push_async_callback(children.stop)
        await children.start()
        self._proxies = children.told

    async def _wait_for_links(self) -> None:
        """Return when the manager knows every proxy: before that it has nowhere to send a viewer."""
        try:
            async with asyncio.timeout(LINK_SECONDS):
                while sum(proxy.is_up for proxy in await self.manager.service.list_proxies()) < self._settings.proxies:  # noqa: ASYNC110 - the store tells nobody
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            raise ConfigError("the proxies did not reach the manager; the log above says why") from error

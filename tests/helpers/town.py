"""A proxy with its control plane and a fake VM, in the test's own process."""

from __future__ import annotations

import dataclasses
import os
import secrets
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from consoleproxy.access.token import TokenKey, TokenKeys
from consoleproxy.config import Settings
from consoleproxy.manager.endpoint import ProxyAddress
from consoleproxy.ops.pages import find_page_files
from consoleproxy.proxy.app import Proxy
from consoleproxy.proxy.carrier import Carrier
from consoleproxy.proxy.crew import LocalCrew
from tests.helpers.authority import ConsoleService, Instance
from tests.helpers.authority_link import AuthorityLink
from tests.helpers.fake_vm import FakeVM
from tests.helpers.viewer import Viewer

VM_ID = "b2c1a7de-6a53-4c0b-8e11-5d6f2f0f7a10"

QUICK = Settings(
    single_port=0,
    ops_listen="127.0.0.1:0",
    request_timeout=0.5,
    browser_handshake_timeout=0.5,
    authorise_timeout=0.5,
    vm_connect_timeout=0.5,
    vm_handshake_timeout=0.5,
    close_timeout=0.5,
    stall_timeout=30,
    workers=int(os.environ.get("TOWN_WORKERS", "0")),
)


@dataclasses.dataclass
class Town:
    """What a test needs of it."""

    proxy: Proxy
    service: ConsoleService
    vm: FakeVM
    #: How its viewers connect, where the proxy speaks TLS.
    tls: ssl.SSLContext | None = None

    @property
    def port(self) -> int:
        """The proxy's websocket port."""
        return self.proxy.ports[-1]

    @property
    def carrier(self) -> Carrier:
        """The part of the proxy that carries, in this process."""
        assert isinstance(self.proxy.crew, LocalCrew), "a test that looks into it is marked in_process"
        return self.proxy.crew.carrier

    def token(self, *, extra: str = "", vm_id: str = VM_ID, source_address: str = "127.0.0.1") -> str:
        """Return the token of a new console."""
        return self.service.create_endpoint(vm_id, extra=extra, source_address=source_address).token

    async def view(self, *, subprotocols: tuple[str, ...] = ("binary",)) -> Viewer:
        """Open a console and go through its handshake."""
        viewer = await Viewer.open(self.port, self.token(), subprotocols=subprotocols, tls=self.tls)
        await viewer.enter()
        return viewer

    def metric(self, name: str, **labels: str) -> float:
        """Return a number from the proxy's metrics."""
        return self.proxy.registry.get_sample_value(name, labels) or 0.0

    def add_vm(self, vm: FakeVM, *, vm_id: str, password: str | None = None) -> None:
        """Make another VM known."""
        known = vm.password if password is None else password
        self.service.add_instance(Instance(vm_id, "vm", "Web <01>", "", "127.0.0.1", vm.port, known))


@asynccontextmanager
async def town(*, vm: FakeVM | None = None, settings: Settings = QUICK, **changes: object) -> AsyncIterator[Town]:
    """Run a proxy, its control plane and ``vm``; ``changes`` go on top of ``settings``."""
    settings = dataclasses.replace(settings, **changes)  # type: ignore[arg-type]  # checked by the dataclass
    vm = vm or FakeVM()
    await vm.start()
    key = TokenKey.generate(secrets.token_bytes)
    service = ConsoleService(key, lambda: ProxyAddress("127.0.0.1", proxy.ports[0], proxy.ports[-1]))
    proxy = Proxy(settings, AuthorityLink(service), TokenKeys(key), find_page_files())
    made = Town(proxy, service, vm)
    made.add_vm(vm, vm_id=VM_ID)
    try:
        await proxy.start()
        yield made
    finally:
        await proxy.stop()
        await vm.close()

"""Two users, an administrator, three machines and a proxy, behind the API's real routes.

The manager is the one in memory or the real one on a database of its own; the client is
``cs`` from PyPI, unchanged, in a thread, because it blocks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import cs
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from consoleproxy.access.grant import Grant
from consoleproxy.access.token import decode
from consoleproxy.manager.admin_api import AdminService, admin_routes, request_digest
from consoleproxy.manager.api import API_PATH, api_routes
from consoleproxy.manager.control import ManagerService
from consoleproxy.manager.inventory import Inventory
from consoleproxy.manager.masterkey import MasterKey
from consoleproxy.manager.model import Account, Instance
from consoleproxy.manager.settings import LiveSettings
from consoleproxy.manager.signature import sign
from consoleproxy.manager.store import Store
from consoleproxy.messages import AccessRequest, Command, LoadReport, ProxyDescription, SessionEnd
from tests.manager.fake_service import FakeService

ALICE = Account("11111111-0000-4000-8000-000000000001", "alice", "alice-KEY_1", "alice/secret+1=")
BOB = Account("11111111-0000-4000-8000-000000000002", "bob", "bob-KEY", "bob-secret")
ROOT = Account("11111111-0000-4000-8000-000000000003", "root", "root-KEY", "root-secret", is_admin=True)


def machine(number: int, name: str, owner: Account, state: str = "Running") -> Instance:
    """Return a VM."""
    vm_id = f"22222222-0000-4000-8000-{number:012}"
    return Instance(vm_id, name, name.upper(), f"The {name}", owner.id, state, "192.0.2.10", 5900 + number, "vncsecret")


WEB, OFF, DB = machine(1, "web", ALICE), machine(2, "off", ALICE, "Stopped"), machine(3, "db", BOB)


class World:
    """The API under a test's hands."""

    def __init__(self, service: ManagerService | FakeService, base: str) -> None:
        self.service = service
        self.base = base
        self.url = base + API_PATH

    async def call(self, account: Account, command: str, /, *, method: str = "get", **parameters: Any) -> Any:  # noqa: ANN401  # JSON
        """Have ``cs`` run a command; it raises ``CloudStackApiException`` for errors."""
        with client(self.url, account, method) as api:
            return await asyncio.to_thread(getattr(api, command), **parameters)

    async def refusal(self, account: Account, command: str, /, **parameters: Any) -> tuple[int, str]:  # noqa: ANN401  # JSON
        """Return the status and text of the error that ``cs`` meets."""
        with pytest.raises(cs.CloudStackApiException) as caught:
            await self.call(account, command, **parameters)
        error = caught.value.error
        assert {"uuidList", "errorcode", "errortext"} == error.keys()
        assert caught.value.response.status_code == error["errorcode"]
        return error["errorcode"], error["errortext"]

    async def console(self, account: Account, instance: Instance, /, **parameters: Any) -> Any:  # noqa: ANN401  # JSON
        """Make a console that must work and return the object."""
        answer = await self.call(account, "createConsoleEndpoint", virtualmachineid=instance.id, **parameters)
        assert answer["consoleendpoint"]["success"], answer
        return answer["consoleendpoint"]

    async def opened(self, account: Account, instance: Instance, viewer: str = "198.51.100.7") -> str:
        """Make a console, let a viewer in at the proxy, and return the session's id."""
        token = (await self.console(account, instance))["websocket"]["token"]
        if isinstance(self.service, FakeService):
            self.service.change(token, acquired=time.time(), client_address=viewer)
            return str(token)
        grant = Grant.from_fields(decode(token, self.service.token_keys()))
        request = AccessRequest(
            session_id=grant.session_id,
            vm_id=grant.vm_id,
            host=grant.host,
            port=grant.port,
            viewer_address=viewer,
            password=grant.password,
            ticket=grant.ticket,
        )
        await self.service.authorise("proxy-1", request)
        return grant.session_id

    async def end(self, session_id: str) -> None:
        """Let the proxy tell that a console ended."""
        if isinstance(self.service, FakeService):
            self.service.change(session_id, removed=time.time())
            return
        ended = (SessionEnd(session_id, WEB.id, "browser-closed", 1.0, 2, 3),)
        await self.service.report("proxy-1", "first", LoadReport(seq=1, sessions=0, ended=ended))

    async def send(
        self, method: str = "GET", *, query: str = "", body: bytes = b"", path: str = API_PATH, **headers: str
    ) -> tuple[int, Any]:
        """Send a request as it stands and return its status and JSON."""
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method,
                f"{self.base}{path}?{query}",
                data=body or None,
                headers=headers,
                skip_auto_headers=["Content-Type"],
            ) as answer,
        ):
            assert "no-store" == answer.headers["Cache-Control"]
            return answer.status, await answer.json()

    async def admin(
        self, account: Account, method: str, path: str, body: bytes = b"", **altered: str
    ) -> tuple[int, Any]:
        """Send a signed request to the admin API; ``altered`` parameters are signed too."""
        parameters = {
            "apiKey": account.api_key,
            "signatureVersion": "3",
            "expires": expires(60),
            "digest": request_digest(method, path, body),
            **altered,
        }
        return await self.send(method, query=signed(account, parameters), body=body, path=path)


@asynccontextmanager
async def world(kind: str, folder: Path, clock: Callable[[], float] = time.time) -> AsyncIterator[World]:
    """Serve the API over the manager of this kind, ``memory`` or ``database``."""
    async with _service(kind, folder, clock) as service, _server(service, clock) as base:
        yield World(service, base)


@asynccontextmanager
async def served(service: AdminService, clock: Callable[[], float] = time.time) -> AsyncIterator[str]:
    """Serve the API over any service."""
    async with _server(service, clock) as base:
        yield base


@contextmanager
def client(url: str, account: Account, method: str = "get") -> Iterator[cs.CloudStack]:
    """Open the client and close its connections."""
    api = cs.CloudStack(endpoint=url, key=account.api_key, secret=account.secret_key, method=method)
    try:
        yield api
    finally:
        api.session.close()


def expires(seconds: float) -> str:
    """Return a moment from now as clients write it."""
    return datetime.fromtimestamp(time.time() + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S%z")


def signed(account: Account, parameters: dict[str, str]) -> str:
    """Return a signed query."""
    signature = sign(parameters.items(), account.secret_key)
    return urlencode({**parameters, "signature": signature})


def command_query(account: Account, command: str, **parameters: str) -> str:
    """Return the query of a command in the old way, which names no version and never expires."""
    return signed(account, {"apiKey": account.api_key, "command": command, **parameters})


@asynccontextmanager
async def _service(kind: str, folder: Path, clock: Callable[[], float]) -> AsyncIterator[ManagerService | FakeService]:
    if kind == "memory":
        yield FakeService([ALICE, BOB, ROOT], [WEB, OFF, DB], clock)
        return
    store = await Store.open(folder / "manager.sqlite", MasterKey(bytes(32)), clock)
    try:
        service = ManagerService(store, LiveSettings(), clock)
        await service.load_inventory(Inventory((ALICE, BOB, ROOT), (WEB, OFF, DB)))
        await service.register(
            ProxyDescription("1.0", "proxy-1", "first", "v-1-VM", "192.0.2.80", 80, 8080, is_tls=False, capacity=10)
        )
        service.commands = _obey
        yield service
    finally:
        await store.close()


async def _obey(_: str, __: Command) -> bool:
    return True


@asynccontextmanager
async def _server(service: AdminService, clock: Callable[[], float]) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes([*api_routes(service, clock=clock), *admin_routes(service, clock=clock)])
    server = TestServer(app)
    await server.start_server(access_log=None)  # as the program does: an address line holds secrets
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()

"""Builds the manager from its settings, starts it and stops it."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from aiohttp import web

from consoleproxy.access.token import TokenKeys
from consoleproxy.errors import ConfigError
from consoleproxy.manager.admin_api import admin_routes
from consoleproxy.manager.api import api_routes
from consoleproxy.manager.control import ManagerService, SendCommand
from consoleproxy.manager.inventory import Inventory, read_inventory
from consoleproxy.manager.link import LinkServer
from consoleproxy.manager.masterkey import MasterKey
from consoleproxy.manager.metrics import ManagerMetrics
from consoleproxy.manager.settings import LiveSettings
from consoleproxy.manager.store import Store
from consoleproxy.messages import Command
from consoleproxy.net.listening import is_loopback, listen_at
from consoleproxy.net.tasks import Tasks
from consoleproxy.ops.routes import ops_app, ready_answer

log = logging.getLogger(__name__)

MASTER_KEY = "master.key"
STORE = "manager.sqlite"
#: Bytes of a request's body; the API has a smaller limit of its own.
MAX_BODY = 128 * 1024


class Manager:
    """The control plane as a program. ``start`` it, then ``stop`` it always.

    ``folder`` keeps its store and master key; ``secret`` is what its proxies show. ``tls`` has the
    certificate, and without it the manager is plain. ``token_keys`` are used instead of those in the
    store. ``service`` is there after ``start``.
    """

    def __init__(
        self,
        folder: Path,
        secret: str,
        *,
        listen: str,
        ops_listen: str = "",
        tls: ssl.SSLContext | None = None,
        token_keys: TokenKeys | None = None,
    ) -> None:
        self._folder = folder
        self._secret = secret
        self._listen = listen
        self._ops_listen = ops_listen
        self._tls = tls
        self._token_keys = token_keys
        self._stack = AsyncExitStack()
        self._senders: list[SendCommand] = []
        self._is_ready = False
        self.service: ManagerService
        self.port = 0
        self.ops_port = 0

    async def start(self, inventory: Inventory, more: Sequence[web.RouteDef] = ()) -> None:
        """Open the store and the ports; ``more`` routes go beside the API's. Raises ``ConfigError``."""
        store = await self._open_store()
        self._stack.push_async_callback(store.close)
        store.token_keys = self._token_keys or store.token_keys
        self.service = service = ManagerService(store, LiveSettings())
        if inventory != Inventory():
            await service.load_inventory(inventory)
        links = LinkServer(service, self._secret)
        self.send_commands_by(links.send_command)
        service.commands = self._command
        service.on_settings_changed.append(links.push_settings)
        plaintext = int(self._tls is None and not is_loopback(self._listen.rpartition(":")[0]))
        metrics = ManagerMetrics(service, plaintext_listeners=plaintext)
        app = web.Application(client_max_size=MAX_BODY)
        app.add_routes([*api_routes(service, observe=metrics.observe_call), *admin_routes(service)])
        app.add_routes([web.get("/link", links.handle), web.get("/readyz", self._readyz), *more])
        self.port = await self._serve(app, self._listen, self._tls)
        self._stack.push_async_callback(links.close)
        if self._ops_listen:
            ops = ops_app(metrics.registry, self.readiness, refresh=metrics.refresh)
            self.ops_port = await self._serve(ops, self._ops_listen, None)
        tasks = Tasks()
        self._stack.push_async_callback(tasks.close)
        tasks.spawn(self._sweep(), name="sweep")
        self._is_ready = True
        if plaintext:
            log.warning("the API is served without TLS: give manager_cert and manager_key", extra={"at": self._listen})

    async def stop(self) -> None:
        """Stop what was started, the last first."""
        self._is_ready = False
        await self._stack.aclose()

    def send_commands_by(self, sender: SendCommand) -> None:
        """Try ``sender`` too when a command has to reach a proxy."""
        self._senders.append(sender)

    def readiness(self) -> tuple[bool, dict[str, str]]:
        """Say whether the manager answers."""
        return self._is_ready, {"store": "open" if self._is_ready else "closed"}

    async def _open_store(self) -> Store:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"state_folder: cannot make {str(self._folder)!r}: {error.strerror}") from error
        return await Store.open(self._folder / STORE, MasterKey.load(self._folder / MASTER_KEY))

    async def _serve(self, app: web.Application, where: str, tls: ssl.SSLContext | None) -> int:
        sock = listen_at(where)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self._stack.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.SockSite(runner, sock, ssl_context=tls).start()
        port: int = sock.getsockname()[1]
        return port

    async def _command(self, proxy_id: str, command: Command) -> bool:
        for send in self._senders:
            if await send(proxy_id, command):
                return True
        return False

    async def _readyz(self, _: web.Request) -> web.Response:
        return ready_answer(self.readiness, verbose=False)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self.service.interval)
            try:
                await self.service.sweep()
            except Exception:
                log.exception("the sweep failed; the next one tries again")


def read_inventory_setting(path: str) -> Inventory:
    """Return what the inventory file says; nothing where none is set."""
    return read_inventory(path) if path else Inventory()


def tls_context(cert: str, key: str) -> ssl.SSLContext | None:
    """Return the manager's TLS, or none where no certificate is set; raise ``ConfigError`` for a bad pair."""
    if not cert and not key:
        return None
    if not cert or not key:
        raise ConfigError("manager_cert and manager_key belong together: give both")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"manager_cert {cert!r} and manager_key {key!r} cannot be used: {error}") from error
    return context


def token_keys_setting(current: str, previous: str) -> TokenKeys | None:
    """Return the token keys that were given, or none; raise ``ConfigError`` for what is no key."""
    if not current and previous:
        raise ConfigError("token_key_previous is given without token_key: give both, or the key alone")
    return TokenKeys.from_json(current, previous) if current else None

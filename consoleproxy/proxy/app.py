"""Builds the proxy from its settings, starts it, drains it, stops it."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry

from consoleproxy import backends
from consoleproxy.access.token import TokenKeys
from consoleproxy.config import Settings
from consoleproxy.errors import ConfigError, Draining
from consoleproxy.links import ControlLink
from consoleproxy.net.tasks import Tasks
from consoleproxy.ops.metrics import ProxyMetrics
from consoleproxy.ops.pages import PageFiles
from consoleproxy.ops.routes import ops_app
from consoleproxy.proxy.carried import Carried
from consoleproxy.proxy.console import Console, ConsoleContext, Limits
from consoleproxy.proxy.end import Patience
from consoleproxy.proxy.listener import Admission, Arrival, Listener
from consoleproxy.proxy.pages import public_app
from consoleproxy.proxy.registry import LocalRegistry
from consoleproxy.proxy.sessions import SessionTable

log = logging.getLogger(__name__)

#: Connections that the kernel keeps for us while the loop is busy.
BACKLOG = 1024
#: Seconds for which a kept-alive connection may wait for its next page.
KEEPALIVE = 15.0


@dataclass(frozen=True, slots=True)
class Port:
    """A public port and what it serves."""

    number: int
    has_pages: bool
    has_consoles: bool


class Proxy:
    """One proxy in one process. ``start`` it; ``drain`` is optional; ``stop`` it always.

    ``link`` leads to the control plane, ``keys`` open its tokens.
    """

    def __init__(self, settings: Settings, link: ControlLink, keys: TokenKeys, files: PageFiles) -> None:
        self._settings = settings
        self._files = files
        self.keys = keys
        self.is_draining = False
        self.registry = CollectorRegistry()
        self._carried = Carried()
        self._table = SessionTable(most=settings.max_sessions)
        self._tasks = Tasks()
        self._patience = Patience(goodbye=settings.close_timeout, stall=settings.stall_timeout)
        self._admission = Admission(most=settings.max_pending, most_per_address=settings.max_pending_per_address)
        self._listeners: list[Listener] = []
        self._runners = AsyncExitStack()
        self.ops_port = 0
        metrics = ProxyMetrics(self.registry)
        self._context = ConsoleContext(
            link=link,
            registry=LocalRegistry(self._table, self._carried.end),
            metrics=metrics,
            patience=self._patience,
            limits=_limits(settings),
            carried=self._carried,
            keys=lambda: self.keys,
            check_admission=self._check_admission,
            dial=backends.dial,
            allowed_origins=frozenset(settings.allowed_origins),
            check_source_address=settings.check_source_address,
        )
        metrics.watch("consoleproxy_sessions", "Slots taken by consoles", lambda: len(self._table))
        metrics.watch("consoleproxy_pending", "Connections that are not yet consoles", lambda: len(self._admission))
        metrics.watch("consoleproxy_refused_connections", "Connections over a cap", lambda: self._admission.refused)

    def __len__(self) -> int:
        """Count the sessions."""
        return len(self._table)

    @property
    def ports(self) -> list[int]:
        """The public ports, in the order page, websocket; one where they are joined."""
        return [listener.port for listener in self._listeners]

    async def start(self) -> None:
        """Open the ports; raise ``ConfigError`` naming the one that cannot be had."""
        _raise_file_limit()
        try:
            for port in _ports(self._settings):
                await self._open_port(port)
            await self._open_ops_port()
        except BaseException:
            await self.stop()
            raise
        for listener in self._listeners:
            listener.start()

    async def drain(self, seconds: float) -> None:
        """Take no new consoles, and wait until the running ones have ended, at most ``seconds``."""
        self.is_draining = True
        await self._carried.wait_empty(seconds)

    async def stop(self) -> None:
        """End every console with a word, then close every port, task and socket."""
        self.is_draining = True
        for listener in self._listeners:
            listener.close()
        self._carried.end_all(Draining("the proxy stops"))
        await self._tasks.join(self._settings.close_timeout)
        await self._patience.farewells.wait_empty()
        await self._tasks.close()
        self._patience.close()
        await self._runners.aclose()
        # What was aborted is closed by the loop in its next turn.
        await asyncio.sleep(0)

    def readiness(self) -> tuple[bool, dict[str, str]]:
        """Say whether new consoles are welcome, and the state of each part."""
        is_full = len(self._table) >= self._table.most
        parts = {
            "sessions": f"{len(self._table)} of {self._table.most}",
            "drain": "draining" if self.is_draining else "no",
        }
        return not (self.is_draining or is_full), parts

    async def _open_port(self, port: Port) -> None:
        sock = listen(self._settings.listen_address, port.number)
        is_shared = port.has_pages and port.has_consoles
        app = public_app(self._files if port.has_pages else None, self.readiness, is_shared=is_shared)
        runner = await self._run(app)
        if runner.server is None:
            raise RuntimeError("the runner has no server")
        listener = Listener(
            sock,
            admission=self._admission,
            request_timeout=self._settings.request_timeout,
            tasks=self._tasks,
            pages=runner.server,
            consoles=self._take if port.has_consoles else None,
        )
        self._listeners.append(listener)

    async def _open_ops_port(self) -> None:
        if not self._settings.ops_listen:
            return
        host, _, port = self._settings.ops_listen.rpartition(":")
        sock = listen(host, int(port))
        runner = await self._run(ops_app(self.registry, self.readiness))
        await web.SockSite(runner, sock).start()
        self.ops_port = sock.getsockname()[1]

    async def _run(self, app: web.Application) -> web.AppRunner:
        runner = web.AppRunner(app, access_log=None, keepalive_timeout=KEEPALIVE, shutdown_timeout=1.0)
        await runner.setup()
        self._runners.push_async_callback(runner.cleanup)
        return runner

    async def _take(self, arrival: Arrival) -> None:
        await Console(self._context, arrival).run()

    def _check_admission(self) -> None:
        if self.is_draining:
            raise Draining("no new consoles")


def listen(host: str, port: int) -> socket.socket:
    """Return a listening, non-blocking socket; raise ``ConfigError`` when it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.create_server((host.strip("[]"), port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"cannot listen on {host}:{port}: {reason}; choose another address or port") from error
    sock.setblocking(False)
    return sock


def _ports(settings: Settings) -> list[Port]:
    if settings.single_port is not None:
        return [Port(settings.single_port, has_pages=True, has_consoles=True)]
    return [
        Port(settings.page_port, has_pages=True, has_consoles=False),
        Port(settings.websocket_port, has_pages=False, has_consoles=True),
    ]


def _limits(settings: Settings) -> Limits:
    return Limits(
        authorise=settings.authorise_timeout,
        vm_connect=settings.vm_connect_timeout,
        vm_handshake=settings.vm_handshake_timeout,
        browser_handshake=settings.browser_handshake_timeout,
        goodbye=settings.close_timeout,
        max_message=settings.max_message,
    )


def _raise_file_limit() -> None:
    """Let this process open as many descriptors as the system lets it: a console needs two."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

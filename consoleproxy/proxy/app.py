"""Builds the proxy from its settings, starts it, drains it, stops it; and ``consoleproxy proxy``."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from aiohttp import web
from prometheus_client import CollectorRegistry

from consoleproxy import backends
from consoleproxy.access.token import TokenKeys
from consoleproxy.config import Settings
from consoleproxy.errors import Draining, ManagerAwayError, SessionEnded
from consoleproxy.links import ControlLink
from consoleproxy.links.http import HTTPLink
from consoleproxy.links.state import Identity, kept_proxy_id
from consoleproxy.net.listening import is_loopback, listen, listen_at
from consoleproxy.net.tasks import Tasks
from consoleproxy.ops.logs import start_logging
from consoleproxy.ops.metrics import ProxyMetrics
from consoleproxy.ops.pages import PageFiles, find_page_files
from consoleproxy.ops.process import Service, serve
from consoleproxy.ops.routes import ops_app
from consoleproxy.proxy.capacity import consoles_that_fit, raise_file_limit
from consoleproxy.proxy.carried import Carried
from consoleproxy.proxy.console import Console, ConsoleContext, Limits
from consoleproxy.proxy.control import AppControl
from consoleproxy.proxy.end import Carriage, Patience
from consoleproxy.proxy.listener import Admission, Arrival, Listener
from consoleproxy.proxy.pages import public_app
from consoleproxy.proxy.registry import LocalRegistry
from consoleproxy.proxy.sessions import SessionTable
from consoleproxy.proxy.throttle import Throttle

log = logging.getLogger(__name__)

#: Seconds for which a kept-alive connection may wait for its next page.
KEEPALIVE = 15.0

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound


@dataclass(frozen=True, slots=True)
class Port:
    """A public port and what it serves."""

    number: int
    has_pages: bool
    has_consoles: bool


class Proxy:
    """One proxy in one process. ``start`` it; ``drain`` is optional; ``stop`` it always.

    ``link`` leads to the control plane; the proxy starts and closes it. ``keys`` open its tokens;
    without them the proxy waits for the manager's. ``identity`` is who the manager takes it for.
    """

    def __init__(
        self,
        settings: Settings,
        link: ControlLink,
        keys: TokenKeys | None,
        files: PageFiles,
        identity: Identity | None = None,
    ) -> None:
        self._settings = settings
        self._link = link
        self._files = files
        self.control = AppControl(self, identity or Identity())
        self.keys = keys
        self.is_draining = False
        self.checks_source_address = settings.check_source_address
        self.registry = CollectorRegistry()
        self._carried = Carried()
        #: How many consoles this process has open files for.
        self.fits = consoles_that_fit(raise_file_limit(), max_pending=settings.max_pending)
        self._table = SessionTable(most=min(settings.max_sessions, self.fits))
        self._tasks = Tasks()
        self._carriage = Carriage(
            Patience(goodbye=settings.close_timeout, stall=settings.stall_timeout),
            Throttle(session=settings.session_bandwidth, proxy=settings.proxy_bandwidth),
        )
        self._admission = Admission(most=settings.max_pending, most_per_address=settings.max_pending_per_address)
        self._listeners: list[Listener] = []
        self._runners = AsyncExitStack()
        self.ops_port = 0
        metrics = ProxyMetrics(self.registry)
        self._context = ConsoleContext(
            link=link,
            registry=LocalRegistry(self._table, self._carried.end),
            metrics=metrics,
            carriage=self._carriage,
            limits=_limits(settings),
            carried=self._carried,
            keys=self._token_keys,
            check_admission=self._check_admission,
            dial=backends.dial,
            allowed_origins=frozenset(settings.allowed_origins),
            checks_source_address=lambda: self.checks_source_address,
        )
        metrics.watch("consoleproxy_sessions", "Slots taken by consoles", lambda: len(self._table))
        metrics.watch("consoleproxy_sessions_max", "Slots that there are", lambda: self._table.most)
        metrics.watch(
            "consoleproxy_sessions_fit", "Consoles that the open-file limit leaves room for", lambda: self.fits
        )
        metrics.watch("consoleproxy_tasks", "Tasks of the process", lambda: len(asyncio.all_tasks()))
        metrics.watch("consoleproxy_pending", "Connections that are not yet consoles", lambda: len(self._admission))
        metrics.watch("consoleproxy_refused_connections", "Connections over a cap", lambda: self._admission.refused)
        metrics.watch(
            "consoleproxy_plaintext_listeners",
            "Public ports without TLS that other machines can reach",
            lambda: 0 if is_loopback(settings.listen_address) else len(self._listeners),
        )
        metrics.watch("consoleproxy_link_up", "Whether the manager knows this proxy now", lambda: link.is_up)
        metrics.watch("consoleproxy_link_reports", "Reports that the manager has acknowledged", lambda: link.reports)

    def __len__(self) -> int:
        """Count the sessions."""
        return len(self._table)

    @property
    def ports(self) -> list[int]:
        """The public ports, in the order page, websocket; one where they are joined."""
        return [listener.port for listener in self._listeners]

    @property
    def capacity(self) -> int:
        """The most consoles at once."""
        return self._table.most

    @property
    def address(self) -> str:
        """Where browsers find it: all addresses is where to listen, not where to go."""
        listening = self._settings.listen_address
        return self._settings.public_address or _ANY_ADDRESS.get(listening, listening)

    async def start(self) -> None:
        """Open the ports; raise ``ConfigError`` naming the one that cannot be had."""
        if self.capacity < self._settings.max_sessions:
            log.warning(
                "fewer consoles fit than max_sessions says: raise the limit of open files (ulimit -n)",
                extra={"max_sessions": self._settings.max_sessions, "fits": self.fits},
            )
        try:
            for port in _ports(self._settings):
                await self._open_port(port)
            await self._open_ops_port()
            await self._link.start(self.control)
        except BaseException:
            await self.stop()
            raise
        for listener in self._listeners:
            listener.start()
        if not is_loopback(self._settings.listen_address):
            log.warning(
                "consoles are served without TLS: put a TLS-terminating proxy in front, and let nobody else reach us",
                extra={"address": self._settings.listen_address, "ports": self.ports},
            )

    async def drain(self, seconds: float) -> None:
        """Take no new consoles, and wait until the running ones have ended, at most ``seconds``."""
        self.is_draining = True
        self._link.draining()
        await self._carried.wait_empty(seconds)

    def end_session(self, session_id: str, error: SessionEnded) -> bool:
        """End the console of a session for ``error``; false when there is none."""
        return self._carried.end_session(session_id, error)

    async def stop(self) -> None:
        """End every console with a word, then close every port, task and socket."""
        self.is_draining = True
        for listener in self._listeners:
            listener.close()
        self._carried.end_all(Draining("the proxy stops"))
        await self._tasks.join(self._settings.close_timeout)
        await self._carriage.patience.farewells.wait_empty()
        await self._tasks.close()
        self._carriage.close()
        # The last ends are told before the link goes.
        await self._link.close()
        await self._runners.aclose()
        # What was aborted is closed by the loop in its next turn.
        await asyncio.sleep(0)

    def readiness(self) -> tuple[bool, dict[str, str]]:
        """Say whether new consoles are welcome, and the state of each part."""
        is_full = len(self._table) >= self._table.most
        parts = {
            "sessions": f"{len(self._table)} of {self._table.most}",
            "drain": "draining" if self.is_draining else "no",
            "manager": "linked" if self._link.is_up else "away",
        }
        return self._link.is_up and not (self.is_draining or is_full), parts

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
        sock = listen_at(self._settings.ops_listen)
        runner = await self._run(ops_app(self.registry, self.readiness))
        await web.SockSite(runner, sock).start()
        self.ops_port = sock.getsockname()[1]

    async def _run(self, app: web.Application) -> web.AppRunner:
        runner = web.AppRunner(app, access_log=None, keepalive_timeout=KEEPALIVE, shutdown_timeout=1.0)
        await runner.setup()
        self._runners.push_async_callback(runner.cleanup)
        return runner

    async def _take(self, arrival: Arrival) -> None:
        console = Console(self._context, viewer=arrival.address, has_events=arrival.upgrade.has_events)
        await console.run(arrival)

    def _check_admission(self) -> None:
        if self.is_draining:
            raise Draining("no new consoles")

    def _token_keys(self) -> TokenKeys:
        if self.keys is None:
            raise ManagerAwayError("the manager has not sent the token keys yet")
        return self.keys


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


def run(settings: Settings, folder: Path, *, json_output: bool) -> None:
    """Run the proxy until it is asked to stop; SIGTERM lets its consoles end by themselves first.

    ``folder`` keeps its id. ``json_output``: tell its addresses on standard output once it is ready.
    Raises ``ConfigError`` when it cannot start.
    """
    start_logging(settings.log_level, settings.log_format)

    async def announce(service: Service) -> None:
        _announce(cast("_Program", service), json_output=json_output)

    serve(lambda: _Program(settings, folder), announce)


class _Program:
    """The proxy and its link as a service."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        ca_file = Path(settings.manager_ca) if settings.manager_ca else None
        link = HTTPLink(settings.manager_url, settings.link_secret, ca_file=ca_file)
        identity = Identity(settings.proxy_name, settings.public_address, kept_proxy_id(folder))
        self.proxy = Proxy(settings, link, None, find_page_files(), identity)

    async def start(self) -> None:
        await self.proxy.start()

    async def drain(self) -> None:
        await self.proxy.drain(self.settings.drain_timeout)

    async def stop(self) -> None:
        await self.proxy.stop()


def _announce(program: _Program, *, json_output: bool) -> None:
    told = addresses(program.proxy, program.settings.proxy_name)
    fields = {"proxy": told["name"], "http_url": told["http_url"], "websocket_url": told["websocket_url"]}
    room = {"max_sessions": program.proxy.capacity, "fits": program.proxy.fits}
    links = {"ops_url": told["ops_url"], "manager": program.settings.manager_url}
    log.info("proxy ready", extra={**fields, **links, **room})
    if json_output:
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


def addresses(proxy: Proxy, name: str) -> dict[str, str | int]:
    """Return where a proxy in this process is found, for scripts and people."""
    host = f"[{proxy.address}]" if ":" in proxy.address else proxy.address
    return {
        "name": name,
        "http_url": f"http://{host}:{proxy.ports[0]}",
        "websocket_url": f"ws://{host}:{proxy.ports[-1]}/websockify",
        "ops_url": f"http://127.0.0.1:{proxy.ops_port}" if proxy.ops_port else "",
        "pid": os.getpid(),
    }

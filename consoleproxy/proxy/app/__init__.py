"""The house of a proxy: builds it from its settings, starts it, drains it, stops it.

The house keeps what there is once: the control link, the token keys, the policy, the table
of slots, the operators' port. Its crew carries the consoles, in this process or in workers.

``program``  ``consoleproxy proxy``: the proxy as a service, its signals
``plans``    from settings to what the carrying part has to know
"""

from __future__ import annotations

import logging
import os
import socket
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry

from consoleproxy.access.token import TokenKeys
from consoleproxy.config import Settings
from consoleproxy.errors import SessionEnded
from consoleproxy.links import ControlLink
from consoleproxy.links.state import Identity
from consoleproxy.net.listening import is_loopback, listen_at
from consoleproxy.ops.metrics import watch
from consoleproxy.ops.pages import PageFiles
from consoleproxy.ops.routes import ops_app
from consoleproxy.proxy.app.plans import plan_of, port_numbers
from consoleproxy.proxy.certificate import Certificate
from consoleproxy.proxy.control import AppControl
from consoleproxy.proxy.crew import Crew, LocalCrew
from consoleproxy.proxy.plan import Policy
from consoleproxy.proxy.sessions import SessionTable
from consoleproxy.proxy.workers.crew import WorkerCrew
from consoleproxy.proxy.workers.handover import Inherited
from consoleproxy.proxy.workers.house import Household, WorkerOptions

log = logging.getLogger(__name__)

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound


class Proxy:
    """One proxy. ``start`` it; ``drain`` is optional; ``stop`` it always.

    ``link`` leads to the control plane; the proxy starts and closes it. ``keys`` open its tokens;
    without them the proxy waits for the manager's. ``identity`` is who the manager takes it for.
    ``folder`` is where workers find the next supervisor, ``inherited`` what this process's earlier self left.
    """

    def __init__(
        self,
        settings: Settings,
        link: ControlLink,
        keys: TokenKeys | None,
        files: PageFiles,
        identity: Identity | None = None,
        *,
        folder: Path | None = None,
        inherited: Inherited | None = None,
    ) -> None:
        self._settings = settings
        self._link = link
        self._policy = Policy(keys, checks_source_address=settings.check_source_address)
        self.control = AppControl(self, identity or Identity())
        self.registry = CollectorRegistry()
        self.certificate: Certificate | None = None
        if settings.tls_cert or settings.tls_key:
            self.certificate = Certificate(
                settings.tls_cert, settings.tls_key, self.registry, self._certificate_changed
            )
            self._policy.tls = self.certificate.contexts
        self._table = SessionTable(most=settings.max_sessions)
        self._inherited = inherited
        self.crew: Crew = self._make_crew(files, folder)
        self._table.most = min(settings.max_sessions, self.crew.fits)
        self._runners = AsyncExitStack()
        self.ops_port = 0
        self._ops_socket: socket.socket | None = None
        self._add_metrics()

    def __len__(self) -> int:
        """Count the sessions."""
        return len(self._table)

    @property
    def ports(self) -> list[int]:
        """The public ports, in the order page, websocket; one where they are joined."""
        return self.crew.ports

    @property
    def fits(self) -> int:
        """How many consoles there are open files for."""
        return self.crew.fits

    @property
    def capacity(self) -> int:
        """The most consoles at once."""
        return self._table.most

    @property
    def is_tls(self) -> bool:
        """Whether the public ports speak TLS."""
        return self.certificate is not None

    @property
    def address(self) -> str:
        """Where browsers find it: all addresses is where to listen, not where to go."""
        listening = self._settings.listen_address
        return self._settings.public_address or _ANY_ADDRESS.get(listening, listening)

    @property
    def keys(self) -> TokenKeys | None:
        """What opens tokens."""
        return self._policy.keys

    @keys.setter
    def keys(self, keys: TokenKeys | None) -> None:
        self._policy.keys = keys
        self.crew.policy_changed()

    @property
    def is_draining(self) -> bool:
        """Whether no new consoles are taken."""
        return self._policy.is_draining

    @is_draining.setter
    def is_draining(self, is_draining: bool) -> None:
        self._policy.is_draining = is_draining
        self.crew.policy_changed()

    @property
    def checks_source_address(self) -> bool:
        """Whether a link opens only from the address that asked for it."""
        return self._policy.checks_source_address

    @checks_source_address.setter
    def checks_source_address(self, is_checked: bool) -> None:
        self._policy.checks_source_address = is_checked
        self.crew.policy_changed()

    async def start(self) -> None:
        """Open the ports; raise ``ConfigError`` naming the one that cannot be had."""
        if self.capacity < self._settings.max_sessions:
            log.warning(
                "fewer consoles fit than max_sessions says: raise the limit of open files (ulimit -n)",
                extra={"max_sessions": self._settings.max_sessions, "fits": self.fits},
            )
        try:
            await self.crew.open(self._settings.listen_address, port_numbers(self._settings))
            await self._open_ops_port()
            await self._link.start(self.control)
            await self.crew.start()
        except BaseException:
            await self.stop()
            raise
        if self.certificate is not None:
            self.certificate.start()
        elif not is_loopback(self._settings.listen_address):
            log.warning(
                "consoles are served without TLS: put a TLS-terminating proxy in front, and let nobody else reach us",
                extra={"address": self._settings.listen_address, "ports": self.ports},
            )

    async def drain(self, seconds: float) -> None:
        """Take no new consoles, and wait until the running ones have ended, at most ``seconds``."""
        self.is_draining = True
        self._link.draining()
        await self.crew.wait_empty(seconds)

    def end_session(self, session_id: str, error: SessionEnded) -> bool:
        """End the console of a session for ``error``; false when there is none."""
        return self.crew.end_session(session_id, error)

    async def stop(self) -> None:
        """End every console with a word, then close every port, task and socket."""
        self.is_draining = True
        if self.certificate is not None:
            self.certificate.close()
        await self.crew.stop()
        # The last ends are told before the link goes.
        await self._link.close()
        await self._runners.aclose()

    def readiness(self) -> tuple[bool, dict[str, str]]:
        """Say whether new consoles are welcome, and the state of each part."""
        is_full = len(self._table) >= self._table.most
        is_crew_ready, crew_parts = self.crew.parts()
        parts = {
            "sessions": f"{len(self._table)} of {self._table.most}",
            "drain": "draining" if self.is_draining else "no",
            "manager": "linked" if self._link.is_up else "away",
            **crew_parts,
        }
        return self._link.is_up and is_crew_ready and not (self.is_draining or is_full), parts

    def _certificate_changed(self) -> None:
        self.crew.policy_changed()

    def use_settings(self, settings: Settings) -> None:
        """Take what can change while the proxy runs: limits, deadlines, origins. Ports and workers stay."""
        self._settings = replace(settings, workers=self._settings.workers)
        self._table.most = min(settings.max_sessions, self.crew.fits)
        self.crew.use_plan(plan_of(settings, processes=max(1, self._settings.workers or 1)))

    async def hand_over(self, seconds: float) -> Inherited:
        """Finish what is asked, and return what the next self of this process needs; only exec may follow."""
        left = await self.crew.hand_over(seconds) if isinstance(self.crew, WorkerCrew) else Inherited()
        others = {}
        if self._ops_socket is not None:
            others["ops"] = self._ops_socket.fileno()
        return replace(left, others=others)

    def _make_crew(self, files: PageFiles, folder: Path | None) -> Crew:
        settings = self._settings
        if not settings.workers:
            return LocalCrew(
                plan_of(settings),
                self._policy,
                table=self._table,
                link=self._link,
                registry=self.registry,
                files=files,
                readiness=self.readiness,
            )
        options = WorkerOptions(
            settings.workers, folder, settings.drain_timeout, settings.log_level, settings.log_format
        )
        house = Household(self._policy, self._table, self._link, self.registry, self.readiness)
        return WorkerCrew(plan_of(settings, processes=settings.workers), house, options, inherited=self._inherited)

    async def _open_ops_port(self) -> None:
        if not self._settings.ops_listen:
            return
        left = self._inherited.others.get("ops") if self._inherited else None
        sock = self._ops_socket = socket.socket(fileno=left) if left else listen_at(self._settings.ops_listen)
        app = ops_app(self.registry, self.readiness, refresh=self.crew.refresh)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._runners.push_async_callback(runner.cleanup)
        await web.SockSite(runner, sock).start()
        self.ops_port = sock.getsockname()[1]

    def _add_metrics(self) -> None:
        link, table = self._link, self._table
        is_alone = self.is_tls or is_loopback(self._settings.listen_address)
        for name, text, read in (
            ("consoleproxy_sessions", "Slots taken by consoles", lambda: len(table)),
            ("consoleproxy_sessions_max", "Slots that there are", lambda: table.most),
            ("consoleproxy_sessions_fit", "Consoles that the open-file limit leaves room for", lambda: self.fits),
            (
                "consoleproxy_plaintext_listeners",
                "Public ports without TLS that other machines can reach",
                lambda: 0 if is_alone else len(self.ports),
            ),
            ("consoleproxy_link_up", "Whether the manager knows this proxy now", lambda: link.is_up),
            ("consoleproxy_link_reports", "Reports that the manager has acknowledged", lambda: link.reports),
        ):
            watch(self.registry, name, text, read)


def addresses(proxy: Proxy, name: str) -> dict[str, str | int]:
    """Return where a proxy in this process is found, for scripts and people."""
    host = f"[{proxy.address}]" if ":" in proxy.address else proxy.address
    return {
        "name": name,
        "http_url": f"{'https' if proxy.is_tls else 'http'}://{host}:{proxy.ports[0]}",
        "websocket_url": f"{'wss' if proxy.is_tls else 'ws'}://{host}:{proxy.ports[-1]}/websockify",
        "ops_url": f"http://127.0.0.1:{proxy.ops_port}" if proxy.ops_port else "",
        "pid": os.getpid(),
    }

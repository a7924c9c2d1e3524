"""Who carries the consoles of a proxy: this process alone, or workers.

The house (``app.Proxy``) keeps the control link, the keys, the policy and the table of
slots; its crew keeps the doors and the consoles.
"""

from __future__ import annotations

import socket
from typing import Protocol

from prometheus_client import CollectorRegistry

from consoleproxy.errors import SessionEnded
from consoleproxy.links import AccessLink
from consoleproxy.net.listening import listen
from consoleproxy.ops.metrics import ProxyMetrics
from consoleproxy.ops.pages import PageFiles
from consoleproxy.ops.routes import Readiness
from consoleproxy.proxy.capacity import consoles_that_fit, raise_file_limit
from consoleproxy.proxy.carried import Carried
from consoleproxy.proxy.carrier import Carrier
from consoleproxy.proxy.plan import Plan, Policy
from consoleproxy.proxy.registry import LocalRegistry
from consoleproxy.proxy.sessions import SessionTable


class Crew(Protocol):
    """Carries consoles: ``open``, then ``start``; ``stop`` always, before the link goes."""

    @property
    def fits(self) -> int:
        """How many consoles there are open files for."""

    @property
    def ports(self) -> list[int]:
        """The public ports, in the order of the plan's doors."""

    async def open(self, host: str, ports: list[int]) -> None:
        """Have the ports, and know what is carried already; raise ``ConfigError`` naming the one that is taken."""

    async def start(self) -> None:
        """Take consoles from now on."""

    def policy_changed(self) -> None:
        """Follow the policy, which has changed."""

    def use_plan(self, plan: Plan) -> None:
        """Open new consoles as ``plan`` says."""

    def end_session(self, session_id: str, error: SessionEnded) -> bool:
        """End the consoles of a session, in whatever phase; false when there is none."""

    async def wait_empty(self, seconds: float) -> None:
        """Return when no console is left, or after ``seconds``."""

    def parts(self) -> tuple[bool, dict[str, str]]:
        """Say whether somebody is there to take consoles, and the state of each part."""

    async def refresh(self) -> None:
        """Have the metrics of all processes, before they are read."""

    async def stop(self) -> None:
        """End every console with a word, and leave nothing behind."""


class LocalCrew:
    """One process that does it all."""

    def __init__(
        self,
        plan: Plan,
        policy: Policy,
        *,
        table: SessionTable,
        link: AccessLink,
        registry: CollectorRegistry,
        files: PageFiles,
        readiness: Readiness,
    ) -> None:
        self.fits = consoles_that_fit(raise_file_limit(), max_pending=plan.max_pending)
        self._files = files
        self._readiness = readiness
        self._carried = Carried()
        self._sockets: list[socket.socket] = []
        self.carrier = Carrier(
            plan,
            policy,
            link=link,
            registry=LocalRegistry(table, self._carried.end),
            carried=self._carried,
            metrics=ProxyMetrics(registry),
        )
        self._ports: list[int] = []

    @property
    def ports(self) -> list[int]:
        """The public ports."""
        return self._ports

    async def open(self, host: str, ports: list[int]) -> None:
        """Open the ports; who connects waits until ``start``."""
        for port in ports:
            self._sockets.append(listen(host, port))
        self._ports = [sock.getsockname()[1] for sock in self._sockets]
        await self.carrier.start(self._files, self._readiness)

    async def start(self) -> None:
        """Take consoles from now on."""
        self.carrier.accept(0, self._sockets)
        self._close_sockets()

    def policy_changed(self) -> None:
        """Nothing to do: the consoles ask the policy itself."""

    def use_plan(self, plan: Plan) -> None:
        """Open new consoles as ``plan`` says."""
        self.carrier.use_plan(plan)

    def end_session(self, session_id: str, error: SessionEnded) -> bool:
        """End the consoles of a session; false when there is none."""
        return self._carried.end_session(session_id, error)

    async def wait_empty(self, seconds: float) -> None:
        """Return when no console is left, or after ``seconds``."""
        await self._carried.wait_empty(seconds)

    def parts(self) -> tuple[bool, dict[str, str]]:
        """There is nobody else."""
        return True, {}

    async def refresh(self) -> None:
        """Nothing to do: the metrics are of this process."""

    async def stop(self) -> None:
        """End every console with a word, then close every door, task and socket."""
        self._close_sockets()
        await self.carrier.stop()

    def _close_sockets(self) -> None:
        for sock in self._sockets:
            sock.close()
        self._sockets = []

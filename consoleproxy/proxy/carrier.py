"""The part of a proxy that carries consoles: doors, the page, consoles and their relays.

One process has one, whether it is the whole proxy or one worker of it. Who decides (the
table of slots, the control plane, the policy) is reached by ``registry``, ``link`` and
``policy``, and may lie in another process.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from aiohttp import web

from consoleproxy import backends
from consoleproxy.errors import Draining
from consoleproxy.links import AccessLink
from consoleproxy.net.tasks import Tasks
from consoleproxy.ops.metrics import ProxyMetrics
from consoleproxy.ops.pages import PageFiles
from consoleproxy.ops.routes import Readiness
from consoleproxy.proxy.carried import Carried
from consoleproxy.proxy.console import Console, ConsoleContext
from consoleproxy.proxy.end import Carriage, Patience
from consoleproxy.proxy.listener import Admission, Arrival, Listener
from consoleproxy.proxy.pages import public_app
from consoleproxy.proxy.plan import Door, Plan, Policy
from consoleproxy.proxy.registry import Registry
from consoleproxy.proxy.throttle import Throttle
from consoleproxy.proxy.tls_door import TLSDoor

#: Seconds for which a kept-alive connection may wait for its next page.
KEEPALIVE = 15.0


class Carrier:
    """Carries consoles. ``start`` it, ``accept`` on sockets, ``stop`` it always.

    ``carried`` is where its consoles stand; ``readiness`` is what the public ports answer to balancers.
    """

    def __init__(
        self,
        plan: Plan,
        policy: Policy,
        *,
        link: AccessLink,
        registry: Registry,
        carried: Carried,
        metrics: ProxyMetrics,
    ) -> None:
        self._plan = plan
        self.carried = carried
        self.tasks = Tasks()
        self.carriage = Carriage(
            Patience(goodbye=plan.limits.goodbye, stall=plan.stall_timeout),
            Throttle(session=plan.session_bandwidth, proxy=plan.proxy_bandwidth),
        )
        self.admission = Admission(most=plan.max_pending, most_per_address=plan.max_pending_per_address)
        self._tls = TLSDoor(policy.tls, metrics) if policy.tls is not None else None
        self._runners = AsyncExitStack()
        self._servers: list[web.Server] = []
        self._listeners: dict[int, list[Listener]] = {}
        self.context = ConsoleContext(
            link=link,
            registry=registry,
            metrics=metrics,
            carriage=self.carriage,
            limits=plan.limits,
            carried=carried,
            keys=policy.token_keys,
            check_admission=policy.check_admission,
            dial=backends.dial,
            allowed_origins=frozenset(plan.allowed_origins),
            checks_source_address=lambda: policy.checks_source_address,
        )
        metrics.watch("consoleproxy_tasks", "Tasks of the process", lambda: len(asyncio.all_tasks()))
        metrics.watch("consoleproxy_pending", "Connections that are not yet consoles", lambda: len(self.admission))
        metrics.watch("consoleproxy_refused_connections", "Connections over a cap", lambda: self.admission.refused)

    @property
    def slots(self) -> set[int]:
        """The slots on whose sockets it accepts."""
        return set(self._listeners)

    async def start(self, files: PageFiles, readiness: Readiness) -> None:
        """Make the pages ready."""
        for door in self._plan.doors:
            is_shared = door.has_pages and door.has_consoles
            app = public_app(files if door.has_pages else None, readiness, is_shared=is_shared)
            runner = web.AppRunner(app, access_log=None, keepalive_timeout=KEEPALIVE, shutdown_timeout=1.0)
            await runner.setup()
            self._runners.push_async_callback(runner.cleanup)
            if runner.server is None:
                raise RuntimeError("the runner has no server")
            self._servers.append(runner.server)

    def use_plan(self, plan: Plan) -> None:
        """Open new consoles with the limits and origins of ``plan``; what is bound to the process stays as it was."""
        self.context = replace(self.context, limits=plan.limits, allowed_origins=frozenset(plan.allowed_origins))

    def accept(self, slot: int, sockets: Sequence[socket.socket]) -> None:
        """Accept on ``sockets``, one for each door, until ``leave``; they stay the caller's."""
        doors = zip(self._plan.doors, self._servers, sockets, strict=True)
        self._listeners[slot] = [self._listener(door, server, sock.dup()) for door, server, sock in doors]
        for listener in self._listeners[slot]:
            listener.start()

    def leave(self, slot: int) -> None:
        """Accept nothing more on the sockets of ``slot``; connections that came in go on."""
        for listener in self._listeners.pop(slot, ()):
            listener.close()

    def leave_all(self) -> None:
        """Accept nothing more."""
        for slot in list(self._listeners):
            self.leave(slot)

    async def stop(self) -> None:
        """End every console with a word, then close every door, task and socket."""
        self.leave_all()
        self.carried.end_all(Draining("the proxy stops"))
        await self.tasks.join(self._plan.limits.goodbye)
        await self.carriage.patience.farewells.wait_empty()
        await self.tasks.close()
        self.carriage.close()
        await self._runners.aclose()
        # What was aborted is closed by the loop in its next turn.
        await asyncio.sleep(0)

    def _listener(self, door: Door, pages: web.Server, sock: socket.socket) -> Listener:
        return Listener(
            sock,
            admission=self.admission,
            request_timeout=self._plan.request_timeout,
            tasks=self.tasks,
            pages=pages,
            consoles=self._take if door.has_consoles else None,
            tls=self._tls,
        )

    async def _take(self, arrival: Arrival) -> None:
        console = Console(self.context, viewer=arrival.address, has_events=arrival.upgrade.has_events)
        await console.run(arrival)

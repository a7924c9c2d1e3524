"""``consoleproxy proxy``: the proxy as a service, and what its signals mean.

SIGTERM drains, a second one ends at once. SIGHUP reads the certificate again. SIGUSR2
(``consoleproxy reload``) replaces the whole program, after a child of the new one has
proved that it comes up; without workers it does what SIGHUP does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

from consoleproxy.config import Settings
from consoleproxy.errors import ConfigError
from consoleproxy.links.http import HTTPLink
from consoleproxy.links.state import Identity, kept_proxy_id
from consoleproxy.net.tasks import Tasks
from consoleproxy.ops.logs import start_logging
from consoleproxy.ops.pages import find_page_files
from consoleproxy.ops.process import Service, serve
from consoleproxy.proxy.app import Proxy, addresses
from consoleproxy.proxy.app.plans import plan_of
from consoleproxy.proxy.workers import handover
from consoleproxy.proxy.workers.crew import WorkerCrew
from consoleproxy.proxy.workers.handover import Inherited
from consoleproxy.proxy.workers.operators import OperatorsDoor
from consoleproxy.proxy.workers.probe import ask_probe, start_a_worker

log = logging.getLogger(__name__)

#: Signals that wait while the program replaces itself.
_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
#: Seconds for what consoles have asked to be answered before the program replaces itself.
_ANSWERS = 5.0
#: Seconds from the answer to an operator to the act: the answer has to leave.
_MOMENT = 0.05
#: Seconds for which the link of the earlier self is kept, if the new one does not come up.
_LINK_KEPT = 15.0


def run(settings: Settings, folder: Path, *, json_output: bool, reread: Callable[[], Settings]) -> None:
    """Run the proxy until it is asked to stop; SIGTERM lets its consoles end by themselves first.

    ``folder`` keeps its id. ``json_output``: tell its addresses on standard output once it is ready.
    ``reread`` returns the settings as they are now. Raises ``ConfigError`` when it cannot start.
    """
    start_logging(settings.log_level, settings.log_format)
    inherited = handover.find()

    async def announce(service: Service) -> None:
        # Who has started the program has been told by its earlier self.
        _announce(cast("_Program", service), json_output=json_output and inherited is None)

    serve(lambda: _Program(settings, folder, inherited, reread), announce)


def probe(settings: Settings, folder: Path) -> None:
    """Prove that this program would come up with these settings, without binding anything: a worker says ready.

    Raises ``ConfigError``.
    """
    if not settings.workers:
        raise ConfigError("workers is 0: a reload cannot do away with workers, restart instead")

    async def prove() -> None:
        # Nothing is started: making them reads what they need.
        program = _Program(settings, folder, None, lambda: settings)
        tls = program.proxy.certificate.contexts if program.proxy.certificate else None
        await start_a_worker(plan_of(settings), tls)

    asyncio.run(prove())


class _Program:
    """The proxy and its link as a service."""

    def __init__(
        self, settings: Settings, folder: Path, inherited: Inherited | None, reread: Callable[[], Settings]
    ) -> None:
        self.settings = settings
        self._reread_settings = reread
        ca_file = Path(settings.manager_ca) if settings.manager_ca else None
        self._link = HTTPLink(settings.manager_url, settings.link_secret, ca_file=ca_file)
        identity = Identity(settings.proxy_name, settings.public_address, kept_proxy_id(folder))
        self.proxy = Proxy(settings, self._link, None, find_page_files(), identity, folder=folder, inherited=inherited)
        self._tasks = Tasks()
        self._is_reloading = False
        self._old_link = inherited.others.get("link") if inherited else None
        self._door: OperatorsDoor | None = None
        if isinstance(self.proxy.crew, WorkerCrew):
            self.proxy.crew.on_reload = self._reload
        else:
            self._door = OperatorsDoor(folder, self._reload)

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._reread)
        loop.add_signal_handler(signal.SIGUSR2, self._spawn_reload)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        if self._old_link is not None:
            self._tasks.spawn(self._drop_old_link(self._old_link), name="drop the old link")
        if self._door is not None:
            self._door.start()
        await self.proxy.start()

    async def drain(self) -> None:
        await self.proxy.drain(self.settings.drain_timeout)

    async def stop(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGHUP, signal.SIGUSR2):
            loop.remove_signal_handler(number)
        await self._tasks.close()
        if self._door is not None:
            await self._door.close()
        await self.proxy.stop()

    def _reread(self) -> None:
        """Read settings and certificate again; a broken one changes nothing."""
        try:
            settings = self._reread_settings()
        except ConfigError as error:
            log.error("settings not taken: %s; those before hold", error)  # noqa: TRY400 - it is the file's fault
        else:
            start_logging(settings.log_level, settings.log_format)
            self.proxy.use_settings(settings)
            log.info("settings read again")
        if self.proxy.certificate is not None:
            self.proxy.certificate.reload()

    def _spawn_reload(self) -> None:
        self._tasks.spawn(self._reload(), name="reload")

    async def _reload(self) -> str:
        """Replace the program soon, and return nothing; or return why not."""
        why_not = await self._prepare_reload()
        if why_not:
            log.error("reload refused", extra={"detail": why_not})
        return why_not

    async def _prepare_reload(self) -> str:
        if not isinstance(self.proxy.crew, WorkerCrew):
            self._reread()
            return ""
        if self._is_reloading or self.proxy.is_draining:
            return "the proxy is draining" if self.proxy.is_draining else "a reload is under way"
        self._is_reloading = True
        try:
            if why_not := await ask_probe():
                return why_not
            asyncio.get_running_loop().call_later(_MOMENT, self._spawn_replacement)
        finally:
            self._is_reloading = False
        return ""

    def _spawn_replacement(self) -> None:
        self._is_reloading = True
        self._tasks.spawn(self._replace(), name="replace the program")

    async def _replace(self) -> None:
        log.info("the program replaces itself")
        left = await self.proxy.hand_over(_ANSWERS)
        await self._link.flush()
        others = dict(left.others)
        # While this connection lasts the manager goes on sending viewers here.
        if (link := self._link.duplicate_connection()) is not None:
            others["link"] = link
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        handover.leave(replace(left, others=others))
        sys.stdout.flush()
        try:
            os.execv(sys.executable, (sys.executable, *sys.orig_argv[1:]))  # noqa: S606 - ourselves
        except OSError:
            # Who starts us again brings the workers back; we have let go of them.
            log.exception("the program cannot replace itself")
            os._exit(1)

    async def _drop_old_link(self, file: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINK_KEPT):
                while not self._link.is_up:  # noqa: ASYNC110 - once in a program's life
                    await asyncio.sleep(0.05)
        os.close(file)


def _announce(program: _Program, *, json_output: bool) -> None:
    told = addresses(program.proxy, program.settings.proxy_name)
    fields = {"proxy": told["name"], "http_url": told["http_url"], "websocket_url": told["websocket_url"]}
    room = {"max_sessions": program.proxy.capacity, "fits": program.proxy.fits}
    links = {"ops_url": told["ops_url"], "manager": program.settings.manager_url}
    log.info("proxy ready", extra={**fields, **links, **room, "workers": program.settings.workers})
    if json_output:
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()

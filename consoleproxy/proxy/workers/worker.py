"""A worker: one process of several that carries consoles for a supervisor.

It has no settings, no link and no keys of its own: all comes over its line. When the
supervisor dies it keeps its consoles, accepts nothing, and looks for the next one at the
gate in the state folder; to that it tells what it carries and hands its listening sockets
back.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import uvloop
from prometheus_client import CollectorRegistry

from consoleproxy.access.token import TokenKeys
from consoleproxy.net.packets import close_files
from consoleproxy.net.tasks import Tasks
from consoleproxy.net.tls import KeyPair, TLSContexts
from consoleproxy.net.waiting import wait_until
from consoleproxy.ops.logs import start_logging
from consoleproxy.ops.metrics import ProxyMetrics
from consoleproxy.ops.pages import find_page_files
from consoleproxy.ops.process import leave_the_old_alone
from consoleproxy.ops.samples import take_snapshot
from consoleproxy.proxy.capacity import consoles_that_fit, raise_file_limit
from consoleproxy.proxy.carried import Carried
from consoleproxy.proxy.carrier import Carrier
from consoleproxy.proxy.plan import Policy
from consoleproxy.proxy.workers.endings import ending
from consoleproxy.proxy.workers.gate import knock
from consoleproxy.proxy.workers.line import Line
from consoleproxy.proxy.workers.orders import (
    Accept,
    Announce,
    Announced,
    AskSamples,
    Carry,
    Certificates,
    Configure,
    EndConsole,
    Give,
    Hold,
    Order,
    Ping,
    PolicyPush,
    Pong,
    Ready,
    Replan,
    Retire,
    Samples,
    Stop,
    Told,
    WhoAreYou,
)
from consoleproxy.proxy.workers.privileges import drop_capabilities
from consoleproxy.proxy.workers.remote import RemoteLink, RemoteRegistry

log = logging.getLogger(__name__)

#: Seconds without a word from the supervisor after which nothing more is accepted.
SILENCE = 10.0
#: Seconds that a worker without consoles waits for a new supervisor: connections may wait in its sockets.
IDLE_PATIENCE = 30.0
#: Seconds between two looks for the supervisor.
LOOK_AGAIN = 0.1
#: Seconds for the last words to leave.
LAST_WORDS = 2.0
#: Slots told in one packet.
SLOTS_IN_PACKET = 50


def run(descriptor: int) -> None:
    """Serve the supervisor at the other end of the packet socket ``descriptor`` until it is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    drop_capabilities()
    # The supervisor decides when a worker goes; whoever kills the worker itself means it.
    uvloop.run(_run(socket.socket(fileno=descriptor)))


async def _run(sock: socket.socket) -> None:
    worker = Worker(sock)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    await worker.serve()


class Worker:
    """The worker's life. ``sock`` is its end of the pair that it was born with."""

    def __init__(self, sock: socket.socket) -> None:
        self._policy = Policy()
        self._is_ready = False
        self._carried = Carried()
        self._metrics = CollectorRegistry()
        self._line = self._new_line(sock)
        self._link = RemoteLink(lambda: self._line)
        self._registry = RemoteRegistry(lambda: self._line, most=0)
        self._configured: Configure | None = None
        self._carrier: Carrier | None = None
        self._tasks = Tasks()
        self._sockets: dict[int, list[socket.socket]] = {}
        self._accepts: tuple[int, ...] = ()
        self._heard_at = 0.0
        self._is_retired = False
        self._done = asyncio.Event()
        self._stopping = False

    async def serve(self) -> None:
        """Carry consoles until told to stop, or until nothing is left to do."""
        self._line.start()
        self._heard_at = asyncio.get_running_loop().time()
        self._tasks.spawn(self._watch(), name="watch the supervisor")
        await self._done.wait()
        self._line.close()
        await self._tasks.close()
        for sockets in self._sockets.values():
            for sock in sockets:
                sock.close()

    def stop(self) -> None:
        """End every console with a word, and leave."""
        if not self._stopping:
            self._stopping = True
            self._tasks.spawn(self._stop(), name="stop")

    async def _stop(self) -> None:
        if self._carrier is not None:
            await self._carrier.stop()
        await wait_until(lambda: self._line.pipe.is_flushed, LAST_WORDS)
        self._done.set()

    # --- orders -------------------------------------------------------------------------

    def _new_line(self, sock: socket.socket) -> Line:
        return Line(sock, on_message=self._obey, on_close=self._lost)

    def _obey(self, message: Order, number: int | None, files: list[int]) -> None:
        is_late = self._is_silent()
        self._heard_at = asyncio.get_running_loop().time()
        if is_late:
            self._accept_again()
        if isinstance(message, Give):
            self._take(message.slot, files)
            return
        close_files(files)
        if isinstance(message, Ping):
            self._line.tell(Pong())
        elif isinstance(message, AskSamples):
            self._line.tell(Samples(take_snapshot(self._metrics)), number)
        else:
            self._change(message)

    def _change(self, message: Order) -> None:
        handlers: dict[type, Callable[[Any], None]] = {
            Configure: self._configure,
            Replan: self._replan,
            PolicyPush: self._use_policy,
            Certificates: self._use_certificates,
            Accept: self._accept,
            EndConsole: self._end_console,
            Told: lambda told: self._link.told(told.session_id),
            Retire: lambda _: self._retire(),
            Stop: lambda _: self.stop(),
            WhoAreYou: lambda _: self._announce(),
        }
        if (handler := handlers.get(type(message))) is not None:
            handler(message)

    def _configure(self, order: Configure) -> None:
        self._configured = order
        start_logging(order.log_level, order.log_format)
        fits = consoles_that_fit(raise_file_limit(), max_pending=order.plan.max_pending)
        self._registry = RemoteRegistry(lambda: self._line, most=fits)
        self._carrier = Carrier(
            order.plan,
            self._policy,
            link=self._link,
            registry=self._registry,
            carried=self._carried,
            metrics=ProxyMetrics(self._metrics),
        )
        self._tasks.spawn(self._get_ready(self._carrier), name="get ready")

    async def _get_ready(self, carrier: Carrier) -> None:
        await carrier.start(find_page_files(), lambda: (self._is_ready, {}))
        leave_the_old_alone()
        self._line.tell(Ready())

    def _replan(self, order: Replan) -> None:
        if self._carrier is not None:
            self._carrier.use_plan(order.plan)

    def _use_policy(self, push: PolicyPush) -> None:
        self._policy.keys = TokenKeys.from_json(push.token_key, push.token_key_previous) if push.token_key else None
        self._policy.is_draining = push.is_draining
        self._policy.checks_source_address = push.checks_source_address
        self._is_ready = push.is_ready

    def _use_certificates(self, order: Certificates) -> None:
        pairs = tuple(KeyPair(pair.chain.encode(), pair.key.encode()) for pair in order.pairs)
        if self._policy.tls is None:
            self._policy.tls = TLSContexts(*pairs)
        elif pairs != self._policy.tls.pairs:
            self._policy.tls.use(*pairs)

    def _end_console(self, order: EndConsole) -> None:
        slot = self._registry.find(order.number)
        if slot is None:
            return
        error = ending(order.reason)(order.detail)
        if not self._carried.end(slot, error):
            self._registry.doom(order.number, error)

    # --- doors --------------------------------------------------------------------------

    def _take(self, slot: int, files: list[int]) -> None:
        if slot in self._sockets:
            close_files(files)
            return
        self._sockets[slot] = [socket.socket(fileno=file) for file in files]

    def _accept(self, order: Accept) -> None:
        self._accepts = () if self._is_retired else order.slots
        self._accept_again()
        for slot in set(self._sockets) - set(self._accepts):
            for sock in self._sockets.pop(slot):
                sock.close()

    def _accept_again(self) -> None:
        if self._carrier is None or self._stopping:
            return
        for slot in self._carrier.slots - set(self._accepts):
            self._carrier.leave(slot)
        for slot in set(self._accepts) - self._carrier.slots:
            if slot in self._sockets:
                self._carrier.accept(slot, self._sockets[slot])

    def _retire(self) -> None:
        if self._is_retired or self._configured is None or self._carrier is None:
            return
        self._is_retired = True
        self._accept(Accept(()))
        self._tasks.spawn(self._leave_when_empty(self._carrier, self._configured.patience), name="retire")

    async def _leave_when_empty(self, carrier: Carrier, patience: float) -> None:
        # Pages on their way count, too.
        await wait_until(lambda: not len(carrier.admission) and not len(self._carried), patience)
        await wait_until(lambda: not self._link.has_untold, IDLE_PATIENCE)
        self.stop()

    # --- a supervisor that is silent, or gone ----------------------------------------------

    def _is_silent(self) -> bool:
        return asyncio.get_running_loop().time() - self._heard_at > SILENCE

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(1)
            if self._is_silent() and self._carrier is not None and self._carrier.slots:
                log.warning("the supervisor is silent: no new connections are accepted")
                self._carrier.leave_all()

    def _lost(self) -> None:
        if self._carrier is not None:
            self._carrier.leave_all()
        if self._stopping:
            return
        if self._configured is None or not self._configured.folder:
            self.stop()
            return
        log.warning("the supervisor is gone", extra={"pid": os.getpid(), "sessions": len(self._carried)})
        self._tasks.spawn(self._find_supervisor(self._configured), name="find the supervisor")

    async def _find_supervisor(self, configured: Configure) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        while (waited := clock() - began) < configured.patience or waited < IDLE_PATIENCE:
            if not len(self._carried) and (self._is_retired or waited > IDLE_PATIENCE) and not self._link.has_untold:
                break
            if (sock := knock(Path(configured.folder))) is not None:
                self._line = self._new_line(sock)
                self._heard_at = clock()
                self._announce()
                self._line.start()
                return
            await asyncio.sleep(LOOK_AGAIN)
        log.warning("no supervisor came back", extra={"pid": os.getpid(), "sessions": len(self._carried)})
        self.stop()

    def _announce(self) -> None:
        """Tell who this is, hand the sockets back, and tell what runs here."""
        line = self._line
        line.tell(Announce(self._configured.slot if self._configured else 0, self._accepts, self._is_retired))
        for slot, sockets in self._sockets.items():
            line.tell(Hold(slot), files=[sock.fileno() for sock in sockets])
        running = self._registry.running(self._link.sessions)
        while some := tuple(islice(running, SLOTS_IN_PACKET)):
            line.tell(Carry(some))
        self._link.repeat(line)
        line.tell(Announced())

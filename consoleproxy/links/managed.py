"""The life of a link to our own manager, whatever carries it.

One connection after another, with a jittered wait between them. Each begins with ``hello``
and ``welcome``; then consoles ask, reports go out and commands come in, until it falls.
What happened in between is in the ledger, and is told until it is acknowledged.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from consoleproxy.access.token import TokenKey, TokenKeys
from consoleproxy.errors import (
    ConfigError,
    ConsoleError,
    InternalError,
    LinkRefused,
    ManagerAwayError,
    Refused,
    RemoteProtocolError,
)
from consoleproxy.links import Capabilities, ProxyControl
from consoleproxy.links.ledger import Ledger
from consoleproxy.messages import (
    AccessAnswer,
    AccessRequest,
    Command,
    Drain,
    KeysPush,
    Kill,
    LoadReport,
    ProxyDescription,
    SessionEnd,
    SessionOpened,
    Welcome,
)
from consoleproxy.net.tasks import Tasks

log = logging.getLogger(__name__)

#: The setting that says how often to report, in milliseconds (CloudStack's name and unit).
INTERVAL_SETTING = "consoleproxy.loadscan.interval"
_MOST_DIGITS = 9
#: Questions to the manager that may be open at once; more are refused without asking.
MOST_ASKED = 1000


@dataclass(frozen=True, slots=True)
class LinkTimes:
    """How long each step may take, in seconds.

    ``connect``: the way to the manager, and its welcome. ``answer``: what a console waits for.
    ``reply``: after this without an answer the connection counts as dead. ``full``: between two full
    lists. ``gather``: between a change and its report, so that changes travel together.
    ``shortest`` and ``longest`` wait between two connections; each wait is half to all of that.
    """

    connect: float = 10.0
    answer: float = 10.0
    reply: float = 20.0
    full: float = 60.0
    gather: float = 0.02
    shortest: float = 0.2
    longest: float = 10.0
    goodbye: float = 2.0


class Connection(Protocol):
    """One connection to the manager. What goes wrong with it is raised, and ends it."""

    async def hello(self, description: ProxyDescription) -> Welcome:
        """Say who the proxy is; raise ``LinkRefused`` where the manager does not take it."""

    async def serve(self, obey: Callable[[Command], bool]) -> None:
        """Hand what the manager orders to ``obey``; return when the connection has ended."""

    async def authorise(self, request: AccessRequest) -> AccessAnswer:
        """Ask, and wait for the answer as long as the connection lasts; raise a ``Refused`` error."""

    async def report(self, report: LoadReport) -> None:
        """Report; return when it is acknowledged."""

    async def close(self) -> None:
        """End the connection, soon and without fail; who still waits for an answer gets ``ManagerAwayError``."""


class ManagedLink(ABC):
    """A ``ControlLink`` to our own manager; a subclass says how to ``connect``."""

    def __init__(self, *, times: LinkTimes, jitter: Callable[[], float] = random.random) -> None:
        self._times = times
        self._jitter = jitter
        self._ledger = Ledger()
        self._tasks = Tasks()
        self._questions = Tasks()
        self._asking = 0
        self._interval = 1.0
        self._has_news = asyncio.Event()
        self._is_told = asyncio.Event()
        self._came_up = asyncio.Event()
        self._is_lost = asyncio.Event()
        self._is_closing = False
        self._control: ProxyControl | None = None
        self._connection: Connection | None = None
        self._last_failure = ""
        #: Reports that the manager acknowledged.
        self.reports = 0
        self.on_told: Callable[[str], None] = lambda _: None

    @abstractmethod
    async def _connect(self) -> Connection:
        """Return a new connection, on which nothing was said yet; what is raised means not now."""

    @property
    def capabilities(self) -> Capabilities:
        """Consoles can be killed from outside."""
        return Capabilities(kill=True)

    @property
    def is_up(self) -> bool:
        """Whether the manager has welcomed this proxy, and the connection lasts."""
        return self._connection is not None

    async def start(self, control: ProxyControl) -> None:
        """Begin to reach the manager; use ``wait_up`` to wait for it."""
        self._control = control
        self._tasks.spawn(self._keep_up(control), name="control link")

    async def wait_up(self, seconds: float) -> bool:
        """Wait until the link is up, at most ``seconds``; return whether it is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._came_up.wait()
        return self.is_up

    async def flush(self) -> None:
        """Tell what was not told yet, for a moment."""
        if self.is_up and self._ledger.has_news:
            self._is_told.clear()
            self._has_news.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._times.goodbye):
                    await self._is_told.wait()

    async def close(self) -> None:
        """Tell what was not told yet, for a moment, and leave. No task is left behind."""
        await self.flush()
        self._is_closing = True
        await self._tasks.close()
        await self._questions.close()

    async def authorise(self, request: AccessRequest) -> AccessAnswer:
        """Ask the manager; ``ManagerAwayError`` when there is none, or no answer in time.

        The question outlives a caller that has gone: a yes that nobody waits for any more has
        consumed a session all the same, and its end is reported.
        """
        connection = self._connection
        if connection is None:
            raise ManagerAwayError("there is no link to the manager")
        if len(self._questions) >= MOST_ASKED:
            raise ManagerAwayError(f"{MOST_ASKED} questions are open")
        question = self._questions.spawn(self._ask(connection, request), name="authorise")
        self._asking += 1
        try:
            async with asyncio.timeout(self._times.answer):
                answer: AccessAnswer | ConsoleError = await asyncio.shield(question)
        except TimeoutError as error:
            self._disown(question, request)
            raise ManagerAwayError("no answer in time") from error
        except asyncio.CancelledError:
            self._disown(question, request)
            if question.cancelled():
                raise ManagerAwayError("the link was closed") from None
            raise
        # No wait from here until the caller's ``opened``, so no full list can miss the session.
        self._asking -= 1
        if isinstance(answer, ConsoleError):
            raise answer
        return answer

    def opened(self, session: SessionOpened) -> None:
        """Tell that a console runs."""
        self._ledger.opened(session)
        self._has_news.set()

    def ended(self, session: SessionEnd) -> None:
        """Tell that a console ended; kept until the manager has acknowledged it."""
        self._ledger.ended(session)
        self._has_news.set()

    def draining(self) -> None:
        """Tell that the proxy takes no new consoles."""
        self._has_news.set()

    # --- asking -----------------------------------------------------------------------

    async def _ask(self, connection: Connection, request: AccessRequest) -> AccessAnswer | ConsoleError:
        try:
            async with asyncio.timeout(self._times.reply):
                return await connection.authorise(request)
        except Refused as error:
            return error
        except (TimeoutError, LinkRefused, RemoteProtocolError, OSError) as error:
            # Nobody knows whether the session is consumed: the lists of the next hello tell.
            self._is_lost.set()
            return ManagerAwayError(_words(error))
        except Exception as error:
            log.exception("the manager failed")
            return InternalError(repr(error))

    def _disown(self, question: asyncio.Task[Any], request: AccessRequest) -> None:
        """Take care of a question whose console has gone."""

        def answered(task: asyncio.Task[Any]) -> None:
            self._asking -= 1
            if not task.cancelled() and isinstance(task.result(), AccessAnswer):
                self.ended(SessionEnd(request.session_id, request.vm_id, ManagerAwayError.reason, 0.0, 0, 0))

        question.add_done_callback(answered)

    # --- one connection after another ---------------------------------------------------

    async def _keep_up(self, control: ProxyControl) -> None:
        wait = self._times.shortest
        while not self._is_closing:
            reports = self.reports
            try:
                await self._live(control)
                self._note_failure("the manager closed the link")
            except (ConsoleError, LinkRefused, RemoteProtocolError, ConfigError, OSError) as error:
                self._note_failure(_words(error))
            except Exception:
                log.exception("control link failed")
            # A connection that carried a report was a good one.
            wait = self._times.shortest if self.reports > reports else min(wait * 2, self._times.longest)
            await asyncio.sleep(wait * (1 + self._jitter()) / 2)

    async def _live(self, control: ProxyControl) -> None:
        """Live through one connection."""
        async with asyncio.timeout(self._times.connect):
            connection = await self._connect()
        try:
            async with asyncio.timeout(self._times.connect):
                welcome = await connection.hello(self._description(control))
            self._use_welcome(control, welcome)
            self._connection = connection
            self._last_failure = ""
            self._is_lost.clear()
            self._came_up.set()
            log.info("control link is up", extra={"interval": self._interval})
            await _first_end(
                connection.serve(lambda command: self._obey(control, command)),
                self._report(connection, control),
                self._is_lost.wait(),
            )
        finally:
            self._connection = None
            self._came_up.clear()
            await connection.close()
            # No question may be answered after the next hello has listed the sessions.
            await self._questions.close()

    def _description(self, control: ProxyControl) -> ProxyDescription:
        return dataclasses.replace(
            control.describe(),
            sessions=self._ledger.sessions,
            ended=self._ledger.unacknowledged,
            is_draining=control.is_draining,
        )

    def _note_failure(self, failure: str) -> None:
        """Log why the link is down, once for each reason and not for each try."""
        if failure != self._last_failure:
            self._last_failure = failure
            log.warning("control link is down", extra={"detail": failure})

    # --- reports ------------------------------------------------------------------------

    async def _report(self, connection: Connection, control: ProxyControl) -> None:
        """Report at the interval, and soon after each change; the list of all now and then, and first."""
        clock = asyncio.get_running_loop().time
        seq, full_at = 0, clock()
        while True:
            # A session that is being consumed is in no list yet, and must not be taken for lost.
            is_full = clock() >= full_at and not self._asking
            self._has_news.clear()
            seq += 1
            report = self._ledger.report(seq, is_full=is_full, is_draining=control.is_draining)
            async with asyncio.timeout(self._times.reply):
                await connection.report(report)
            self._ledger.acknowledged(report)
            self.reports += 1
            for session in report.ended:
                self.on_told(session.session_id)
            if report.is_full:
                full_at = clock() + self._times.full
            if not self._ledger.has_news:
                self._is_told.set()
                await self._wait_for_news()

    async def _wait_for_news(self) -> None:
        try:
            async with asyncio.timeout(self._interval):
                await self._has_news.wait()
        except TimeoutError:
            return
        await asyncio.sleep(self._times.gather)

    # --- orders -------------------------------------------------------------------------

    def _use_welcome(self, control: ProxyControl, welcome: Welcome) -> None:
        control.use_keys(_keys(welcome.token_key, welcome.token_key_previous))
        self._use_interval(welcome.interval)
        self._use_settings(control, welcome.settings)

    def _obey(self, control: ProxyControl, command: Command) -> bool:
        """Do what the manager orders; false when it could not be done."""
        if isinstance(command, Kill):
            return control.kill(command.session_id, command.reason)
        if isinstance(command, Drain):
            control.drain()
            self._has_news.set()
        elif isinstance(command, KeysPush):
            try:
                control.use_keys(_keys(command.current, command.previous))
            except ConfigError as error:
                log.error("the manager's new token keys are of no use", extra={"detail": str(error)})  # noqa: TRY400 - a traceback would hold the key
                return False
        else:
            self._use_settings(control, command.settings)
        return True

    def _use_settings(self, control: ProxyControl, settings: Mapping[str, str]) -> None:
        if (interval := settings.get(INTERVAL_SETTING, "")[:_MOST_DIGITS]).isdecimal():
            self._use_interval(int(interval) / 1000)
        control.use_settings(settings)

    def _use_interval(self, seconds: float) -> None:
        self._interval = max(seconds, self._times.gather)
        # The wait that is under way has the old length.
        self._has_news.set()


async def _first_end(*works: Coroutine[Any, Any, object]) -> None:
    """Return, or raise, as the first of ``works`` to end does; cancel the others."""
    tasks = [asyncio.get_running_loop().create_task(work, name="control link") for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        task.result()


def _keys(current: str, previous: str) -> TokenKeys:
    return TokenKeys(TokenKey.from_json(current), TokenKey.from_json(previous) if previous else None)


def _words(error: BaseException) -> str:
    """Return what happened; some errors, such as a timeout, have no text."""
    return str(error) or type(error).__name__

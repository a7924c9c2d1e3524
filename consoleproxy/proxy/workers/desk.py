"""The supervisor's desk: answers what workers' consoles ask, with the one table of slots and the one link.

Counting is exact because nothing here waits between a look and its change, and because a
worker's slots and sessions are given up in the moment in which it is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from consoleproxy.errors import ConsoleError, Refused, SessionEnded, TakenOver, WorkerLost
from consoleproxy.links import ControlLink
from consoleproxy.messages import AccessAnswer, Fault, Refusal, SessionEnd, SessionOpened
from consoleproxy.net.tasks import Tasks
from consoleproxy.net.waiting import wait_until
from consoleproxy.ops.metrics import ProxyMetrics
from consoleproxy.proxy.sessions import SessionTable, Slot
from consoleproxy.proxy.workers.hand import Hand
from consoleproxy.proxy.workers.orders import (
    Authorise,
    Carry,
    Commit,
    EndConsole,
    Ended,
    Granted,
    Order,
    Release,
    Reserve,
    Told,
)

log = logging.getLogger(__name__)

#: Seconds for a viewer that was taken over to let go of its VM.
LEAVE = 2.0
#: Seconds between two looks whether the link is up.
LINK_LOOK = 0.02
#: Ends whose worker is remembered until the control plane knows of them.
MOST_UNTOLD = 20_000


class Desk:
    """Answers workers. ``close`` it when they have gone."""

    def __init__(self, table: SessionTable, link: ControlLink, metrics: ProxyMetrics) -> None:
        self._table = table
        self._link = link
        self._metrics = metrics
        self._owners: dict[Slot, tuple[Hand, int]] = {}
        self._left: dict[Slot, asyncio.Event] = {}
        self._untold: dict[str, Hand] = {}
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        #: The loop's time until which a question waits for the link rather than being refused.
        self.grace_until = 0.0
        #: Questions that are being worked on.
        self.questions = Tasks()

    def answer(self, hand: Hand, message: Order, number: int | None) -> None:
        """Do what a worker's console asks or tells."""
        if isinstance(message, Reserve):
            hand.line.tell(self._reserve(hand, message), number)
        elif isinstance(message, Commit):
            self.questions.spawn(self._commit(hand, message.number, number), name="commit")
        elif isinstance(message, Authorise):
            self.questions.spawn(self._authorise(hand, message, number), name="authorise")
        elif isinstance(message, Release):
            self._release(hand, message.number)
        elif isinstance(message, Ended):
            self._ended(hand, message.session)
        elif isinstance(message, Carry):
            self._restore(hand, message)

    def end_session(self, session_id: str, error: SessionEnded) -> bool:
        """End the consoles of a session, in whatever phase; false when there is none."""
        slots = [slot for slot in self._owners if slot.request.session_id == session_id]
        for slot in slots:
            self._end(slot, error)
        return bool(slots)

    def told(self, session_id: str) -> None:
        """Pass on that the control plane knows of an end."""
        if (hand := self._untold.pop(session_id, None)) is not None:
            hand.line.tell(Told(session_id))

    def lose(self, hand: Hand) -> None:
        """Give up what a lost worker had: its slots are free, its sessions have ended."""
        for number in list(hand.slots):
            self._release(hand, number)
        now = time.time()
        for session in hand.sessions.values():
            self._lost(session, now - session.opened_at)
        hand.sessions.clear()

    async def wait_empty(self, seconds: float) -> None:
        """Return when no slot is taken, or after ``seconds``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_empty.wait()

    async def close(self) -> None:
        """Answer nobody any more."""
        await self.questions.close()

    # --- slots --------------------------------------------------------------------------

    def _reserve(self, hand: Hand, message: Reserve) -> Order:
        try:
            slot = self._table.reserve(message.request)
        except Refused as error:
            return Refusal(error.reason, str(error))
        self._own(hand, message.number, slot)
        return Granted()

    async def _commit(self, hand: Hand, number: int, question: int | None) -> None:
        slot = hand.slots.get(number)
        if slot is None:
            hand.line.tell(Fault("no such slot"), question)
            return
        displaced = self._table.commit(slot)
        if displaced is not None and displaced is not slot:
            await self._displace(displaced, slot)
        hand.line.tell(Granted(), question)

    async def _displace(self, old: Slot, new: Slot) -> None:
        """Return when who is taken over has let go of the VM: some hypervisors allow one viewer."""
        left = self._left.setdefault(old, asyncio.Event())
        self._end(old, TakenOver(f"by session {new.request.session_id}"))
        try:
            async with asyncio.timeout(LEAVE):
                await left.wait()
        except TimeoutError:
            log.warning("a viewer that was taken over is slow to leave", extra={"vm": new.request.vm_id})
        finally:
            self._left.pop(old, None)

    def _end(self, slot: Slot, error: SessionEnded) -> None:
        if slot in self._owners:
            hand, number = self._owners[slot]
            hand.line.tell(EndConsole(number, error.reason, str(error)))

    def _own(self, hand: Hand, number: int, slot: Slot) -> None:
        hand.slots[number] = slot
        self._owners[slot] = (hand, number)
        self._is_empty.clear()

    def _release(self, hand: Hand, number: int) -> None:
        slot = hand.slots.pop(number, None)
        if slot is None:
            return
        self._table.release(slot)
        del self._owners[slot]
        if (left := self._left.get(slot)) is not None:
            left.set()
        if not self._owners:
            self._is_empty.set()

    def _restore(self, hand: Hand, carry: Carry) -> None:
        for running in carry.running:
            if running.number not in hand.slots:  # else it has been asked for here, a moment before
                slot = Slot(running.request)
                self._table.restore(slot, is_viewer=running.is_viewer)
                self._own(hand, running.number, slot)
            if running.opened is not None:
                hand.sessions[running.opened.session_id] = running.opened
                self._link.opened(running.opened)

    # --- sessions -----------------------------------------------------------------------

    async def _authorise(self, hand: Hand, message: Authorise, question: int | None) -> None:
        request = message.request
        try:
            await self._wait_for_link()
            answer = await self._link.authorise(request)
        except ConsoleError as error:
            hand.line.tell(Refusal(error.reason, str(error)), question)
            return
        # No wait from here on, so that no list of sessions misses this one.
        opened = SessionOpened(request.session_id, request.vm_id, request.viewer_address, opened_at=time.time())
        self._link.opened(opened)
        if not hand.line.pipe.is_open:
            self._lost(opened, 0.0)
            return
        hand.sessions[request.session_id] = opened
        hand.line.tell(AccessAnswer(answer.target, answer.user), question)

    async def _wait_for_link(self) -> None:
        """Wait for a link that is just coming up: a supervisor that replaces itself must refuse nobody."""
        left = self.grace_until - asyncio.get_running_loop().time()
        await wait_until(lambda: self._link.is_up, left, every=LINK_LOOK)

    def _ended(self, hand: Hand, session: SessionEnd) -> None:
        hand.sessions.pop(session.session_id, None)
        self._untold[session.session_id] = hand
        if len(self._untold) > MOST_UNTOLD:
            del self._untold[next(iter(self._untold))]
        self._link.ended(session)

    def _lost(self, session: SessionOpened, seconds: float) -> None:
        self._link.ended(SessionEnd(session.session_id, session.vm_id, WorkerLost.reason, max(0.0, seconds), 0, 0))
        self._metrics.ended.labels(WorkerLost.reason, "relay").inc()
        log.error("console lost with its worker", extra={"session": session.session_id, "vm": session.vm_id})

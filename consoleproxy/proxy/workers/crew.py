"""A crew of workers: one process for each slot, born again when it dies, covered meanwhile.

Each slot has its own listening sockets, which this process holds open whatever becomes of
the workers: a connection that waits in one is never dropped. Bytes of consoles never come
through here; what consoles ask does (``desk``).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

from consoleproxy.errors import ConfigError, SessionEnded
from consoleproxy.messages import Fault
from consoleproxy.net.packets import close_files, packet_pair
from consoleproxy.net.tasks import Tasks
from consoleproxy.net.waiting import wait_until
from consoleproxy.proxy.capacity import consoles_that_fit, raise_file_limit
from consoleproxy.proxy.plan import Plan
from consoleproxy.proxy.workers.berths import arrange
from consoleproxy.proxy.workers.desk import Desk
from consoleproxy.proxy.workers.gate import Gate, is_alive
from consoleproxy.proxy.workers.hand import Hand
from consoleproxy.proxy.workers.handover import Inherited, InheritedHand
from consoleproxy.proxy.workers.house import Household, Place, WorkerOptions
from consoleproxy.proxy.workers.notices import Notices
from consoleproxy.proxy.workers.orders import (
    Announce,
    Announced,
    Configure,
    Granted,
    Hold,
    Order,
    Ping,
    Pong,
    Ready,
    Reload,
    Replan,
    Retire,
    Stop,
    WhoAreYou,
)
from consoleproxy.proxy.workers.slot_sockets import SlotSockets
from consoleproxy.proxy.workers.spawn import WORKER_FD, spawn
from consoleproxy.proxy.workers.tally import Tally

log = logging.getLogger(__name__)

#: Seconds: for a worker to be ready, to say a word, for all of an earlier supervisor to announce themselves.
START = 30.0
SILENCE = 10.0
RETURN = 10.0
#: Seconds between two looks at the workers, and how many looks lie between two pings.
LOOK = 0.25
LOOKS_PER_PING = 4
#: Seconds for the last answers to leave.
COUNTING = 1.0
#: Seconds, beyond the goodbyes, for workers to stop; and for the link, where there was one before.
STOPPING = 5.0
LINK_GRACE = 8.0


class WorkerCrew:
    """A ``Crew`` of worker processes. ``on_reload`` answers operators: it returns why not, or nothing."""

    def __init__(
        self, plan: Plan, house: Household, options: WorkerOptions, *, inherited: Inherited | None = None
    ) -> None:
        self._plan = plan
        self._house = house
        self._options = options
        self._inherited = inherited
        self._tally = Tally(house.registry, inherited.gone if inherited else ())
        self._desk = Desk(house.table, house.link, self._tally.metrics)
        house.link.on_told = self._desk.told
        self._slots: list[Place] = []
        self._hands: set[Hand] = set()
        #: Whose line has ended, and who may not have.
        self._dying: set[Hand] = set()
        self._gate: Gate | None = None
        self._tasks = Tasks()
        self._sockets = SlotSockets((), 0, is_lasting=False)
        self._is_started = False
        self._is_stopping = False
        self._is_adopting = False
        self._notices = Notices(house.policy, house.readiness)
        self.fits = options.count * consoles_that_fit(raise_file_limit(), max_pending=plan.max_pending)
        self.on_reload: Callable[[], Awaitable[str]] | None = None

    @property
    def ports(self) -> list[int]:
        """The public ports."""
        return self._sockets.ports

    # --- beginning and end ----------------------------------------------------------------

    async def open(self, host: str, ports: list[int]) -> None:
        """Have the ports, and know what workers of an earlier supervisor carry."""
        count = max(self._options.count, len(self._inherited.slots) if self._inherited else 0)
        self._sockets = SlotSockets(ports, count, is_lasting=self._inherited is not None)
        if self._inherited is not None:
            # The workers go on asking: they wait for the link, which comes last.
            self._desk.grace_until = asyncio.get_running_loop().time() + RETURN + LINK_GRACE
            self._take_over(self._inherited)
        known: list[int] = []
        if self._options.folder is not None:
            files = self._inherited.gate if self._inherited else None
            self._gate = Gate(self._options.folder, self._knocked, inherited=files)
            known = [] if self._inherited else self._gate.known_workers()
            self._gate.start()
        self._is_adopting = bool(known or self._inherited)
        await self._wait_for(known)
        self._sockets.open(host)
        self._grow()

    async def start(self) -> None:
        """Bring the workers up; raise ``ConfigError`` when none comes."""
        clock = asyncio.get_running_loop().time
        if self._is_adopting:
            # Who has keys keeps them until new ones are there, and who has none would refuse everybody.
            self._desk.grace_until = clock() + LINK_GRACE
            await wait_until(lambda: self._house.policy.keys is not None, LINK_GRACE)
        self._is_adopting = False
        self._is_started = True
        self._notices.tell(self._hands)
        self._arrange()
        for index, slot in enumerate(self._slots):
            if slot.hand is None or self._inherited is not None:
                self._spawn(index)
        self._tasks.spawn(self._look_after(), name="look after the workers")
        if not await wait_until(self._is_manned, START):
            raise ConfigError("the workers do not start; the log above says why")
        self._notices.tell(self._hands)

    async def stop(self) -> None:
        """End every console with a word, then every worker."""
        self._is_stopping = True
        for slot in self._slots:
            if slot.timer is not None:
                slot.timer.cancel()
        for hand in self._hands:
            hand.line.tell(Stop())
        if not await self._all_gone(self._plan.limits.goodbye + STOPPING):
            log.error("workers do not stop: they are ended")
            for hand in self._hands | self._dying:
                hand.kill()
            await self._all_gone(STOPPING)
        await self._desk.close()
        await self._tasks.close()
        for hand in self._hands | self._dying:
            hand.close()
        self._sockets.close()
        if self._gate is not None:
            self._gate.close()

    async def _all_gone(self, seconds: float) -> bool:
        def is_so() -> bool:
            # The end of the line counts, too: last words come before it.
            has_line = any(hand.process is not None for hand in self._hands)
            return not has_line and not any(hand.is_running for hand in self._dying)

        return await wait_until(is_so, seconds)

    def _is_manned(self) -> bool:
        return all(slot.hand is not None and slot.coming is None for slot in self._slots)

    # --- what the house asks ----------------------------------------------------------------

    def policy_changed(self) -> None:
        """Tell the workers."""
        if self._is_started:
            self._notices.tell(self._hands)

    def use_plan(self, plan: Plan) -> None:
        """Tell the workers how to carry from now on."""
        self._plan = plan
        for hand in self._hands:
            if hand.process is not None:
                hand.line.tell(Replan(plan))

    def end_session(self, session_id: str, error: SessionEnded) -> bool:
        """End the consoles of a session; false when there is none."""
        return self._desk.end_session(session_id, error)

    async def wait_empty(self, seconds: float) -> None:
        """Return when no console is left, or after ``seconds``."""
        await self._desk.wait_empty(seconds)

    def parts(self) -> tuple[bool, dict[str, str]]:
        """Say whether a worker is ready, and how many are."""
        ready = self._ready_count()
        return ready > 0, {"workers": f"{ready} of {len(self._slots)} ready"}

    async def refresh(self) -> None:
        """Ask the workers for their numbers, and add them up; who does not answer counts as before."""
        await self._tally.refresh(self._hands, self._ready_count())

    def _ready_count(self) -> int:
        return sum(slot.hand is not None for slot in self._slots)

    # --- workers come ------------------------------------------------------------------------

    def _spawn(self, index: int) -> None:
        slot = self._slots[index]
        slot.timer = None
        if self._is_stopping or slot.coming is not None:
            return
        ours, theirs = packet_pair()
        with theirs:
            pid = spawn(("worker", str(WORKER_FD)), theirs.fileno())
        hand = slot.coming = self._add_hand(index, pid, ours)
        hand.watch()
        self._notices.greet(hand)
        options = self._options
        folder = str(options.folder.absolute()) if options.folder else ""
        hand.line.tell(Configure(self._plan, index, folder, options.patience, options.log_level, options.log_format))
        self._note_workers()

    def _add_hand(self, index: int, pid: int, sock: socket.socket) -> Hand:
        hand = Hand(index, pid, sock, on_word=self._heard, on_lost=self._lost)
        self._hands.add(hand)
        hand.line.start()
        return hand

    def _heard(self, hand: Hand, message: Order, number: int | None, files: list[int]) -> None:
        if isinstance(message, Hold):
            self._sockets.take(message.slot, files)
            self._grow()
            return
        close_files(files)
        if isinstance(message, Ready):
            self._ready(hand)
        elif isinstance(message, Announce):
            self._announced(hand, message)
        elif isinstance(message, Announced):
            hand.is_known = True
        elif isinstance(message, Reload):
            self._tasks.spawn(self._answer_reload(hand, number), name="reload")
        elif not isinstance(message, Pong):
            self._desk.answer(hand, message, number)

    def _ready(self, hand: Hand) -> None:
        """Let a new worker take its place; who had it before retires."""
        slot = self._slots[hand.slot]
        if slot.coming is not hand:
            return
        hand.is_ready = True
        old, slot.hand, slot.coming = slot.hand, hand, None
        log.info("worker ready", extra={"worker": hand.slot, "worker_pid": hand.pid})
        self._arrange()
        if old is not None:
            self._retire(old)

    def _retire(self, hand: Hand) -> None:
        hand.is_retired = True
        hand.accepts = ()
        hand.line.tell(Retire())

    def _arrange(self) -> None:
        """Have each living worker accept on its own sockets, and on those of a slot without one."""
        if not self._is_started or self._is_stopping:
            return
        manned = {index: slot.hand for index, slot in enumerate(self._slots) if slot.hand is not None}
        for index, slots in arrange(manned, len(self._slots)).items():
            manned[index].accept(slots, self._sockets)

    # --- workers go --------------------------------------------------------------------------

    def _lost(self, hand: Hand) -> None:
        self._hands.discard(hand)
        self._dying = {each for each in self._dying | {hand} if each.is_running}
        self._desk.lose(hand)
        self._tally.forget(hand)
        for index, slot in enumerate(self._slots):
            if slot.leave(hand) and not self._is_stopping:
                log.error("worker lost", extra={"worker": index, "worker_pid": hand.pid})
                self._respawn(index, slot, hand)
        self._arrange()
        self._note_workers()

    def _respawn(self, index: int, slot: Place, lost: Hand) -> None:
        loop = asyncio.get_running_loop()
        self._tally.restarts.inc()
        if slot.coming is None and slot.timer is None and self._is_started:
            slot.timer = loop.call_later(slot.next_delay(lost, loop.time()), self._spawn, index)

    async def _look_after(self) -> None:
        """Ping the workers, end those that are silent, and tell all whether the proxy is ready."""
        clock = asyncio.get_running_loop().time
        looks = 0
        while True:
            await asyncio.sleep(LOOK)
            looks += 1
            if self._notices.is_old:
                self._notices.tell(self._hands)
            for hand in list(self._hands):
                if hand.process is None:
                    continue
                if looks % LOOKS_PER_PING == 0:
                    hand.line.tell(Ping())
                is_settled = hand.is_ready or hand.is_retired
                if clock() - hand.heard_at > (SILENCE if is_settled else START):
                    log.error("worker silent: it is ended", extra={"worker": hand.slot, "worker_pid": hand.pid})
                    hand.kill()

    def _note_workers(self) -> None:
        if self._gate is not None:
            self._gate.note_workers(hand.pid for hand in self._hands if hand.process is not None)

    # --- what an earlier supervisor left ---------------------------------------------------------

    def _knocked(self, sock: socket.socket, pid: int) -> None:
        hand = self._add_hand(-1, pid, sock)
        hand.is_known = False

    async def _wait_for(self, known: list[int]) -> None:
        """Wait until the workers of the supervisor before have announced themselves, or have gone."""

        def is_missing(pid: int) -> bool:
            return is_alive(pid) and not any(hand.pid == pid and hand.is_known for hand in self._hands)

        def is_complete() -> bool:
            announcing = any(hand.process is not None and not hand.is_known for hand in self._hands)
            return not announcing and not any(map(is_missing, known))

        await wait_until(is_complete, RETURN)
        if known:
            log.warning(
                "workers of an earlier supervisor came back",
                extra={
                    "known": len(known),
                    "came": sum(hand.is_known for hand in self._hands),
                    "sessions": len(self._house.table),
                },
            )

    def _announced(self, hand: Hand, message: Announce) -> None:
        if hand.process is None:
            hand.watch()
            hand.slot = message.slot
        self._grow(hand.slot + 1)
        hand.is_ready = True
        slot = self._slots[hand.slot]
        if message.is_retired or hand.is_retired:
            hand.is_retired = True
        elif slot.hand is None:
            slot.hand = hand
            if self._is_started:  # it comes late
                self._notices.greet(hand)
            self._arrange()
        elif slot.hand is not hand:
            self._retire(hand)
        self._note_workers()

    def _grow(self, least: int = 0) -> None:
        """Have a place for each slot that there are sockets for."""
        while len(self._slots) < max(least, len(self._sockets)):
            self._slots.append(Place())

    # --- replacing itself ----------------------------------------------------------------------

    async def _answer_reload(self, hand: Hand, number: int | None) -> None:
        why_not = await self.on_reload() if self.on_reload is not None else "this proxy cannot reload"
        hand.line.tell(Fault(why_not) if why_not else Granted(), number)

    async def hand_over(self, seconds: float) -> Inherited:
        """Stop listening to the workers, finish what is asked, and return what the next self needs.

        What they say from now on waits for it in the kernel. Nothing but exec may follow.
        """
        self._is_stopping = True
        await self.refresh()
        for hand in self._hands:
            hand.line.pipe.pause()
            if not (hand.is_ready or hand.is_retired):
                hand.kill()
        await self._desk.questions.join(seconds)
        workers = [hand for hand in self._hands if hand.is_ready or hand.is_retired]
        await wait_until(lambda: all(hand.line.pipe.is_flushed for hand in workers), COUNTING)
        hands = (InheritedHand(hand.slot, hand.pid, hand.line.pipe.fileno(), hand.is_retired) for hand in workers)
        return Inherited(
            slots=self._sockets.files(),
            hands=tuple(hands),
            gate=self._gate.files if self._gate else None,
            gone=self._tally.leave(),
        )

    def _take_over(self, inherited: Inherited) -> None:
        """Take what this process's earlier self left, and ask its workers what they carry."""
        for index, files in enumerate(inherited.slots):
            self._sockets.take(index, files)
        self._grow()
        for each in inherited.hands:
            hand = self._add_hand(each.slot, each.pid, socket.socket(fileno=each.file))
            hand.watch()
            hand.is_retired = each.is_retired
            hand.is_known = False
            hand.line.tell(WhoAreYou())

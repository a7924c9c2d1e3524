"""The registry and the control link as a worker's consoles see them: both lie in the supervisor."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from functools import partial

from consoleproxy.errors import ConsoleError, FullError, InternalError, ManagerAwayError, SessionEnded
from consoleproxy.messages import AccessAnswer, AccessRequest, Refusal, SessionEnd, SessionOpened
from consoleproxy.messages.codec import from_refusal
from consoleproxy.proxy.sessions import Slot, SlotRequest
from consoleproxy.proxy.workers.line import LOST, Line
from consoleproxy.proxy.workers.orders import Authorise, Commit, Ended, Order, Release, Reserve, Running

#: Ends that are kept while nobody acknowledges them.
MOST_KEPT = 10_000
#: Seconds for a slot; a supervisor that replaces itself takes one or two.
ANSWER = 15.0


class RemoteRegistry:
    """A ``Registry`` at the end of a line; ``line`` is asked each time, ``most`` is what this process carries."""

    def __init__(self, line: Callable[[], Line], *, most: int) -> None:
        self._line = line
        self._most = most
        self._numbers = itertools.count(1)
        self._of_slot: dict[Slot, int] = {}
        self._slots: dict[int, Slot] = {}
        self._viewers: set[int] = set()
        self._doomed: dict[int, SessionEnded] = {}

    def __len__(self) -> int:
        """Count the slots."""
        return len(self._slots)

    async def reserve(self, request: SlotRequest) -> Slot:
        """Take a slot, reversibly; raise a ``Refused`` error."""
        if len(self._slots) >= self._most:
            raise FullError(f"{self._most} sessions in this worker")
        number, slot = next(self._numbers), Slot(request)
        self._slots[number] = slot
        self._of_slot[slot] = number
        try:
            _raise_refusal(await _answer(self._line().ask(Reserve(number, request))))
            self._raise_doom(number)
        except BaseException:
            self.release(slot)
            raise
        return slot

    async def commit(self, slot: Slot) -> None:
        """Make the slot's owner the viewer; who is replaced has left."""
        number = self._of_slot[slot]
        _raise_refusal(await _answer(self._line().ask(Commit(number))))
        self._viewers.add(number)

    def release(self, slot: Slot) -> None:
        """Give the slot back; doing so again does nothing."""
        if (number := self._of_slot.pop(slot, None)) is not None:
            del self._slots[number]
            self._viewers.discard(number)
            self._doomed.pop(number, None)
            self._line().tell(Release(number))

    def find(self, number: int) -> Slot | None:
        """Return a slot by its number."""
        return self._slots.get(number)

    def doom(self, number: int, error: SessionEnded) -> None:
        """End a console that has not heard yet that it has its slot."""
        self._doomed[number] = error

    def _raise_doom(self, number: int) -> None:
        if (error := self._doomed.pop(number, None)) is not None:
            raise error

    def running(self, opened: dict[str, SessionOpened]) -> Iterator[Running]:
        """Yield what a new supervisor has to know."""
        for number, slot in self._slots.items():
            session = opened.get(slot.request.session_id)
            yield Running(number, slot.request, number in self._viewers, session)


class RemoteLink:
    """An ``AccessLink`` at the end of a line. The supervisor has told of the opening when it says yes."""

    def __init__(self, line: Callable[[], Line]) -> None:
        self._line = line
        #: What runs here, by session.
        self.sessions: dict[str, SessionOpened] = {}
        self._untold: dict[str, SessionEnd] = {}

    @property
    def has_untold(self) -> bool:
        """Whether an end is not known to the control plane yet."""
        return bool(self._untold)

    async def authorise(self, request: AccessRequest) -> AccessAnswer:
        """Consume the one-time session and say yes, or raise a ``Refused`` error."""
        future = self._line().ask(Authorise(request), partial(self._answered, request))
        try:
            answer = await future
        except asyncio.CancelledError:
            # It came in the moment in which nobody waited any more.
            if future.done() and not future.cancelled() and isinstance(future.result(), AccessAnswer):
                self._disown(request)
            raise
        _raise_refusal(answer)
        if not isinstance(answer, AccessAnswer):
            raise InternalError("the supervisor answers something else")
        return answer

    def opened(self, session: SessionOpened) -> None:
        """Nothing to do: the supervisor has told it, before any list could miss it."""

    def ended(self, session: SessionEnd) -> None:
        """Tell that a console ended, and keep it until the control plane knows."""
        self.sessions.pop(session.session_id, None)
        self._untold[session.session_id] = session
        if len(self._untold) > MOST_KEPT:
            del self._untold[next(iter(self._untold))]
        self._line().tell(Ended(session))

    def told(self, session_id: str) -> None:
        """Forget an end that the control plane knows."""
        self._untold.pop(session_id, None)

    def repeat(self, line: Line) -> None:
        """Tell a new supervisor the ends that nobody may know."""
        for session in self._untold.values():
            line.tell(Ended(session))

    def _answered(self, request: AccessRequest, answer: Order, is_wanted: bool) -> None:  # noqa: FBT001 - a callback
        if not isinstance(answer, AccessAnswer):
            return
        opened = SessionOpened(request.session_id, request.vm_id, request.viewer_address, opened_at=time.time())
        self.sessions[request.session_id] = opened
        if not is_wanted:
            self._disown(request)

    def _disown(self, request: AccessRequest) -> None:
        """Take care of a yes that nobody waits for: it has consumed a session all the same."""
        self.ended(SessionEnd(request.session_id, request.vm_id, ManagerAwayError.reason, 0.0, 0, 0))


async def _answer(question: asyncio.Future[Order]) -> Order:
    try:
        async with asyncio.timeout(ANSWER):
            return await question
    except TimeoutError:
        raise ManagerAwayError("the supervisor does not answer") from None


def _raise_refusal(answer: Order) -> None:
    if answer is LOST:
        raise ManagerAwayError(LOST.detail)
    if isinstance(answer, Refusal):
        error = from_refusal(answer)
        raise error if isinstance(error, ConsoleError) else InternalError(str(error))

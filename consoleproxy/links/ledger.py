"""What happened on this proxy and is not acknowledged by the manager yet (no I/O, no clock)."""

from __future__ import annotations

from itertools import islice

from consoleproxy.messages import LoadReport, SessionEnd, SessionOpened

#: Ends and openings in one report; what is left goes into the next.
MOST_IN_REPORT = 1000
#: Ends that are kept while the manager is away. Of those dropped it learns from the lists that follow.
MOST_KEPT = 10_000


class Ledger:
    """The consoles that run, and news of them until somebody acknowledges it."""

    def __init__(self, *, most_kept: int = MOST_KEPT) -> None:
        self._most_kept = most_kept
        self._running: dict[str, SessionOpened] = {}
        self._opened: dict[str, SessionOpened] = {}
        self._ended: dict[str, SessionEnd] = {}
        #: Ends that were dropped because there were too many.
        self.dropped = 0

    def __len__(self) -> int:
        """Count the consoles that run."""
        return len(self._running)

    @property
    def sessions(self) -> tuple[SessionOpened, ...]:
        """The consoles that run."""
        return tuple(self._running.values())

    @property
    def unacknowledged(self) -> tuple[SessionEnd, ...]:
        """The ends that nobody has acknowledged."""
        return tuple(self._ended.values())

    @property
    def has_news(self) -> bool:
        """Whether something waits to be told."""
        return bool(self._opened or self._ended)

    def opened(self, session: SessionOpened) -> None:
        """Note that a console runs."""
        self._running[session.session_id] = session
        self._opened[session.session_id] = session

    def ended(self, session: SessionEnd) -> None:
        """Note that a console ended; its opening need not be told any more."""
        self._running.pop(session.session_id, None)
        self._opened.pop(session.session_id, None)
        self._ended[session.session_id] = session
        if len(self._ended) > self._most_kept:
            del self._ended[next(iter(self._ended))]
            self.dropped += 1

    def report(self, seq: int, *, is_full: bool, is_draining: bool) -> LoadReport:
        """Put the news into a report; hand it to ``acknowledged`` when it has arrived.

        ``is_full`` asks for the list of all. It is not given while ends are left over, since
        who reads it would take what is missing for lost.
        """
        is_full = is_full and len(self._ended) <= MOST_IN_REPORT
        return LoadReport(
            seq=seq,
            sessions=len(self._running),
            opened=self.sessions if is_full else tuple(islice(self._opened.values(), MOST_IN_REPORT)),
            ended=tuple(islice(self._ended.values(), MOST_IN_REPORT)),
            is_full=is_full,
            is_draining=is_draining,
        )

    def acknowledged(self, report: LoadReport) -> None:
        """Forget what the manager knows now."""
        for opened in report.opened:
            self._opened.pop(opened.session_id, None)
        for ended in report.ended:
            self._ended.pop(ended.session_id, None)

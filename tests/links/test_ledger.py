"""What is kept until the manager has acknowledged it."""

from __future__ import annotations

import pytest

from consoleproxy.links.ledger import MOST_IN_REPORT, Ledger
from consoleproxy.messages import LoadReport, SessionEnd, SessionOpened


def opened(name: str) -> SessionOpened:
    """Return an opening."""
    return SessionOpened(name, "vm", "192.0.2.1", 1.0)


def ended(name: str) -> SessionEnd:
    """Return an end."""
    return SessionEnd(name, "vm", "idle", 1.0, 2, 3)


def report(ledger: Ledger, *, is_full: bool = False) -> LoadReport:
    """Return a report of now."""
    return ledger.report(1, is_full=is_full, is_draining=False)


def test_news_is_told_until_it_is_acknowledged() -> None:
    """A report that was not acknowledged comes again; one that was does not."""
    ledger = Ledger()
    ledger.opened(opened("a"))
    first = report(ledger)
    assert LoadReport(1, 1, (opened("a"),)) == first == report(ledger)
    ledger.acknowledged(first)
    assert not ledger.has_news
    assert LoadReport(1, 1) == report(ledger)


def test_what_happens_meanwhile_is_kept() -> None:
    """An acknowledgement is for what its report held, and for nothing later."""
    ledger = Ledger()
    ledger.opened(opened("a"))
    first = report(ledger)
    ledger.ended(ended("a"))
    ledger.opened(opened("b"))
    ledger.acknowledged(first)
    assert LoadReport(1, 1, (opened("b"),), (ended("a"),)) == report(ledger)


def test_an_end_takes_the_opening_with_it() -> None:
    """A console that opened and ended between two reports is told as ended only."""
    ledger = Ledger()
    ledger.opened(opened("a"))
    ledger.ended(ended("a"))
    assert (LoadReport(1, 0, ended=(ended("a"),)), 0) == (report(ledger), len(ledger))


def test_a_full_report_lists_all_that_run() -> None:
    """Acknowledged or not, what runs is in the list."""
    ledger = Ledger()
    ledger.opened(opened("a"))
    ledger.acknowledged(report(ledger))
    ledger.opened(opened("b"))
    assert LoadReport(1, 2, (opened("a"), opened("b")), is_full=True) == report(ledger, is_full=True)


def test_a_report_has_its_size() -> None:
    """Many ends go out in several reports, the list of all only with the last of them."""
    ledger = Ledger()
    for number in range(MOST_IN_REPORT + 1):
        ledger.ended(ended(str(number)))
    first = report(ledger, is_full=True)
    assert (MOST_IN_REPORT, False) == (len(first.ended), first.is_full)
    ledger.acknowledged(first)
    last = report(ledger, is_full=True)
    assert ((ended(str(MOST_IN_REPORT)),), True) == (last.ended, last.is_full)


@pytest.mark.parametrize(("most", "kept"), [(1, ["b"]), (2, ["a", "b"])])
def test_the_backlog_is_bounded(most: int, kept: list[str]) -> None:
    """While nobody listens the oldest ends go first, and are counted."""
    ledger = Ledger(most_kept=most)
    for name in "ab":
        ledger.ended(ended(name))
    assert (kept, 2 - most) == ([end.session_id for end in ledger.unacknowledged], ledger.dropped)

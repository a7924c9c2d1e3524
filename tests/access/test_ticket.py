"""Tickets, against those that CloudStack's own code made."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consoleproxy.access.ticket import check_ticket, make_ticket, minute_of
from consoleproxy.errors import ExpiredError

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors.json").read_text("utf-8"))["tickets"]
KEY, FACTS, MINUTE = "q7Wq3Jt0Hn2sZk9bVxQe1A", ("10.1.2.3", 5901, "sid", "tag", "session"), 28333333


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['host']}-{vector['timeMillis']}")
def test_tickets_are_cloudstacks(vector: dict[str, Any]) -> None:
    """The same facts in the same minute give CloudStack's ticket."""
    facts = vector["host"], int(vector["port"]), vector["sid"], vector["tag"], vector["sessionUuid"]
    assert vector["ticket"] == make_ticket(vector["hashKey"], *facts, vector["minute"])
    assert vector["minute"] == minute_of(vector["timeMillis"] / 1000)


@pytest.mark.parametrize("age", [0, 1])
def test_ticket_is_good_for_its_minute_and_the_next(age: int) -> None:
    """A ticket is taken in the minute in which it was made and in the one after."""
    check_ticket(make_ticket(KEY, *FACTS, MINUTE), KEY, *FACTS, now_minute=MINUTE + age)


@pytest.mark.parametrize("age", [-1, 2, 1000])
def test_ticket_of_another_minute_has_expired(age: int) -> None:
    """A ticket of two minutes ago is over, and one of the next minute not yet good."""
    with pytest.raises(ExpiredError):
        check_ticket(make_ticket(KEY, *FACTS, MINUTE), KEY, *FACTS, now_minute=MINUTE + age)


@pytest.mark.parametrize("position", range(5))
def test_ticket_is_for_all_of_its_facts(position: int) -> None:
    """A ticket does not fit another host, port, password, VM or session."""
    other = list(FACTS)
    other[position] = 5902 if position == 1 else "other"
    with pytest.raises(ExpiredError):
        check_ticket(make_ticket(KEY, *FACTS, MINUTE), KEY, *other, now_minute=MINUTE)  # type: ignore[arg-type]


def test_ticket_of_another_key_is_refused() -> None:
    """A ticket under another hash key is refused like one that has expired."""
    with pytest.raises(ExpiredError):
        check_ticket(make_ticket("other", *FACTS, MINUTE), KEY, *FACTS, now_minute=MINUTE)


@given(st.text())
def test_any_text_is_refused(text: str) -> None:
    """Any text is refused with ``ExpiredError`` and no other error."""
    with pytest.raises(ExpiredError):
        check_ticket(text, KEY, *FACTS, now_minute=MINUTE)


@pytest.mark.parametrize(("seconds", "minute"), [(0, 0), (59.999, 0), (60, 1), (1700000039.999, 28333333)])
def test_minute_is_rounded_down(seconds: float, minute: int) -> None:
    """A minute lasts from its first second to just before the next."""
    assert minute == minute_of(seconds)

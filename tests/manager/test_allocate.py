"""Which proxy carries a VM: what must hold for every set of proxies, and the exact choice for some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consoleproxy.manager.allocate import FIRST_AVAILABLE, LEAST_LOADED, POLICIES, Candidate, choose

POLICY = st.sampled_from(POLICIES)
COUNT = st.integers(0, 20)


@st.composite
def proxies(draw: st.DrawFn) -> list[Candidate]:
    """Up to six proxies, of which some are down, draining, full or beyond."""
    number = draw(st.integers(0, 6))
    made = st.builds(
        Candidate,
        proxy_id=st.just(""),
        capacity=st.integers(1, 20),
        active=COUNT,
        reserved=COUNT,
        is_up=st.booleans(),
        is_draining=st.booleans(),
    )
    return [replace(draw(made), proxy_id=f"p{index}") for index in range(number)]


def reserve(candidates: Sequence[Candidate], chosen: Candidate) -> list[Candidate]:
    """Return the proxies after one more link on ``chosen``."""
    return [replace(one, reserved=one.reserved + 1) if one is chosen else one for one in candidates]


@given(proxies(), POLICY)
def test_a_new_vm_gets_a_living_proxy_with_room(candidates: list[Candidate], policy: str) -> None:
    """No new VM goes to a proxy that is dead, draining or full; and none is sent away while there is room."""
    fit = [one for one in candidates if one.is_up and not one.is_draining and one.active + one.reserved < one.capacity]
    chosen = choose(candidates, None, policy)
    assert (chosen in fit) if fit else (chosen is None)


@given(proxies(), POLICY, st.integers(0, 6))
def test_a_returning_vm_gets_its_proxy_or_counts_as_new(candidates: list[Candidate], policy: str, last: int) -> None:
    """Its proxy is kept however full it is; one that is down, draining or gone counts for nothing."""
    sticky = f"p{last}"
    kept = [one for one in candidates if one.proxy_id == sticky and one.is_up and not one.is_draining]
    expected = kept[0] if kept else choose(candidates, None, policy)
    assert expected == choose(candidates, sticky, policy)


@given(st.integers(1, 6), st.integers(1, 20), st.integers(0, 130))
def test_equal_proxies_are_balanced_within_one(number: int, capacity: int, links: int) -> None:
    """After any number of new VMs, equal proxies differ by one at most, and are full only together."""
    candidates = [Candidate(f"p{index}", capacity, 0, 0) for index in range(number)]
    placed = 0
    for _ in range(links):
        chosen = choose(candidates, None, LEAST_LOADED)
        if chosen is None:
            break
        candidates = reserve(candidates, chosen)
        placed += 1
    taken = [one.reserved for one in candidates]
    assert max(taken) - min(taken) <= 1
    assert min(links, number * capacity) == placed == sum(taken)


@given(proxies(), POLICY)
def test_new_vms_never_pass_the_capacity(candidates: list[Candidate], policy: str) -> None:
    """Filling up until nobody has room puts no proxy beyond its capacity that was not there before."""
    before = {one.proxy_id: one for one in candidates}
    while (chosen := choose(candidates, None, policy)) is not None:
        candidates = reserve(candidates, chosen)
    for one in candidates:
        assert one.room >= 0 or one == before[one.proxy_id]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [(LEAST_LOADED, "small"), (FIRST_AVAILABLE, "large")],
)
def test_the_policies_differ(policy: str, expected: str) -> None:
    """Least loaded is the one with the smallest part of its capacity taken; first available the first with room."""
    candidates = [
        Candidate("full", capacity=1, active=1, reserved=0),
        Candidate("large", capacity=100, active=30, reserved=21),
        Candidate("small", capacity=10, active=4, reserved=1),
    ]
    chosen = choose(candidates, None, policy)
    assert chosen is not None
    assert expected == chosen.proxy_id

"""Medians and ratios, on made-up measurements."""

from __future__ import annotations

import dataclasses

import pytest

from bench.bars import FAIR_ALONE, FAIR_BESIDE, MOSTS, RATIOS, verdicts
from bench.figures import BY_WORKER, Measurement, Slope, Spread, summarise, uneven
from bench.peers import NAMES, OURS, PEERS
from bench.quantiles import quantiles_us
from bench.scenarios import SCENARIOS, SHORT, grouped, shortened
from tests.bench.made_up import delayed, measured


def test_a_ratio_is_taken_inside_each_round() -> None:
    """A round in which the whole machine was slow changes the times, and not the ratios."""
    costs = [(1, 10, 20), (2, 100, 210), (3, 10, 19)]
    turns = [measured(OURS, number, ours) for number, ours, _ in costs]
    turns += [measured("websockify", number, theirs) for number, _, theirs in costs]
    summary = summarise(turns)["bulk-64k", "websockify"]
    assert Spread(median=2.0, least=1.9, most=2.1) == summary.cpu_ratio
    assert 3 == summary.rounds


def test_a_round_that_one_of_both_missed_has_no_ratio() -> None:
    """What failed in a round is left out there, and the other rounds count."""
    turns = [measured(OURS, 2, 10), measured("websockify", 1, 99), measured("websockify", 2, 30)]
    assert Spread(3.0, 3.0, 3.0) == summarise(turns)["bulk-64k", "websockify"].cpu_ratio


def test_without_ours_there_is_nothing_to_compare_with() -> None:
    """Peers alone have costs, and no ratios."""
    summary = summarise([measured("websockify", 1, 20)])["bulk-64k", "websockify"]
    assert Spread(20.0, 20.0, 20.0) == summary.ns_a_unit
    assert summary.cpu_ratio is None


def test_time_that_was_not_spent_for_the_units_is_no_cost() -> None:
    """Beside a stream, an update's share of the time says nothing."""
    turn = measured(OURS, 1, 20)
    fields = {**turn.to_json(), "is_costed": False}
    assert Measurement.from_json(fields).ns_a_unit is None


def test_memory_is_that_of_the_first_round() -> None:
    """Later rounds reuse what the first one has left; with few sessions nothing is told."""
    turns = [
        measured(peer, number, 1, scenario="idle-400", sessions=400, memory=memory)
        for peer, number, memory in ((OURS, 2, 1), (OURS, 1, 4000), ("websockify", 2, 1), ("websockify", 1, 1_600_000))
    ]
    summaries = summarise(turns)
    assert 10 == summaries["idle-400", OURS].memory_a_session
    assert Spread(400.0, 400.0, 400.0) == summaries["idle-400", "websockify"].memory_ratio
    assert summarise([measured(OURS, 1, 1, memory=4000)])["bulk-64k", OURS].memory_a_session is None


@pytest.mark.parametrize(
    ("alone", "beside", "is_met"),
    [(1000, 4000, True), (1000, 4100, False), (200, 2200, True), (200, 2300, False)],
)
def test_fairness_is_four_times_or_two_milliseconds_more(alone: float, beside: float, *, is_met: bool) -> None:
    """Whichever of both is more."""
    summaries = summarise([delayed(FAIR_ALONE, alone), delayed(FAIR_BESIDE, beside)])
    (verdict,) = verdicts(summaries)
    assert is_met is verdict.is_met


def test_bars_are_met_or_missed() -> None:
    """Each bar that the result can speak of is told, and no other."""
    turns = [measured(OURS, 1, 10), measured("websockify", 1, 21), measured("haproxy", 1, 14)]
    turns.append(measured(OURS, 1, 1, scenario="slow-down", memory=2 * 1024**2))
    told = {verdict.what: verdict.is_met for verdict in verdicts(summarise(turns))}
    assert {
        "bulk-64k, cpu: websockify / ours": True,
        "bulk-64k, cpu: haproxy / ours": False,
        "slow-down: memory added": False,
    } == told


def test_every_bar_names_what_there_is() -> None:
    """A bar's scenario exists, and its peer takes part in it."""
    assert [] == [bar for bar in RATIOS if bar.peer not in SCENARIOS[bar.scenario].peers]
    assert [] == [bar for bar in MOSTS if bar.scenario not in SCENARIOS]
    assert [] == [each.name for each in SCENARIOS.values() if not set(each.peers) <= set(PEERS[each.kind])]
    assert {name for peers in PEERS.values() for name in peers} == set(NAMES)


@pytest.mark.parametrize(
    ("sessions", "part"), [({"0": 600, "1": 400}, 0.2), ({"0": 500, "1": 500}, 0.0), ({"0": 9}, 0.0), ({}, None)]
)
def test_workers_share_the_sessions_evenly_or_not(sessions: dict[str, int], part: float | None) -> None:
    """What counts is the worker that is farthest from an equal share."""
    assert part is uneven(sessions) is None or pytest.approx(part) == uneven(sessions)


def test_the_least_even_round_counts() -> None:
    """One round in which a worker had most of the sessions misses the bar."""
    turns = [
        dataclasses.replace(
            measured(OURS, number, 1, scenario="workers-idle-1000", sessions=1000),
            extra={BY_WORKER: {"0": first, "1": 1000 - first}},
        )
        for number, first in ((1, 510), (2, 650), (3, 480))
    ]
    (verdict,) = verdicts(summarise(turns))
    assert ("at most 20%", "30.0%", False) == (verdict.wanted, verdict.told, verdict.is_met)


def test_a_group_has_one_kind() -> None:
    """Its relays are started once, in one way."""
    assert [] == [group for group in grouped(list(SCENARIOS.values())) if len({each.kind for each in group}) > 1]


def test_fairness_takes_turns_within_a_round() -> None:
    """Both halves of a comparison are in one group, also in the short version."""
    groups = grouped([shortened(SCENARIOS[name]) for name in SHORT])
    assert [FAIR_ALONE, FAIR_BESIDE] in [[scenario.name for scenario in group] for group in groups]


def test_a_slope_is_that_of_the_second_half() -> None:
    """What grows first and is flat later counts as flat."""
    times = [float(second) for second in range(20)]
    flat = Slope.of_second_half(times, [min(second, 10.0) for second in times])
    rising = Slope.of_second_half(times, [2 * second for second in times])
    assert pytest.approx((0, 10)) == (flat.growth, flat.mean)
    assert pytest.approx(18) == rising.growth


def test_quantiles() -> None:
    """The 99th percentile of a hundred values is the second largest."""
    found = quantiles_us([number / 1e6 for number in range(100, 0, -1)])
    assert pytest.approx({"p50_us": 50, "p90_us": 90, "p99_us": 99, "max_us": 100}) == found
    assert {} == quantiles_us([])

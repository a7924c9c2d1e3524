"""Medians and ratios out of measurements. No I/O: what was measured comes in, what it says goes out.

A ratio is taken inside each round, where both relays met the same machine in the same mood, and
the median over the rounds is what counts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, linear_regression, median
from typing import Any

from bench.peers import OURS

#: With fewer sessions, what a relay keeps for any number of them would be taken for theirs.
LEAST_SESSIONS = 100
#: Part of the relay's processor that others may take before a turn counts as disturbed.
DISTURBANCE = 0.05
#: In ``extra``: the sessions of each worker, at the end of the interval.
BY_WORKER = "sessions_by_worker"
LATENCIES = ("p50_us", "p90_us", "p99_us", "max_us")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One relay's turn in one round.

    ``cpu_ns`` is the time of its processes in the interval of ``seconds``, ``units`` the work done in it.
    ``memory_before`` and ``memory`` are theirs without and with the ``sessions``, in bytes. ``is_costed``
    says that the time was spent for the units, and for nothing else. ``extra`` is what else the generator told.
    """

    scenario: str
    peer: str
    round: int
    seconds: float
    cpu_ns: int
    units: int
    unit: str
    sessions: int
    memory_before: int
    memory: int
    is_costed: bool = True
    latency_us: Mapping[str, float] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_disturbed(self) -> bool:
        """Whether others took a part of the relay's processor that may have changed the figures."""
        return bool(self.seconds and self.extra.get("others_cpu", 0.0) / self.seconds > DISTURBANCE)

    @property
    def ns_a_unit(self) -> float | None:
        """CPU time for each unit of work, where that says something."""
        return self.cpu_ns / self.units if self.units and self.is_costed else None

    @property
    def memory_added(self) -> int:
        """Memory that came with the sessions, and stayed until the end of the interval."""
        return self.memory - self.memory_before

    def to_json(self) -> dict[str, Any]:
        """Write it as the result file has it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Measurement:
        """Read it; fields that nobody knows are left out."""
        known = {spec.name for spec in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in fields.items() if name in known})


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some values, and the least and largest."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread | None:
        """Make one of what is there; none of nothing."""
        there = [value for value in values if value is not None]
        return cls(median(there), min(there), max(there)) if there else None


@dataclass(frozen=True, slots=True)
class Slope:
    """The line that fits the second half of a curve best: how much it rises there, and its mean."""

    growth: float
    mean: float

    @classmethod
    def of_second_half(cls, times: Sequence[float], values: Sequence[float]) -> Slope:
        """Fit by least squares; needs four values at the least."""
        middle = len(times) // 2
        fit = linear_regression(times[middle:], values[middle:])
        return cls(fit.slope * (times[-1] - times[middle]), fmean(values[middle:]))


@dataclass(frozen=True, slots=True)
class Summary:
    """What the rounds say of one relay at one kind of work.

    Ratios are "theirs / ours", none for ours itself or where ours was not measured. ``cores`` is how busy the
    relay was, 1 being a whole processor, ``generator_cores`` the same of the load generator. Memory is that of
    the first round, in which the relay was fresh: later it reuses what it has kept. ``uneven`` is how far the worker
    that is farthest from an equal share of the sessions is from it, as a part of the share, in the worst round.
    """

    scenario: str
    peer: str
    rounds: int
    unit: str
    ns_a_unit: Spread | None
    units_a_second: float
    cores: float
    generator_cores: float | None
    memory_added: int
    memory_a_session: float | None
    latency_us: Mapping[str, float]
    cpu_ratio: Spread | None = None
    memory_ratio: Spread | None = None
    uneven: float | None = None


def summarise(measurements: Sequence[Measurement]) -> dict[tuple[str, str], Summary]:
    """Return the summaries by scenario and peer, in the order of their first measurements."""
    groups: dict[tuple[str, str], list[Measurement]] = {}
    for each in measurements:
        groups.setdefault((each.scenario, each.peer), []).append(each)
    return {key: _summary(group, groups.get((key[0], OURS), [])) for key, group in groups.items()}


def _summary(group: Sequence[Measurement], ours: Sequence[Measurement]) -> Summary:
    first = min(group, key=lambda each: each.round)
    memory = _a_session(first)
    is_ours = first.peer == OURS
    busy = [each.extra["generator_cpu"] / each.seconds for each in group if each.extra.get("generator_cpu")]
    parts = [part for each in group if (part := uneven(each.extra.get(BY_WORKER, {}))) is not None]
    return Summary(
        scenario=first.scenario,
        peer=first.peer,
        rounds=len(group),
        unit=first.unit,
        ns_a_unit=Spread.of(each.ns_a_unit for each in group),
        units_a_second=median(each.units / each.seconds if each.seconds else 0.0 for each in group),
        cores=median(each.cpu_ns / each.seconds / 1e9 if each.seconds else 0.0 for each in group),
        generator_cores=median(busy) if busy else None,
        memory_added=first.memory_added,
        memory_a_session=memory,
        latency_us=_latencies(group),
        cpu_ratio=None if is_ours else cpu_ratio(group, ours),
        memory_ratio=None if is_ours else memory_ratio(group, ours),
        uneven=max(parts) if parts else None,
    )


def cpu_ratio(theirs: Sequence[Measurement], ours: Sequence[Measurement]) -> Spread | None:
    """Return how many times dearer theirs were, round by round."""
    our_costs = {each.round: each.ns_a_unit for each in ours}
    return Spread.of(_ratio(each.ns_a_unit, our_costs.get(each.round)) for each in theirs)


def memory_ratio(theirs: Sequence[Measurement], ours: Sequence[Measurement]) -> Spread | None:
    """Return how many times the memory of a session theirs took, in the first round."""
    if not theirs or not ours:
        return None
    first = (min(group, key=lambda each: each.round) for group in (theirs, ours))
    return Spread.of([_ratio(*(_a_session(each) for each in first))])


def uneven(sessions: Mapping[str, int]) -> float | None:
    """Return how far the worker that is farthest from an equal share is from it; none where there is none to share."""
    share = sum(sessions.values()) / len(sessions) if sessions else 0
    return max(abs(count - share) for count in sessions.values()) / share if share else None


def _a_session(measurement: Measurement) -> float | None:
    """Return the memory of a session, where there are enough to tell."""
    return measurement.memory_added / measurement.sessions if measurement.sessions >= LEAST_SESSIONS else None


def _ratio(theirs: float | None, ours: float | None) -> float | None:
    return theirs / ours if theirs is not None and ours is not None and ours > 0 else None


def _latencies(group: Sequence[Measurement]) -> dict[str, float]:
    found = {name: [each.latency_us[name] for each in group if name in each.latency_us] for name in LATENCIES}
    return {name: median(values) for name, values in found.items() if values}

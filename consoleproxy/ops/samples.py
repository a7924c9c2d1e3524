"""The metrics of several processes as one: plain values that can travel, and their sum.

Counters and histograms add up, and stay what they were when a process has gone. Gauges
add up too, over the processes that live: what each counts (connections at the door) is
counted by nobody else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

#: What adds up over processes that have gone.
_LASTING = frozenset({"counter", "histogram"})


@dataclass(frozen=True, slots=True)
class Sample:
    """One number."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric with its samples; ``kind`` is counter, gauge or histogram."""

    name: str
    text: str
    kind: str
    samples: tuple[Sample, ...] = ()


Snapshot: TypeAlias = tuple[Family, ...]


def take_snapshot(registry: CollectorRegistry) -> Snapshot:
    """Return what ``registry`` says now, without the times at which its counters began."""
    return tuple(
        Family(
            metric.name,
            metric.documentation,
            metric.type,
            tuple(Sample(s.name, s.value, s.labels) for s in metric.samples if not s.name.endswith("_created")),
        )
        for metric in registry.collect()
    )


def add_up(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Return the sum, sample by sample."""
    families: dict[str, Family] = {}
    sums: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for family in (family for snapshot in snapshots for family in snapshot):
        families.setdefault(family.name, family)
        values = sums.setdefault(family.name, {})
        for sample in family.samples:
            key = (sample.name, tuple(sample.labels.items()))
            values[key] = values.get(key, 0.0) + sample.value
    return tuple(
        Family(
            name, family.text, family.kind, tuple(Sample(s, v, dict(labels)) for (s, labels), v in sums[name].items())
        )
        for name, family in families.items()
    )


def lasting(snapshot: Snapshot) -> Snapshot:
    """Return what remains true of a process that has gone."""
    return tuple(family for family in snapshot if family.kind in _LASTING)


class Snapshots(Collector):
    """A collector of what others have counted; set ``current`` before it is read."""

    def __init__(self) -> None:
        self.current: Snapshot = ()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        for family in self.current:
            metric = Metric(family.name, family.text, family.kind)
            for sample in family.samples:
                metric.add_sample(sample.name, dict(sample.labels), sample.value)
            yield metric

"""The metrics of several processes as one."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from consoleproxy.ops.metrics import ProxyMetrics, watch
from consoleproxy.ops.samples import Snapshot, Snapshots, add_up, lasting, take_snapshot


def counted(ends: int, seconds: float, gauge: float) -> Snapshot:
    """Return what a process with these numbers says."""
    registry = CollectorRegistry()
    metrics = ProxyMetrics(registry)
    metrics.ended.labels("killed", "relay").inc(ends)
    metrics.setup_seconds.observe(seconds)
    watch(registry, "consoleproxy_pending", "At the door", lambda: gauge)
    return take_snapshot(registry)


def values(*snapshots: Snapshot) -> dict[str, float]:
    """Return each sample of the sum by its name and labels."""
    return {
        f"{sample.name}{sorted(sample.labels.values())}": sample.value
        for family in add_up(snapshots)
        for sample in family.samples
    }


def test_counters_histograms_and_gauges_add_up() -> None:
    """Sample by sample, those of one name and the same labels."""
    summed = values(counted(2, 0.02, 5), counted(3, 7.0, 1))
    assert 5 == summed["consoleproxy_consoles_ended_total['killed', 'relay']"]
    assert 6 == summed["consoleproxy_pending[]"]
    assert (1, 2) == (
        summed["consoleproxy_setup_seconds_bucket['0.025']"],
        summed["consoleproxy_setup_seconds_count[]"],
    )
    assert 7.02 == summed["consoleproxy_setup_seconds_sum[]"]
    assert not [name for name in summed if "_created" in name]


def test_of_a_process_that_has_gone_only_the_counts_remain() -> None:
    """Its counters and histograms go on counting in the sum, its gauges do not."""
    summed = values(lasting(counted(2, 0.02, 5)), counted(3, 0.02, 1))
    assert 5 == summed["consoleproxy_consoles_ended_total['killed', 'relay']"]
    assert 1 == summed["consoleproxy_pending[]"]


def test_the_sum_is_written_like_any_other_metrics() -> None:
    """A registry that shows the sum writes what the processes' own registries would."""
    registry, shown = CollectorRegistry(), Snapshots()
    registry.register(shown)
    assert b"" == generate_latest(registry)
    shown.current = add_up([counted(2, 0.02, 5)])
    text = generate_latest(registry).decode()
    assert 'consoleproxy_consoles_ended_total{phase="relay",reason="killed"} 2.0' in text
    assert "# TYPE consoleproxy_setup_seconds histogram" in text

"""Measurements and results that nobody measured."""

from __future__ import annotations

from bench.figures import Measurement
from bench.result import Result

MACHINE = {"cpu": "Any", "cores": 2, "kernel": "6.1", "python": "3.11.7", "congestion_control": "reno"}


def measured(
    peer: str, number: int, cost: float, *, scenario: str = "bulk-64k", sessions: int = 1, memory: int = 0
) -> Measurement:
    """Return a turn in which a unit cost ``cost`` nanoseconds, and the sessions ``memory`` bytes in all."""
    return Measurement(
        scenario=scenario,
        peer=peer,
        round=number,
        seconds=2.0,
        cpu_ns=round(cost * 1000),
        units=1000,
        unit="byte",
        sessions=sessions,
        memory_before=5000,
        memory=5000 + memory,
    )


def delayed(scenario: str, p99_us: float) -> Measurement:
    """Return a turn of ours with this latency."""
    return Measurement(
        scenario=scenario,
        peer="ours",
        round=1,
        seconds=2.0,
        cpu_ns=1,
        units=1,
        unit="update",
        sessions=50,
        memory_before=0,
        memory=0,
        latency_us={"p50_us": 100.0, "p99_us": p99_us},
    )


def made(*measurements: Measurement, moment: str = "2026-01-02T03:04:05+00:00", cpu: str = "Any") -> Result:
    """Return a result that holds them."""
    return Result(
        moment=moment,
        commit="abc1234",
        command="python -m bench run",
        label="",
        machine={**MACHINE, "cpu": cpu},
        versions={"ours": "consoleproxy 0", "websockify": "websockify 0"},
        measurements=measurements,
    )

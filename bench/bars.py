"""What must be reached, as one table, and whether a result does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.figures import Summary
from bench.peers import OURS
from bench.scenarios import KIB, MIB


@dataclass(frozen=True, slots=True)
class Ratio:
    """At least so many times dearer than ours must this peer be; ``of`` says what is compared: cpu or memory."""

    scenario: str
    peer: str
    least: float
    of: str = "cpu"


@dataclass(frozen=True, slots=True)
class Most:
    """At most so much may ours have: ``of`` is a session's memory, or all that a scenario adds, in bytes.

    ``uneven`` is how far the worker that is farthest from an equal share of the sessions is from it.
    """

    scenario: str
    most: float
    of: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bar and what was reached: ``figure`` is None where it was not measured."""

    what: str
    wanted: str
    figure: float | None
    told: str
    is_met: bool


RATIOS = (
    Ratio("bulk-64k", "websockify", 2.0),
    Ratio("bulk-64k", "haproxy", 1.5),
    Ratio("bulk-64k", "haproxy-256k", 0.9),
    Ratio("bulk-16k", "websockify", 1.4),
    Ratio("bulk-1m", "websockify", 1.4),
    Ratio("pingpong-100", "websockify", 4.3),
    Ratio("pingpong-100", "haproxy", 0.85),
    Ratio("idle-400", "websockify", 1.8),
    Ratio("idle-400", "websockify", 300, of="memory"),
    Ratio("storm", "websockify", 6),
    Ratio("tls-pingpong-100", "websockify", 4.0),
    Ratio("tls-bulk-64k", "websockify", 1.3),
    # Two workers may cost a tenth more for each unit than one, or none.
    Ratio("workers-bulk-64k-x8", "ours-1-worker", 0.91),
    Ratio("workers-bulk-64k-x8", "ours-0-workers", 0.91),
)

MOSTS = (
    Most("idle-5000", 6 * KIB, "memory a session"),
    Most("slow-down", MIB, "memory added"),
    Most("slow-up", MIB, "memory added"),
    Most("tls-carry-1000", 120 * KIB, "memory a session"),
    Most("workers-idle-1000", 0.2, "uneven"),
)

#: The quiet sessions' 99th percentile beside a stream: so many times that without it, or so much more.
FAIR_TIMES = 4.0
FAIR_MORE_US = 2000.0
FAIR_ALONE, FAIR_BESIDE = "fair-alone", "fair-beside"


def ratio_bar(scenario: str, peer: str, of: str) -> Ratio | None:
    """Return the bar of a ratio, if it has one."""
    return next((bar for bar in RATIOS if (bar.scenario, bar.peer, bar.of) == (scenario, peer, of)), None)


def is_about_memory(scenario: str) -> bool:
    """Say whether what a scenario adds to a relay's memory, in all, is of interest."""
    return any(bar.scenario == scenario and bar.of == "memory added" for bar in MOSTS)


def verdicts(summaries: Mapping[tuple[str, str], Summary]) -> Iterator[Verdict]:
    """Hold a result, by scenario and peer, against every bar that it has something to say of."""
    for bar in RATIOS:
        if (summary := summaries.get((bar.scenario, bar.peer))) is not None:
            yield _of_ratio(bar, summary)
    for most in MOSTS:
        if (summary := summaries.get((most.scenario, OURS))) is not None:
            yield _of_most(most, summary)
    alone, beside = summaries.get((FAIR_ALONE, OURS)), summaries.get((FAIR_BESIDE, OURS))
    if alone is not None and beside is not None:
        yield _of_fairness(alone, beside)


def _of_ratio(bar: Ratio, summary: Summary) -> Verdict:
    spread = summary.cpu_ratio if bar.of == "cpu" else summary.memory_ratio
    what = f"{bar.scenario}, {bar.of}: {bar.peer} / ours"
    told = "not measured" if spread is None else f"{spread.median:.2f}"
    figure = None if spread is None else spread.median
    return Verdict(what, f"at least {bar.least:g}", figure, told, is_met=figure is not None and figure >= bar.least)


def _of_most(bar: Most, summary: Summary) -> Verdict:
    figures = {
        "memory a session": summary.memory_a_session,
        "memory added": summary.memory_added,
        "uneven": summary.uneven,
    }
    figure = figures[bar.of]
    wanted = f"at most {bar.most:.0%}" if bar.of == "uneven" else f"at most {bar.most / KIB:g} KiB"
    if figure is None:
        return Verdict(f"{bar.scenario}: {bar.of}", wanted, None, "not measured", is_met=False)
    told = f"{figure:.1%}" if bar.of == "uneven" else f"{figure / KIB:.1f} KiB"
    return Verdict(f"{bar.scenario}: {bar.of}", wanted, figure, told, is_met=figure <= bar.most)


def _of_fairness(alone: Summary, beside: Summary) -> Verdict:
    was, became = alone.latency_us.get("p99_us"), beside.latency_us.get("p99_us")
    wanted = f"at most {FAIR_TIMES:g} times, or {FAIR_MORE_US / 1000:g} ms more"
    what = "fair: quiet sessions' p99 beside a stream"
    if was is None or became is None:
        return Verdict(what, wanted, None, "not measured", is_met=False)
    is_met = became <= max(was * FAIR_TIMES, was + FAIR_MORE_US)
    return Verdict(what, wanted, became / was, f"{was / 1000:.2f} ms to {became / 1000:.2f} ms", is_met=is_met)

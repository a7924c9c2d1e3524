"""Plots of a result, as PNG files beside it: ratios with their bars, latency, memory of a session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.bars import ratio_bar
from bench.figures import Summary
from bench.peers import NAMES
from bench.result import Result

_COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown", "tab:pink", "tab:gray")
#: What the columns of one scenario take of its place.
_WIDTH = 0.8
_KIB = 1024
_SMALL_KIB = 100
_DPI = 110

Summaries = Mapping[tuple[str, str], Summary]


@dataclass(frozen=True, slots=True)
class Column:
    """Where a relay's figure for a scenario is drawn; ``label`` is set once for each relay."""

    summary: Summary
    left: float
    width: float
    colour: str
    label: str | None


def draw(result: Result, path: Path) -> list[Path]:
    """Draw every plot that the result, which lies at ``path``, has figures for; return their files."""
    summaries = result.summaries
    figures = {"ratios": _ratios(summaries), "latency": _latency(summaries), "memory": _memory(summaries)}
    drawn = []
    for name, figure in figures.items():
        if figure is not None:
            drawn.append(path.with_name(f"{path.stem}-{name}.png"))
            figure.savefig(drawn[-1], dpi=_DPI, bbox_inches="tight")
    return drawn


def curve(times: Sequence[float], lines: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draw what changes over time, each line in a field of its own above the others."""
    figure = Figure(figsize=(9, 2.2 * len(lines)))
    fields = figure.subplots(len(lines), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, values), colour in zip(fields, lines.items(), _COLOURS, strict=False):
        axes.plot(times, values, color=colour)
        axes.set_ylabel(name)
        axes.set_ylim(bottom=0, top=max([*values, 1]) * 1.15)
        axes.grid(alpha=0.3)
    fields[-1].set_xlabel("seconds")
    figure.savefig(path, dpi=_DPI, bbox_inches="tight")


def _ratios(summaries: Summaries) -> Figure | None:
    there = {key: summary for key, summary in summaries.items() if summary.cpu_ratio is not None}
    if not there:
        return None
    figure, axes = _field(there, "CPU a unit, theirs / ours (black: the bar)")
    for column in _columns(there):
        if (spread := column.summary.cpu_ratio) is None:
            continue
        error = [[spread.median - spread.least], [spread.most - spread.median]]
        _column(axes, column, spread.median, yerr=error)
        bar = ratio_bar(column.summary.scenario, column.summary.peer, "cpu")
        if bar is not None:
            axes.plot([column.left, column.left + column.width], [bar.least] * 2, color="black", linewidth=2.5)
    axes.axhline(1, color="black", linewidth=0.8, linestyle=":")
    axes.legend(fontsize="small")
    return figure


def _latency(summaries: Summaries) -> Figure | None:
    there = {key: summary for key, summary in summaries.items() if {"p50_us", "p99_us"} <= summary.latency_us.keys()}
    if not there:
        return None
    figure, axes = _field(there, "ms: median, and 99th percentile (pale)")
    for column in _columns(there):
        latency = column.summary.latency_us
        axes.bar(column.left, latency["p99_us"] / 1000, column.width, align="edge", color=column.colour, alpha=0.35)
        _column(axes, column, latency["p50_us"] / 1000)
    axes.set_yscale("log")
    axes.legend(fontsize="small")
    return figure


def _memory(summaries: Summaries) -> Figure | None:
    there = {
        key: summary
        for key, summary in summaries.items()
        if key[0].startswith("idle-") and summary.memory_a_session and summary.memory_a_session > 0
    }
    if not there:
        return None
    figure, axes = _field(there, "KiB of memory a session")
    for column in _columns(there):
        kib = (column.summary.memory_a_session or 0) / _KIB
        _column(axes, column, kib)
        text = f"{kib:,.0f}" if kib > _SMALL_KIB else f"{kib:.1f}"
        axes.text(column.left + column.width / 2, kib, text, ha="center", va="bottom", fontsize="small")
    axes.set_yscale("log")
    axes.legend(fontsize="small")
    return figure


def _columns(summaries: Summaries) -> Iterator[Column]:
    """Give each figure its place: the scenarios side by side, in each the relays in one order and colour."""
    scenarios = list(dict.fromkeys(scenario for scenario, _ in summaries))
    peers = list(dict.fromkeys(peer for _, peer in summaries))
    width, named = _WIDTH / len(peers), set()
    for (scenario, peer), summary in summaries.items():
        left = scenarios.index(scenario) - _WIDTH / 2 + peers.index(peer) * width
        yield Column(summary, left, width, _colour(peer), None if peer in named else peer)
        named.add(peer)


def _colour(peer: str) -> str:
    """Return a relay's colour, the same in all plots; those that only one run knows share the last."""
    return _COLOURS[min(NAMES.index(peer), len(_COLOURS) - 1)] if peer in NAMES else _COLOURS[-1]


def _column(axes: Axes, column: Column, height: float, *, yerr: list[list[float]] | None = None) -> None:
    axes.bar(
        column.left, height, column.width, align="edge", color=column.colour, label=column.label, yerr=yerr, capsize=2
    )


def _field(summaries: Summaries, ylabel: str) -> tuple[Figure, Axes]:
    scenarios = list(dict.fromkeys(scenario for scenario, _ in summaries))
    figure = Figure(figsize=(max(6.0, 1.4 * len(scenarios) + 2), 4.5))
    axes = figure.subplots()
    axes.set_xticks(range(len(scenarios)), scenarios, rotation=30, ha="right")
    axes.set_ylabel(ylabel)
    axes.grid(axis="y", alpha=0.3)
    return figure, axes

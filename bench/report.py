"""A result as a table: in the terminal, and in the README between two marks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.bars import is_about_memory, ratio_bar, verdicts
from bench.errors import BenchError
from bench.figures import DISTURBANCE, Spread, Summary
from bench.peers import OURS
from bench.result import Result, plot_paths

README = Path(__file__).resolve().parent / "README.md"
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
PLOTS = ("ratios", "latency", "memory")

_KIB, _MIB = 1024, 1024**2
_HEAD = ("work", "relay", "CPU a unit", "ratio (least to most)", "units/s", "busy", "p50", "p99", "memory", "ratio")
_BARS_HEAD = ("bar", "wanted", "reached", "")


def report(result: Result, plots: Sequence[Path] = ()) -> str:
    """Return the whole report in Markdown, which a terminal shows as well."""
    parts = [
        f"`{result.command}` at {result.moment}, commit {result.commit}{f' ({result.label})' if result.label else ''}",
        _origin(result),
        table(_HEAD, (_row(summary) for summary in result.summaries.values())),
        table(_BARS_HEAD, _verdict_rows(result)),
        _quietness(result),
        *(f"Failed: {failure}" for failure in result.failures),
        *(f"![{plot.stem}]({plot.parent.name}/{plot.name})" for plot in plots),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def write_readme(result: Result, path: Path, readme: Path = README) -> None:
    """Put the report of ``result``, which lies at ``path``, between the README's marks."""
    text = readme.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BenchError(f"{readme} has no {BEGIN} and {END} to put the figures between")
    body = report(result, plot_paths(path, PLOTS))
    readme.write_text(f"{before}{BEGIN}\n{body}{END}{after}")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose columns stand under each other; nothing where there are no rows."""
    lines = [list(head), *map(list, rows)]
    if len(lines) == 1:
        return ""
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in padded)


def cost(summary: Summary) -> str:
    """Return the CPU time of a unit, in a unit of time that suits it."""
    if summary.ns_a_unit is None:
        return "-"
    if summary.unit == "byte":
        return f"{summary.ns_a_unit.median * _MIB / 1000:,.0f} µs/MiB"
    return f"{summary.ns_a_unit.median / 1000:,.1f} µs"


def _quietness(result: Result) -> str:
    """Say whether the machine was quiet."""
    disturbed = [each for each in result.measurements if each.is_disturbed]
    if not disturbed:
        return ""
    part = f"{len(disturbed)} of {len(result.measurements)} turns"
    return f"Not a quiet machine: in {part}, others took more than {DISTURBANCE:.0%} of the relay's core."


def _origin(result: Result) -> str:
    """Tell the machine and the versions."""
    machine, versions = result.machine, "; ".join(dict.fromkeys(result.versions.values()))
    place = f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, Python {machine['python']}"
    return f"{place}, {machine['congestion_control']}; {versions}"


def _row(summary: Summary) -> Sequence[str]:
    return (
        summary.scenario,
        summary.peer,
        cost(summary),
        _ratio(summary, summary.cpu_ratio, "cpu"),
        _rate(summary),
        _busy(summary),
        _milliseconds(summary.latency_us.get("p50_us")),
        _milliseconds(summary.latency_us.get("p99_us")),
        _memory(summary),
        _ratio(summary, summary.memory_ratio, "memory"),
    )


def _ratio(summary: Summary, spread: Spread | None, of: str) -> str:
    if summary.peer == OURS:
        return "1" if (of == "cpu" and summary.ns_a_unit) or (of == "memory" and summary.memory_a_session) else "-"
    if spread is None:
        return "-"
    text = f"{spread.median:.2f}"
    if spread.least != spread.most:
        text += f" ({spread.least:.2f} to {spread.most:.2f})"
    bar = ratio_bar(summary.scenario, summary.peer, of)
    return text if bar is None else f"{text}, {'met' if spread.median >= bar.least else 'MISSED'}: {bar.least:g}"


def _rate(summary: Summary) -> str:
    if summary.unit == "byte":
        return f"{summary.units_a_second / _MIB:,.0f} MiB"
    return f"{summary.units_a_second:,.0f}"


def _busy(summary: Summary) -> str:
    """How busy the relay was, and the load generator: where that has 100 %, the relay could have done more."""
    if summary.generator_cores is None:
        return f"{summary.cores:.0%}"
    return f"{summary.cores:.0%} / {summary.generator_cores:.0%}"


def _milliseconds(microseconds: float | None) -> str:
    return "-" if microseconds is None else f"{microseconds / 1000:.2f} ms"


def _memory(summary: Summary) -> str:
    if summary.memory_a_session is not None:
        return f"{summary.memory_a_session / _KIB:,.1f} KiB each"
    return f"{summary.memory_added / _KIB:,.0f} KiB in all" if is_about_memory(summary.scenario) else "-"


def _verdict_rows(result: Result) -> Iterable[Sequence[str]]:
    for verdict in verdicts(result.summaries):
        yield verdict.what, verdict.wanted, verdict.told, "met" if verdict.is_met else "MISSED"

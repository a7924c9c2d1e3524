"""Result files: one for each run, with machine, versions and commit."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.figures import Measurement, Summary, summarise
from bench.machine import SAME

RESULTS = Path(__file__).resolve().parent / "results"
#: The kinds of files that lie in the folder.
RUN, SOAK = "run", "soak"


@dataclass(frozen=True, slots=True)
class Result:
    """One run. ``moment`` is its beginning, in ISO 8601; ``command`` what was typed."""

    moment: str
    commit: str
    command: str
    label: str
    machine: dict[str, Any]
    versions: dict[str, str]
    measurements: tuple[Measurement, ...]
    failures: tuple[str, ...] = ()

    @property
    def summaries(self) -> dict[tuple[str, str], Summary]:
        """What the rounds say, by scenario and peer."""
        return summarise(self.measurements)

    def is_same_machine(self, other: Result) -> bool:
        """Say whether both come from one machine, as far as can be told."""
        return all(self.machine.get(name) == other.machine.get(name) for name in SAME)


def write(result: Result, folder: Path = RESULTS) -> Path:
    """Write a result file under a name that no other has, and return it."""
    folder.mkdir(exist_ok=True)
    path = fresh_path(folder, f"{result.moment[:10]}-{result.commit}", ".json")
    fields = {
        "kind": RUN,
        "moment": result.moment,
        "commit": result.commit,
        "command": result.command,
        "label": result.label,
        "machine": result.machine,
        "versions": result.versions,
        "failures": result.failures,
        # For those who read the file without this program.
        "ratios": ratios(result),
        "measurements": [each.to_json() for each in result.measurements],
    }
    path.write_text(json.dumps(fields, indent=1) + "\n")
    return path


def read(path: Path) -> Result:
    """Read a result file, or say what is wrong with it."""
    try:
        fields = json.loads(path.read_text())
        return Result(
            moment=fields["moment"],
            commit=fields["commit"],
            command=fields["command"],
            label=fields["label"],
            machine=fields["machine"],
            versions=fields["versions"],
            measurements=tuple(Measurement.from_json(each) for each in fields["measurements"]),
            failures=tuple(fields["failures"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchError(f"{path} is not a result of this benchmark: {error!r}") from None


def newest_first(folder: Path = RESULTS) -> list[Path]:
    """Return the files of runs, the newest first."""
    found = [(moment, path) for path in folder.glob("*.json") if (moment := _moment(path))]
    return [path for _, path in sorted(found, reverse=True)]


def newest(folder: Path = RESULTS) -> Path:
    """Return the newest run's file."""
    paths = newest_first(folder)
    if not paths:
        raise BenchError(f"there is no result in {folder}: run  python -m bench run")
    return paths[0]


def ratios(result: Result) -> dict[str, dict[str, float]]:
    """Return the medians of all ratios: by scenario and "peer cpu" or "peer memory"."""
    table: dict[str, dict[str, float]] = {}
    for (scenario, peer), summary in result.summaries.items():
        for of, spread in (("cpu", summary.cpu_ratio), ("memory", summary.memory_ratio)):
            if spread is not None:
                table.setdefault(scenario, {})[f"{peer} {of}"] = round(spread.median, 4)
    return table


def fresh_path(folder: Path, stem: str, ending: str) -> Path:
    """Return a path in ``folder`` that is not taken, counting up where the plain one is."""
    return next(path for path in _names(folder, stem, ending) if not path.exists())


def now() -> str:
    """Return the moment, to the second, in UTC."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def _names(folder: Path, stem: str, ending: str) -> Iterator[Path]:
    yield folder / f"{stem}{ending}"
    number = 2
    while True:
        yield folder / f"{stem}-{number}{ending}"
        number += 1


def _moment(path: Path) -> str:
    try:
        fields = json.loads(path.read_text())
    except (OSError, ValueError):
        return ""
    return str(fields.get("moment", "")) if isinstance(fields, dict) and fields.get("kind") == RUN else ""


def plot_paths(path: Path, names: Sequence[str]) -> list[Path]:
    """Return the plots of these names that lie beside a result."""
    return [plot for name in names if (plot := path.with_name(f"{path.stem}-{name}.png")).exists()]

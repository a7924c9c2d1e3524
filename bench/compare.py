"""Two results beside each other: by their ratios alone, since times belong to a machine and its mood."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError
from bench.report import table
from bench.result import RESULTS, Result, newest_first, ratios, read

#: A ratio that is less by this part is worth a look; below it the rounds themselves differ as much.
WORTH_A_LOOK = 0.10
_HEAD = ("work", "against", "before", "now", "change", "")


@dataclass(frozen=True, slots=True)
class Change:
    """One ratio in both results; a larger one is better for ours."""

    scenario: str
    against: str
    before: float
    now: float

    @property
    def part(self) -> float:
        """By which part of the old ratio the new one differs."""
        return self.now / self.before - 1

    @property
    def word(self) -> str:
        """What to think of it."""
        if abs(self.part) < WORTH_A_LOOK:
            return ""
        return "better" if self.part > 0 else "WORSE"


def last_two(folder: Path = RESULTS) -> tuple[Path, Path]:
    """Return the newest result and the one before it of the same machine, the older first."""
    paths = newest_first(folder)
    if not paths:
        raise BenchError(f"there is no result in {folder}")
    new = read(paths[0])
    return before(new, paths[1:]), paths[0]


def before(new: Result, paths: list[Path]) -> Path:
    """Return the first of the paths whose result is of the same machine as ``new``."""
    for path in paths:
        if read(path).is_same_machine(new):
            return path
    raise BenchError("there is no earlier result of the same machine to compare with")


def changes(old: Result, new: Result) -> Iterator[Change]:
    """Compare every ratio that both have."""
    earlier, later = ratios(old), ratios(new)
    for scenario, row in later.items():
        for against, now in row.items():
            if (was := earlier.get(scenario, {}).get(against)) is not None and was > 0:
                yield Change(scenario, against, was, now)


def comparison(old: Result, new: Result) -> str:
    """Return the comparison as text."""
    rows = [
        (each.scenario, each.against, f"{each.before:.2f}", f"{each.now:.2f}", f"{each.part:+.0%}", each.word)
        for each in changes(old, new)
    ]
    head = f"{old.moment} {old.commit}  ->  {new.moment} {new.commit}"
    note = "" if old.is_same_machine(new) else "\n\nThese are two machines: only large changes mean something."
    return f"{head}{note}\n\n{table(_HEAD, rows) or 'They have no work in common.'}\n"

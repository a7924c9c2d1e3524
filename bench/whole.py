"""The scenarios that need the whole product, manager and store included: ours alone, nobody else has these parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from bench import endpoint, firstframe
from bench.errors import BenchError
from bench.figures import Measurement
from bench.peers import OURS, Place
from bench.peers.ours import version
from bench.rounds import Outcome, say, told

_CALLS = 1000


@dataclass(frozen=True, slots=True)
class Whole:
    """One of them; ``measure`` takes the place and the number of rounds."""

    help: str
    measure: Callable[[Place, int], Iterator[Measurement]]


def _firstframe(count: int) -> Whole:
    who = "asyncvnc" if count in firstframe.CLIENTS else "the generator"
    text = f"from createConsoleEndpoint to the first whole picture, {count} at once, seen by {who}"
    return Whole(text, partial(firstframe.measure, count=count))


WHOLE: Mapping[str, Whole] = {
    "endpoint": Whole(
        f"{_CALLS} calls of createConsoleEndpoint, and the consoles that they lead to",
        partial(endpoint.measure, count=_CALLS),
    ),
    **{f"firstframe-{count}": _firstframe(count) for count in (*firstframe.CLIENTS, *firstframe.CROWDS)},
}


def run_whole(names: list[str], place: Place, outcome: Outcome, *, rounds: int) -> None:
    """Run them one after the other and add what was measured, or what failed, to ``outcome``."""
    for name in names:
        try:
            for measurement in WHOLE[name].measure(place, rounds):
                outcome.measurements.append(measurement)
                say(f"{measurement.scenario}, round {measurement.round}: {told(measurement)}")
        except BenchError as error:
            outcome.failures.append(f"{name}: {error}")
            say(outcome.failures[-1])
        outcome.versions.setdefault(OURS, version())

"""Alternating rounds: in each, every relay has its turn at the same work, while the others wait beside it.

The order changes from round to round, so that nobody always comes after the same neighbour.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.figures import BY_WORKER, LATENCIES, Measurement
from bench.generator import Load, generating
from bench.measure import core_ns, cpu_ns, pss_bytes, tree
from bench.ops_metrics import read_sessions_by_worker
from bench.peers import NAMES, Kind, Place, Relay, Starter
from bench.processes import RELAY_CORE, core_number, wait_until
from bench.scenarios import Scenario

_KNOWN = frozenset({"seconds", "units", "unit", *LATENCIES})
#: A few sessions before anything is measured: a relay that does not work is found, and none is cold.
_TRIAL = Scenario("trial", "a look whether the relay works", "pingpong", (), 4, ("--size", "100"), 0.2, 0.0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured, what failed, and which versions took part."""

    measurements: list[Measurement] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)


class Progress:
    """Tells on standard error how far it is, and how long it will take."""

    def __init__(self, turns: int) -> None:
        self._turns = turns
        self._done = 0
        self._begin = time.monotonic()

    def tell(self, text: str) -> None:
        """Tell that one more turn is over."""
        self._done += 1
        left = (time.monotonic() - self._begin) / self._done * (self._turns - self._done)
        say(f"[{self._done}/{self._turns}, {left / 60:.1f} min left] {text}")


def say(text: str) -> None:
    """Write a line for the person who waits."""
    print(text, file=sys.stderr, flush=True)


def run_groups(
    groups: Sequence[Sequence[Scenario]],
    starters: Mapping[Kind, Mapping[str, Starter]],
    place: Place,
    outcome: Outcome,
    *,
    rounds: int,
) -> None:
    """Run every group of scenarios with fresh relays, and add what came of it to ``outcome``.

    ``starters`` has those of each kind, by their names.
    """
    progress = Progress(sum(rounds * len(_peers(scenario, starters)) for group in groups for scenario in group))
    for group in groups:
        names = list(dict.fromkeys(name for scenario in group for name in _peers(scenario, starters)))
        known = starters[group[0].kind]
        with ExitStack() as stack:
            relays = [relay for name in names if (relay := _start(stack, name, known[name], place, outcome))]
            for number in range(1, rounds + 1):
                _round(group, rotated(relays, number), place, number, outcome, progress)


def rotated(relays: Sequence[Relay], number: int) -> list[Relay]:
    """Return the relays in the order of this round."""
    start = (number - 1) % len(relays) if relays else 0
    return [*relays[start:], *relays[:start]]


def _peers(scenario: Scenario, starters: Mapping[Kind, Mapping[str, Starter]]) -> list[str]:
    """Return who takes part: those of the scenario, and those that only this run knows."""
    return [name for name in starters[scenario.kind] if name in scenario.peers or name not in NAMES]


def _start(stack: ExitStack, name: str, starter: Starter, place: Place, outcome: Outcome) -> Relay | None:
    with ExitStack() as own:
        folder = place.folder / f"{time.monotonic_ns()}-{name}"
        folder.mkdir()
        try:
            relay = own.enter_context(starter(replace(place, folder=folder)))
            take_turn(relay, _TRIAL, place, 0)
        except BenchError as error:
            outcome.failures.append(f"{name} does not work: {error}")
            say(outcome.failures[-1])
            return None
        outcome.versions[name] = relay.versions
        stack.push(own.pop_all())
        return relay


def _round(
    group: Sequence[Scenario], relays: Sequence[Relay], place: Place, number: int, outcome: Outcome, progress: Progress
) -> None:
    for relay in relays:
        for scenario in group:
            what = f"{scenario.name}, round {number}, {relay.name}"
            try:
                measurement = take_turn(relay, scenario, place, number)
            except BenchError as error:
                outcome.failures.append(f"{what}: {error}")
                progress.tell(outcome.failures[-1])
                continue
            outcome.measurements.append(measurement)
            progress.tell(f"{what}: {told(measurement)}")


def told(measurement: Measurement) -> str:
    """Return the gist of a measurement."""
    cost = measurement.ns_a_unit
    return f"{'no work' if cost is None else f'{cost:,.2f} ns'} a {measurement.unit}, {measurement.units} of them"


def take_turn(relay: Relay, scenario: Scenario, place: Place, number: int) -> Measurement:
    """Have the generator load a relay once, and measure it."""
    processes = len(tree(relay.pid))
    before = pss_bytes(relay.pid)
    with generating(load_of(relay, scenario, place), place.folder) as generator:
        generator.ready()
        generator.go()
        used, core = cpu_ns(relay.pid), core_ns(core_number(RELAY_CORE))
        figures = generator.done()
        used, core = cpu_ns(relay.pid) - used, core_ns(core_number(RELAY_CORE)) - core
        memory = pss_bytes(relay.pid)
        if scenario.kind is Kind.WORKERS:
            figures[BY_WORKER] = read_sessions_by_worker(relay.ops_url)
        generator.close()
    _settle(relay, processes)
    if relay.is_pinned:
        figures["others_cpu"] = round(max(0, core - used) / 1e9, 3)
    return measurement_of(figures, scenario, relay.name, number, cpu=used, memory=(before, memory))


def measurement_of(
    figures: Mapping[str, Any], scenario: Scenario, peer: str, number: int, *, cpu: int, memory: tuple[int, int]
) -> Measurement:
    """Put together what the generator told and what was measured beside it."""
    if figures.get("errors"):
        raise BenchError(f"{figures['errors']} errors: {figures.get('first_error', 'not told')}")
    return Measurement(
        scenario=scenario.name,
        peer=peer,
        round=number,
        seconds=figures["seconds"],
        cpu_ns=cpu,
        units=figures["units"],
        unit=figures["unit"],
        sessions=scenario.sessions,
        memory_before=memory[0],
        memory=memory[1],
        is_costed=scenario.is_costed,
        latency_us={name: figures[name] for name in LATENCIES if name in figures},
        extra={name: value for name, value in figures.items() if name not in _KNOWN},
    )


def load_of(relay: Relay, scenario: Scenario, place: Place) -> Load:
    """Return what the generator is told for this relay, and write the file of paths: fresh ones for each turn."""
    paths = None
    if not relay.is_raw:
        paths = write_paths(place.folder / "paths", relay.paths(scenario.paths))
    seconds = scenario.seconds + scenario.warmup
    return Load(
        scenario.load, scenario.arguments, relay.address, place.vnc_port, seconds, relay.is_raw, paths, relay.is_tls
    )


def write_paths(file: Path, paths: Sequence[str]) -> Path:
    """Write the file of paths, one on each line."""
    file.write_text("".join(f"{path}\n" for path in paths))
    return file


def _settle(relay: Relay, processes: int) -> None:
    """Wait until the relay has taken note that its sessions are over."""
    wait_until(lambda: len(tree(relay.pid)) <= processes, f"{relay.name} is idle again")

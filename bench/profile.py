"""``python -m bench profile``: where a relay's time goes (py-spy), and which system calls it makes (strace).

Both tools slow down what they watch, so that the cost of a unit comes from a turn without
them. py-spy knows Python alone; system calls are counted for any relay.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.errors import BenchError
from bench.generator import generating
from bench.measure import tree
from bench.peers import NAMES, OURS, PEERS, Place, Relay
from bench.place import add_flags, place_of
from bench.processes import PLAYERS_CORE, last_words, running, tool, wait_for
from bench.report import table
from bench.rounds import load_of, say, take_turn, told
from bench.scenarios import SCENARIOS, Scenario

_RATE = 500
_LINES = 25
_PATIENCE = 30.0
_LOG = "tool.log"
#: The outermost frame where several processes are watched; it holds the whole command line.
_PROCESS = "process "
_NATIVE = ("haproxy", "haproxy-256k")
#: A row of strace -c: percent, seconds, microseconds a call, calls, maybe errors, name.
_STRACE_ROW = re.compile(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(?P<calls>\d+)\s+(?:\d+\s+)?(?P<name>\w+)")


@dataclass(frozen=True, slots=True)
class Cost:
    """A function's part of the samples: with what it calls, and without."""

    name: str
    own: int
    whole: int


def add_command(parser: argparse.ArgumentParser) -> None:
    """Add its flags."""
    parser.add_argument("scenario", choices=SCENARIOS, metavar="SCENARIO", help="as python -m bench list names them")
    parser.add_argument("--peer", choices=NAMES, default=OURS, help="default: ours")
    parser.add_argument("--seconds", type=float, help="default: the scenario's")
    parser.add_argument("--sessions", type=int, help="default: the scenario's")
    parser.add_argument("--native", action="store_true", help="look into C extensions as well, where they tell names")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="also draw a flame graph here")
    add_flags(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the scenario once alone and once under each tool, and print what they say."""
    scenario = SCENARIOS[arguments.scenario]
    if arguments.seconds and scenario.seconds:
        scenario = replace(scenario, seconds=arguments.seconds)
    if arguments.sessions and scenario.sessions:
        scenario = replace(scenario, sessions=arguments.sessions)
    starter = PEERS[scenario.kind].get(arguments.peer)
    if starter is None:
        raise BenchError(f"{arguments.peer} takes no part in {scenario.name}: see  python -m bench list")
    svg = arguments.svg.resolve() if arguments.svg else None
    with place_of(arguments) as place, starter(place) as relay:
        print(f"{arguments.peer}, {scenario.name}: {told(take_turn(relay, scenario, place, 1))}\n")
        if arguments.peer not in _NATIVE:
            # Looking into C needs the process to hold still for each sample.
            native = ["--native"] if arguments.native else ["--nonblocking"]
            stacks = place.folder / "stacks"
            _under_spy(relay, scenario, place, stacks, ["--format", "raw", *native])
            print(cost_table(costs(stacks.read_text().splitlines())), "\n")
            if svg is not None:
                _under_spy(relay, scenario, place, svg, ["--format", "flamegraph", *native])
                say(f"written: {svg}")
        calls, units = _under_strace(relay, scenario, place)
        print(call_table(calls, units, _unit(scenario)))
    return 0


def costs(stacks: Sequence[str]) -> list[Cost]:
    """Sum up stacks as py-spy writes them, ``outer;inner count`` each, the dearest function first."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for line in stacks:
        frames, _, count = line.rpartition(" ")
        names = [_function(frame) for frame in frames.split(";") if not frame.startswith(_PROCESS)]
        if not names:
            continue
        own[names[-1]] += int(count)
        for name in set(names):
            whole[name] += int(count)
    return sorted((Cost(name, own[name], whole[name]) for name in whole), key=lambda each: (-each.own, -each.whole))


def cost_table(found: Sequence[Cost]) -> str:
    """Return the dearest functions as a table."""
    total = sum(each.own for each in found) or 1
    rows = [(f"{each.own / total:.1%}", f"{each.whole / total:.1%}", each.name) for each in found[:_LINES] if each.own]
    return table(("own", "with calls", "function"), rows)


def read_calls(text: str) -> dict[str, int]:
    """Read the table of ``strace -c``: how often each system call was made, the most frequent first."""
    rows = (match for line in text.splitlines() if (match := _STRACE_ROW.fullmatch(line)))
    calls = {row["name"]: int(row["calls"]) for row in rows if row["name"] != "total"}
    return dict(sorted(calls.items(), key=lambda item: -item[1]))


def call_table(calls: dict[str, int], units: int, unit: str) -> str:
    """Return the system calls for each unit of work as a table."""
    rows = [(name, str(count), f"{count / units:.3f}") for name, count in calls.items()]
    rows.append(("all", str(sum(calls.values())), f"{sum(calls.values()) / units:.3f}"))
    return table(("system call", "calls", f"a {unit}"), rows)


def _function(frame: str) -> str:
    """Leave out the line number, so that a function's lines count together."""
    return re.sub(r":\d+\)$", ")", frame)


def _unit(scenario: Scenario) -> str:
    return "MiB" if scenario.load in {"bulk", "upload"} else "unit"


def _under_spy(relay: Relay, scenario: Scenario, place: Place, output: Path, flags: Sequence[str]) -> None:
    """Write what py-spy has seen of a turn."""
    spy = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or tool("py-spy")
    record = [spy, "record", "--subprocesses", "--rate", str(_RATE), "--output", str(output), *flags]
    _turn_under(lambda: [*record, "--pid", str(relay.pid)], "Sampling process", relay, scenario, place)
    if not output.exists():
        raise BenchError(f"py-spy has written nothing\n{last_words(place.folder / _LOG)}")


def _under_strace(relay: Relay, scenario: Scenario, place: Place) -> tuple[dict[str, int], int]:
    """Count a turn's calls, and its units; for streams a unit is a MiB."""
    strace, output = tool("strace"), place.folder / "calls"

    def command() -> list[str]:
        # Only children that are born later are followed without being named.
        everyone = [word for pid in tree(relay.pid) for word in ("-p", str(pid))]
        return [strace, "-c", "-f", "-o", str(output), *everyone]

    units = _turn_under(command, "attached", relay, scenario, place)
    return read_calls(output.read_text()), max(1, units // 1024**2 if _unit(scenario) == "MiB" else units)


def _turn_under(command: Callable[[], Sequence[str]], sign: str, relay: Relay, scenario: Scenario, place: Place) -> int:
    """Load the relay while a tool watches it, and return the units of work; the tool says ``sign`` when it does.

    All that happens in between counts, so there is no warm-up.
    """
    log = place.folder / _LOG
    log.unlink(missing_ok=True)
    with generating(load_of(relay, _without_warmup(scenario), place), place.folder) as generator:
        generator.ready()
        with running(["sh", "-c", 'exec "$@" >&2', "sh", *command()], core=PLAYERS_CORE, log=log) as watcher:
            wait_for(watcher, lambda: sign in last_words(log), log)
            generator.go()
            units: int = generator.done()["units"]
            watcher.send_signal(signal.SIGINT)
            watcher.wait(_PATIENCE)
        generator.close()
    return units


def _without_warmup(scenario: Scenario) -> Scenario:
    flags = (*scenario.flags, "--warmup-total", "0") if scenario.load == "storm" else scenario.flags
    return replace(scenario, warmup=0.0, flags=flags)

"""``python -m bench soak``: sessions come and go for a long time; memory, sockets and tasks must not grow."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import result
from bench.errors import BenchError
from bench.figures import Slope
from bench.generator import Generator, Load, generating
from bench.machine import commit, machine
from bench.measure import cpu_ns, descriptors, pss_bytes, tree
from bench.ops_metrics import read_metrics
from bench.peers import NAMES, OURS, Place, Relay
from bench.place import add_flags, add_kind_flag, place_of, starter_of
from bench.rounds import say, write_paths

_EVERY = 5.0
_MEMORY = "memory (MiB)"
#: The second half may grow by this part of its mean, or by so much of its unit where numbers are small.
_FLAT_PART = 0.05
_FLAT_MEMORY = 1.0
_FLAT_COUNT = 3.0
_LEAST_SAMPLES = 8
#: Sockets of a session: the browser's and the VM's.
_SOCKETS_OF_SESSION = 2
#: A session lives 10 s at the mean; some are followed by the next at once.
_PATHS_A_SECOND = 0.5
_SETTLING = 3.0
_MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Sample:
    """What the relay has at one moment; ``sessions`` and ``tasks`` are -1 where it does not tell."""

    seconds: float
    pss: int
    descriptors: int
    sockets: int
    processes: int
    sessions: int
    tasks: int
    cpu_ns: int


def add_command(parser: argparse.ArgumentParser) -> None:
    """Add its flags."""
    parser.add_argument("--sessions", type=int, default=200, help="open at once; default 200")
    parser.add_argument("--seconds", type=float, default=600.0, help="default 600, ten minutes")
    parser.add_argument("--peer", choices=NAMES, default=OURS, help="default: ours")
    add_kind_flag(parser)
    parser.add_argument("--no-result", action="store_true", help="write no files")
    add_flags(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Soak, write curve and samples, and say of each line whether it is flat; exit status 1 where one is not."""
    with place_of(arguments) as place, starter_of(arguments)(place) as relay:
        about, moment = machine(), result.now()
        samples, figures = _soak(relay, place, arguments)
    lines = lines_of(samples)
    slopes = {name: Slope.of_second_half([each.seconds for each in samples], values) for name, values in lines.items()}
    for name, slope in slopes.items():
        print(told(name, slope))
    print(json.dumps(figures))
    if not arguments.no_result:
        _keep(samples, {"moment": moment, "machine": about, "command": arguments.words, "churn": figures}, lines)
    return 0 if all(is_flat(name, slope) for name, slope in slopes.items()) else 1


def lines_of(samples: Sequence[Sample]) -> dict[str, list[float]]:
    """Return what must not grow, over time: sockets and tasks beside those of the sessions that are open."""
    lines = {_MEMORY: [each.pss / _MIB for each in samples]}
    if all(each.sessions >= 0 for each in samples):
        beside = [each.sockets - _SOCKETS_OF_SESSION * each.sessions for each in samples]
        lines["other sockets"] = [float(value) for value in beside]
        lines["other descriptors"] = [float(each.descriptors - each.sockets) for each in samples]
    else:
        lines["descriptors"] = [float(each.descriptors) for each in samples]
    if all(each.tasks >= 0 for each in samples):
        lines["tasks"] = [float(each.tasks) for each in samples]
    return lines


def is_flat(name: str, slope: Slope) -> bool:
    """Say whether a line did not grow in its second half."""
    return slope.growth <= max(_FLAT_PART * abs(slope.mean), _FLAT_MEMORY if name == _MEMORY else _FLAT_COUNT)


def told(name: str, slope: Slope) -> str:
    """Put a line's second half into words."""
    word = "flat" if is_flat(name, slope) else "GROWS"
    return f"{name}: {word}, {slope.growth:+.2f} over the second half, {slope.mean:.2f} at the mean"


def _soak(relay: Relay, place: Place, arguments: argparse.Namespace) -> tuple[list[Sample], Mapping[str, Any]]:
    seconds = ("--seconds", f"{arguments.seconds:g}", "--warmup", "0")
    flags = ("--sessions", str(arguments.sessions), *seconds)
    count = int(arguments.sessions * (2 + _PATHS_A_SECOND * arguments.seconds))
    paths = None if relay.is_raw else write_paths(place.folder / "paths", relay.paths(count))
    load = Load("churn", flags, relay.address, place.vnc_port, arguments.seconds, relay.is_raw, paths, relay.is_tls)
    begin = time.monotonic()
    before = sample(relay, 0.0)
    with generating(load, place.folder) as generator:
        generator.ready()
        generator.go()
        samples, figures = _watch(relay, generator, begin, arguments.seconds)
        generator.close()
    time.sleep(_SETTLING)
    after = sample(relay, time.monotonic() - begin)
    say(f"before the first session: {before}\nafter the last one: {after}")
    return samples, {**figures, "before": asdict(before), "after": asdict(after)}


def _watch(relay: Relay, generator: Generator, begin: float, seconds: float) -> tuple[list[Sample], dict[str, Any]]:
    samples: list[Sample] = []
    end = time.monotonic() + 2 * seconds + 60
    due = time.monotonic()
    while time.monotonic() < end:
        figures = generator.poll(max(0.0, due - time.monotonic()))
        if figures is not None:
            if len(samples) < _LEAST_SAMPLES:
                raise BenchError("too short to tell anything")
            return samples, figures
        if time.monotonic() >= due:
            due += _EVERY
            samples.append(sample(relay, time.monotonic() - begin))
            say(f"{samples[-1]} {generator.ticks[-1] if generator.ticks else ''}")
    raise BenchError("the load generator does not come to its end")


def sample(relay: Relay, seconds: float) -> Sample:
    """Look at a relay."""
    files, sockets = descriptors(relay.pid)
    metrics = read_metrics(relay.ops_url) if relay.ops_url else {}
    tasks = next((value for name, value in metrics.items() if name.endswith("_tasks")), -1.0)
    return Sample(
        seconds=round(seconds, 2),
        pss=pss_bytes(relay.pid),
        descriptors=files,
        sockets=sockets,
        processes=len(tree(relay.pid)),
        sessions=int(metrics.get("consoleproxy_sessions", -1)),
        tasks=int(tasks),
        cpu_ns=cpu_ns(relay.pid),
    )


def _keep(samples: Sequence[Sample], facts: Mapping[str, Any], lines: Mapping[str, Sequence[float]]) -> None:
    result.RESULTS.mkdir(exist_ok=True)
    path = result.fresh_path(result.RESULTS, f"{str(facts['moment'])[:10]}-{commit()}-soak", ".json")
    fields = {"kind": result.SOAK, "commit": commit(), **facts, "samples": [asdict(each) for each in samples]}
    path.write_text(json.dumps(fields, indent=1) + "\n")
    say(f"written: {path}")
    _draw(samples, lines, path.with_suffix(".png"))


def _draw(samples: Sequence[Sample], lines: Mapping[str, Sequence[float]], path: Path) -> None:
    try:
        from bench.plots import curve  # noqa: PLC0415  # matplotlib is for plots alone, and slow to load
    except ImportError as error:
        say(f"no plot: {error}")
        return
    sessions = {"sessions": [float(each.sessions) for each in samples]}
    curve([each.seconds for each in samples], {**sessions, **lines}, path)
    say(f"written: {path}")

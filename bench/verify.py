"""``python -m bench verify``: random bytes through a relay under load, every one compared."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from bench.errors import BenchError
from bench.generator import Load, generating
from bench.peers import NAMES, OURS
from bench.place import add_flags, add_kind_flag, place_of, starter_of
from bench.rounds import write_paths

#: Sessions end and others take their place: paths for each of those that are open at once, and for each second.
_PATHS_AT_ONCE = 20
_PATHS_A_SECOND = 20


def add_command(parser: argparse.ArgumentParser) -> None:
    """Add its flags."""
    parser.add_argument("--sessions", type=int, default=32, help="open at once; default 32")
    parser.add_argument("--seconds", type=float, default=20.0, help="default 20")
    parser.add_argument("--seed", type=int, default=1, help="makes the choices repeatable; default 1")
    parser.add_argument("--peer", choices=NAMES, default=OURS, help="default: ours")
    add_kind_flag(parser)
    add_flags(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run it and tell what was compared; the exit status says whether all was the same."""
    with place_of(arguments) as place, starter_of(arguments)(place) as relay:
        seconds = ("--seconds", f"{arguments.seconds:g}", "--warmup", "0")
        flags = ("--sessions", str(arguments.sessions), *seconds, "--seed", str(arguments.seed))
        count = int(arguments.sessions * (_PATHS_AT_ONCE + _PATHS_A_SECOND * arguments.seconds))
        paths = None if relay.is_raw else write_paths(place.folder / "paths", relay.paths(count))
        load = Load(
            "verify", flags, relay.address, place.vnc_port, arguments.seconds, relay.is_raw, paths, relay.is_tls
        )
        with generating(load, place.folder) as generator:
            generator.ready()
            generator.go()
            figures = generator.done()
            generator.close()
    print(json.dumps(figures, indent=1))
    problems = faults(figures)
    if problems:
        raise BenchError(f"failed: {', '.join(problems)}")
    print(f"byte-exact: {figures['hashes_compared']} hashes compared, none differs")
    return 0


def faults(figures: Mapping[str, Any]) -> list[str]:
    """Return what speaks against the relay; a run in which nothing was compared shows nothing."""
    found = [f"{figures[name]} {name}" for name in ("mismatches", "errors") if figures.get(name)]
    if figures.get("paths_used_up"):
        found.append("sessions could not be replaced: the paths were used up")
    return found if figures.get("hashes_compared") else [*found, "nothing was compared"]

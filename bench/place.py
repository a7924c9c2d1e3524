"""Where a run takes place: in a network of its own, on a core, with a folder for the programs' files."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import namespace
from bench.errors import BenchError
from bench.namespace import FIRST_PORT
from bench.peers import PEERS, Kind, Place, Starter
from bench.processes import PLAYERS_CORE, stay_on


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say where things run."""
    parser.add_argument("--here", action="store_true", help="in this network, not in a new one of our own")
    parser.add_argument("--vnc-port", type=int, default=FIRST_PORT, help=f"of the VNC servers; default {FIRST_PORT}")
    parser.add_argument("--keep", metavar="FOLDER", help="keep the programs' logs here")


def add_kind_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flag that says how a single relay is started."""
    parser.add_argument(
        "--kind", choices=[kind.value for kind in Kind], default=Kind.PLAIN.value, help="tls: browsers speak TLS to it"
    )


def starter_of(arguments: argparse.Namespace) -> Starter:
    """Return what starts the one relay that was asked for."""
    starter = PEERS[Kind(arguments.kind)].get(arguments.peer)
    if starter is None:
        raise BenchError(f"there is no {arguments.peer} of the kind {arguments.kind}")
    return starter


@contextmanager
def place_of(arguments: argparse.Namespace) -> Iterator[Place]:
    """Go there. Outside a network of its own the program first runs itself again in one, and nothing returns here."""
    if arguments.here:
        namespace.use_this()
    else:
        namespace.enter(arguments.words)
    stay_on(PLAYERS_CORE)
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        folder = Path(arguments.keep or temporary).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        yield Place(folder, arguments.vnc_port)

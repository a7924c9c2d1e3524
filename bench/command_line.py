"""The command line: what a person types, and what comes back."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import compare, profile, report, result, soak, verify
from bench.errors import BenchError
from bench.machine import commit, machine
from bench.peers import NAMES, OURS, PEERS, Kind, Starter
from bench.peers.listening import Command, Listening, read_command, read_listening
from bench.place import add_flags, place_of
from bench.rounds import Outcome, run_groups, say
from bench.scenarios import SCENARIOS, SHORT, Scenario, grouped, shortened
from bench.whole import WHOLE, run_whole

_EXAMPLES = """\
examples:
  python -m bench run --short                     the bars that a few minutes can show
  python -m bench run                             everything; hours
  python -m bench run --scenario bulk-64k --peer ours --peer websockify --rounds 3
  python -m bench run --scenario idle-400 --command 'mine,raw=./relay {port} 127.0.0.1:{vnc_port}'
  python -m bench verify --sessions 64 --seconds 60 --kind tls
  python -m bench soak                            ten minutes
  python -m bench profile pingpong-100-x1 --peer haproxy
  python -m bench report --write                  the newest result into bench/README.md
  python -m bench compare                         the newest result with the one before it

It needs a C compiler, OpenSSL's headers, HAProxy for some of the peers, and the right to make a network
namespace. Close everything else on the machine: a ratio forgives much, but not everything.
"""


def main(words: Sequence[str]) -> int:
    """Do what was asked for; return the exit status."""
    arguments = _parser().parse_args(words)
    arguments.words = list(words)
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure what the relay costs, beside relays by others.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="alternating rounds: a table, a result file, plots"))
    _add_report(commands.add_parser("report", help="a result's table again; --write puts it into bench/README.md"))
    _add_compare(commands.add_parser("compare", help="two results beside each other, by their ratios"))
    verify.add_command(commands.add_parser("verify", help="byte-exactness under load: random bytes, all compared"))
    soak.add_command(commands.add_parser("soak", help="sessions come and go for ten minutes: does anything grow?"))
    profile.add_command(commands.add_parser("profile", help="where the time goes, and which system calls are made"))
    _add_list(commands.add_parser("list", help="the scenarios and the relays"))
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--short", action="store_true", help="the short version: few scenarios, 3 rounds, short turns")
    parser.add_argument(
        "--scenario", action="append", choices=[*SCENARIOS, *WHOLE], metavar="NAME", help="only this; repeatable"
    )
    parser.add_argument("--peer", action="append", choices=NAMES, metavar="NAME", help="only this relay; repeatable")
    parser.add_argument("--rounds", type=int, help="default: 5, or 3 with --short")
    parser.add_argument("--seconds", type=float, help="length of each measured interval; default: the scenario's")
    parser.add_argument("--sessions", type=int, help="sessions open at once; default: the scenario's")
    parser.add_argument("--label", default="", help="a few words for the result file")
    parser.add_argument("--no-result", action="store_true", help="write no files, only the table")
    _add_relays(parser)
    add_flags(parser)
    parser.set_defaults(run=_run)


def _add_relays(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--command",
        action="append",
        default=[],
        metavar="NAME[,raw][,tls]=COMMAND",
        help="measure a relay that this command starts, too, {port}, {vnc_port}, {cert} and {key} filled in; "
        "raw: it relays TCP; tls: it takes part in the scenarios over TLS",
    )
    parser.add_argument(
        "--relay",
        action="append",
        default=[],
        metavar="NAME=HOST:PORT,PID[,raw][,tls]",
        help="measure a relay that listens already, too; it leads to --vnc-port, and needs --here",
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does."""

    groups: list[list[Scenario]]
    whole: list[str]
    starters: dict[Kind, dict[str, Starter]]
    rounds: int


def _plan(arguments: argparse.Namespace) -> Plan:
    names = arguments.scenario or (SHORT if arguments.short else [*SCENARIOS, *WHOLE])
    scenarios = [SCENARIOS[name] for name in names if name in SCENARIOS]
    whole = [name for name in names if name in WHOLE and OURS in (arguments.peer or NAMES)]
    if arguments.short:
        scenarios = [shortened(scenario) for scenario in scenarios]
    if arguments.seconds:
        scenarios = [replace(each, seconds=arguments.seconds) if each.seconds else each for each in scenarios]
    if arguments.sessions:
        scenarios = [replace(each, sessions=arguments.sessions) if each.sessions else each for each in scenarios]
    starters = _starters(arguments)
    return Plan(grouped(scenarios), whole, starters, arguments.rounds or (3 if arguments.short else 5))


def _starters(arguments: argparse.Namespace) -> dict[Kind, dict[str, Starter]]:
    """Return the relays of each kind that are wanted, and those that only this run knows."""
    wanted = arguments.peer or NAMES
    starters = {kind: {name: peers[name] for name in peers if name in wanted} for kind, peers in PEERS.items()}
    others: list[Listening | Command] = [*map(read_listening, arguments.relay), *map(read_command, arguments.command)]
    for other in others:
        if other.name in NAMES:
            raise BenchError(f"{other.name} is the name of one of the relays here: give another")
        starters[Kind.TLS if other.is_tls else Kind.PLAIN][other.name] = other
    if arguments.relay and not arguments.here:
        raise BenchError("a relay that listens already is not in our own network: give --here, too")
    return starters


def _run(arguments: argparse.Namespace) -> int:
    plan = _plan(arguments)
    with place_of(arguments) as place:
        about, moment, outcome = machine(), result.now(), Outcome()
        try:
            run_groups(plan.groups, plan.starters, place, outcome, rounds=plan.rounds)
            run_whole(plan.whole, place, outcome, rounds=plan.rounds)
        except KeyboardInterrupt:
            # An hour's figures are worth something without the last minutes.
            outcome.failures.append("interrupted")
    made = result.Result(
        moment=moment,
        commit=commit(),
        command=shlex.join(["python", "-m", "bench", *arguments.words]),
        label=arguments.label,
        machine=about,
        versions=outcome.versions,
        measurements=tuple(outcome.measurements),
        failures=tuple(outcome.failures),
    )
    if not (made.measurements or made.failures):
        raise BenchError("none of these relays takes part in any of these scenarios: see  python -m bench list")
    print(report.report(made))
    if made.measurements and not arguments.no_result:
        _keep(made)
    return 1 if outcome.failures else 0


def _keep(made: result.Result) -> None:
    path = result.write(made)
    say(f"written: {path}")
    try:
        from bench import plots  # noqa: PLC0415  # matplotlib is for plots alone, and slow to load
    except ImportError as error:
        say(f"no plots: {error}")
        return
    for plot in plots.draw(made, path):
        say(f"written: {plot}")


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", type=Path, help="default: the newest in bench/results")
    parser.add_argument("--write", action="store_true", help="put it between the marks of bench/README.md")
    parser.add_argument("--plots", action="store_true", help="draw its plots again")
    parser.set_defaults(run=_report)


def _report(arguments: argparse.Namespace) -> int:
    path = arguments.file or result.newest()
    made = result.read(path)
    if arguments.plots:
        from bench import plots  # noqa: PLC0415  # see _keep

        plots.draw(made, path)
    if arguments.write:
        report.write_readme(made, path)
    print(report.report(made))
    return 0


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="the older and the newer; default: the last"
    )
    parser.set_defaults(run=_compare)


def _compare(arguments: argparse.Namespace) -> int:
    if len(arguments.files) not in {0, 2}:
        raise BenchError("give two results, or none for the last two")
    old, new = arguments.files or compare.last_two()
    print(compare.comparison(result.read(old), result.read(new)))
    return 0


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_list)


def _list(_: argparse.Namespace) -> int:
    print(
        report.table(("scenario", "work", "relays"), ((s.name, s.help, " ".join(s.peers)) for s in SCENARIOS.values()))
    )
    return 0

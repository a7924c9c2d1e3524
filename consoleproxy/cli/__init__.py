"""The command line: what a person types, and what the shell gets back.

``parser``    argparse with clear errors: one line, and the nearest name that exists
``settings``  ``consoleproxy config``
``tokens``    ``consoleproxy token``: CloudStack's tokens and tickets by hand

The exit status is 0, or 1 when the answer is no (a token that does not open), or 2 when the
question was wrong (a flag, a setting, a file). Results go to standard output, everything
else to standard error, so that results can be piped.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from consoleproxy import __version__
from consoleproxy.cli import settings, tokens
from consoleproxy.cli.parser import Parser
from consoleproxy.config import add_flags, load_all
from consoleproxy.config.secrets import SecretReader
from consoleproxy.errors import ConfigError, ConsoleError

# What a shell reports of a program that a signal ended: 128 and the signal's number.
_INTERRUPTED = 130
_BROKEN_PIPE = 141

_DESCRIPTION = "The screen of a virtual machine, in the browser: bridges noVNC to hypervisors' VNC ports."

_EXAMPLES = """\
examples:
  consoleproxy demo                   open the printed address in a browser and click a VM
  consoleproxy config --max-sessions 500
                                      show every setting, and where its value comes from
  consoleproxy token decode TOKEN --encryptor-password key.json
                                      see what a console link allows
"""

_DEMO_EXAMPLES = """\
examples:
  consoleproxy demo
  consoleproxy demo --single-port 8000 --demo-vms 4
  consoleproxy demo --config demo.toml --log-level debug

Each setting is also an environment name (CONSOLEPROXY_SINGLE_PORT) and a key of the TOML
file (single_port); a flag wins over the environment, the environment over the file.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; ``argv`` is without the program's name."""
    _open_missing_streams()
    try:
        status = _run(argv)
        sys.stdout.flush()
    except ConfigError as error:
        return _complain(error, 2)
    except ConsoleError as error:
        return _complain(error, 1)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Else the interpreter would flush once more at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except (OSError, UnicodeEncodeError) as error:
        status = _complain(error, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


def _open_missing_streams() -> None:
    """Put the null device where the caller has closed a standard stream.

    Else the first sockets would get their numbers, and what is printed would go into them.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
        if getattr(sys, name) is None:
            # Open until the end of the process, like the stream that it stands for.
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; what it parses bears ``run``, to be called with it."""
    parser = Parser(prog="consoleproxy", description=_DESCRIPTION, epilog=_EXAMPLES)
    parser.add_argument("--version", action="version", version=f"consoleproxy {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    demo = commands.add_parser(
        "demo",
        help="demo VMs, manager and proxy in one process",
        description="Start demo VMs, a manager and a proxy in one process, and print where to look.",
        epilog=_DEMO_EXAMPLES,
    )
    demo.add_argument("--json", action="store_true", help="use free ports and print the addresses as one line of JSON")
    add_flags(demo)
    demo.set_defaults(run=_demo)
    settings.add_command(commands)
    tokens.add_commands(commands)
    return parser


def _run(argv: Sequence[str] | None) -> int:
    try:
        arguments = build_parser().parse_args(argv)
    except SystemExit as end:  # --help and --version, which have written what was asked for
        return int(end.code or 0)
    status: int = arguments.run(arguments)
    return status


def _demo(arguments: argparse.Namespace) -> int:
    # Here, so that the other commands need not wait until servers are imported.
    from consoleproxy import demo  # noqa: PLC0415

    loaded = load_all(vars(arguments), os.environ, SecretReader(sys.stdin))
    return demo.run(loaded.settings, json_output=arguments.json)


def _complain(error: Exception, status: int) -> int:
    print(f"consoleproxy: error: {error}", file=sys.stderr)
    return status

"""The command line: what a person types, and what the shell gets back.

``programs``  ``consoleproxy demo``, ``manager``, ``proxy``, and ``reload``, which replaces a running proxy
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
from consoleproxy.cli import programs, settings, tokens
from consoleproxy.cli.parser import Parser
from consoleproxy.errors import ConfigError, ConsoleError

# What a shell reports of a program that a signal ended: 128 and the signal's number.
_INTERRUPTED = 130
_BROKEN_PIPE = 141

_DESCRIPTION = "The screen of a virtual machine, in the browser: bridges noVNC to hypervisors' VNC ports."

_EXAMPLES = """\
examples:
  consoleproxy demo                   open the printed address in a browser and click a VM
  consoleproxy manager --inventory inventory.yaml --link-secret @link.secret
  consoleproxy proxy --manager-url http://127.0.0.1:6081 --link-secret @link.secret
                                      the two halves, on one machine or on many
  consoleproxy config --max-sessions 500
                                      show every setting, and where its value comes from
  consoleproxy token decode TOKEN --encryptor-password key.json
                                      see what a console link allows
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
    programs.add_commands(commands)
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


def _complain(error: Exception, status: int) -> int:
    print(f"consoleproxy: error: {error}", file=sys.stderr)
    return status

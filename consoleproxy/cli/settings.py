"""``consoleproxy config``: which settings are in force, and why."""

from __future__ import annotations

import argparse
import os
import sys

from consoleproxy.cli.parser import Commands
from consoleproxy.config import Loaded, add_flags, load_all, settings_table, show
from consoleproxy.config.secrets import SecretReader

_EXAMPLES = """\
examples:
  consoleproxy config
  consoleproxy config --config proxy.toml --max-sessions 500
  CONSOLEPROXY_DRAIN_TIMEOUT=5m consoleproxy config
  consoleproxy config --markdown      the table of all settings, for a document

Use it with the flags, environment and file of another command to see what that would
run with. Secrets are never shown.
"""


def add_command(commands: Commands) -> None:
    """Add ``config`` to the commands."""
    parser = commands.add_parser(
        "config",
        help="show every setting, its value and where that comes from",
        description="Print every setting with its value and its origin.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--markdown", action="store_true", help="print the table of all settings and their defaults")
    add_flags(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.markdown:
        print(settings_table(), end="")
    else:
        print(_table(load_all(vars(arguments), os.environ, SecretReader(sys.stdin))))
    return 0


def _table(loaded: Loaded) -> str:
    rows = [("setting", "value", "origin")]
    for name, origin in loaded.origins.items():
        rows.append((name, show(name, getattr(loaded.settings, name)) or "(empty)", origin))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"{name:{widths[0]}}  {value:{widths[1]}}  {origin}" for name, value, origin in rows)

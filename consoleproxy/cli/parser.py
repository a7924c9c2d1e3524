"""argparse, but for its errors: they are raised, in one line, with the nearest name that exists."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn, TypeAlias

from consoleproxy.config import nearest
from consoleproxy.errors import ConfigError

#: What ``add_subparsers`` returns, for which argparse has no public name.
Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001 - see above


class Parser(argparse.ArgumentParser):
    """A parser whose errors are ``ConfigError``; its subcommands' parsers are of the same class.

    Flags are never guessed from their beginning: a flag that is added later could change
    what a script means.
    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - whatever argparse takes
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def parse_known_args(  # type: ignore[override]  # argparse's overloads say the same in four ways
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse, and know everything: what is left over is an error of the subcommand that left it."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            word = unknown[0].partition("=")[0]
            self.error(f"unknown argument {word}{nearest(word, self._option_string_actions)}")
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        """Raise a ``ConfigError`` that also tells where the help is."""
        if "invalid choice: " in message:
            word, *choices = re.findall(r"'([^']*)'", message)
            message = f"there is no command {word}{nearest(word, choices)}"
        raise ConfigError(f"{message} (see {self.prog} --help)")

"""Secrets given as ``@FILE`` or ``-``, so that they need not stand on a command line or in a file of settings."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from consoleproxy.errors import ConfigError


class SecretReader:
    """Reads what ``@FILE`` and ``-`` mean; one for a program's start, since standard input can be read only once."""

    def __init__(self, stdin: TextIO | None) -> None:
        self._stdin = stdin
        self._reader = ""

    def read(self, text: str, name: str) -> str:
        """Return the secret meant by ``text``, without the line end; ``name`` is who asks, for errors."""
        if text == "-":
            return self._read_stdin(name)
        return read_text(text[1:], name).rstrip("\r\n") if text.startswith("@") else text

    def _read_stdin(self, name: str) -> str:
        if self._reader:
            raise ConfigError(f"{name} and {self._reader} both want standard input: give one of them as @FILE")
        self._reader = name
        if self._stdin is None:
            raise ConfigError(f"{name}: standard input is closed")
        try:
            return self._stdin.read().rstrip("\r\n")
        except ValueError:
            raise ConfigError(f"{name}: standard input is not UTF-8 text") from None


def read_text(path: str, name: str) -> str:
    """Return the text of a file, or raise a ``ConfigError`` that names it; ``name`` is who asks."""
    try:
        return Path(path).read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{name}: cannot read {path!r}: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"{name}: {path!r} is not UTF-8 text") from None

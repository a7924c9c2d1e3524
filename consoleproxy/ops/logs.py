"""How log lines look: text for a person, or one JSON object a line for a collector."""

from __future__ import annotations

import json
import logging
import sys
from typing import TextIO

from aiohttp.http_exceptions import HttpProcessingError

#: What a record has beside the fields that a caller gave with ``extra``.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class TextLines(logging.Formatter):
    """A line is ``time level message key=value ...``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 the interface of logging
        """Append the fields to the message."""
        fields = "".join(f" {key}={_quoted(value)}" for key, value in _fields(record).items())
        return super().formatMessage(record) + fields


class JSONLines(logging.Formatter):
    """One JSON object a line, with the fields at its top level."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def start_logging(level: str, style: str, stream: TextIO | None = None) -> None:
    """Send all log lines of ``level`` and above to ``stream`` (standard error by default).

    ``style`` is ``text`` or ``json``. Replaces what was there, so it can be called again.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JSONLines() if style == "json" else TextLines())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # These two tell of every step, the second with the values of every statement.
    for name in ("alembic", "aiosqlite"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("aiohttp.server").addFilter(_is_our_fault)


def _is_our_fault(record: logging.LogRecord) -> bool:
    """Keep aiohttp from telling of every client that breaks off or sends rubbish."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or not issubclass(kind, HttpProcessingError | ConnectionError | TimeoutError)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _quoted(value: object) -> str:
    text = str(value)
    return text if text and all(char.isalnum() or char in "-_.:/" for char in text) else json.dumps(text)

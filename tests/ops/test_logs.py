"""Log lines."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from consoleproxy.ops.logs import start_logging


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Put the root logger back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def line(style: str) -> str:
    """Return the line of one record whose fields are as nasty as a peer can make them."""
    stream = io.StringIO()
    start_logging("info", style, stream)
    logging.getLogger("x").info(
        "console ended", extra={"vm": "a b", "detail": 'evil"\nconsole ended reason=fake', "n": 1}
    )
    logging.getLogger("x").debug("not shown")
    return stream.getvalue()


def test_text_keeps_one_record_on_one_line() -> None:
    """A field cannot start a line of its own, or end its quotes."""
    text = line("text")
    assert 1 == text.count("\n")
    assert text.endswith('INFO console ended vm="a b" detail="evil\\"\\nconsole ended reason=fake" n=1\n')


def test_json_has_the_fields_at_its_top() -> None:
    """A collector finds them without parsing text."""
    record = json.loads(line("json"))
    assert ("info", "console ended", "a b", 1) == (record["level"], record["message"], record["vm"], record["n"])


def test_an_exception_is_part_of_the_json() -> None:
    """A traceback stays within its record."""
    stream = io.StringIO()
    start_logging("info", "json", stream)
    try:
        int("inner")
    except ValueError:
        logging.getLogger("x").exception("failed")
    assert "ValueError: invalid literal" in json.loads(stream.getvalue())["exception"]

"""The real programs that some tests need: found, skipped politely, or insisted on."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

LIST = Path(__file__).resolve().parent.parent / "parts.txt"


def require(command: str) -> str:
    """Return the path of ``command``; where it is missing, skip the test, and fail it where ``CI`` is ``true``.

    The command must stand in ``tests/parts.txt``, which ``make test`` installs from.
    """
    package = packages()[command]
    path = shutil.which(command)
    if path is not None:
        return path
    reason = f"{command} is missing; install it with: sudo apt-get install -y --no-install-recommends {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def packages() -> dict[str, str]:
    """Read which Debian package has which command."""
    lines = (line.split() for line in LIST.read_text().splitlines() if line and not line.startswith("#"))
    return {line[0]: line[1] for line in lines}

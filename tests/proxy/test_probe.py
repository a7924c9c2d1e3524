"""A new program that does not come up is ended, and its words are told."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from consoleproxy.proxy.workers import probe


@pytest.mark.parametrize(
    ("script", "why_not"),
    [
        ("import time; time.sleep(60)", "the new program was silent for 0.5 s"),
        ("raise SystemExit('no such setting')", "the new program does not come up: no such setting"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "the new program does not come up: -9"),
        ("pass", ""),
    ],
    ids=["silent", "refuses", "is killed", "comes up"],
)
async def test_a_probe_says_why_not_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, script: str, why_not: str
) -> None:
    """Silence is ended at its deadline, an end is told by its last words, and no child is left."""
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, "-c", script])
    if "sleep" in script:
        monkeypatch.setattr(probe, "PATIENCE", 0.5)
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = children.read_text()
    assert why_not == await probe.ask_probe()
    assert before == children.read_text()

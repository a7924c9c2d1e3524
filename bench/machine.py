"""Where a result comes from: the machine, the kernel, the commit."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from bench.namespace import congestion_control
from bench.processes import ROOT, core_count

#: What must be the same for two results to be of one machine.
SAME = ("cpu", "cores")


def machine() -> dict[str, Any]:
    """Return what a reader has to know of the machine."""
    return {
        "cpu": _cpu_model(),
        "cores": core_count(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024**2,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "congestion_control": congestion_control(),
        "load_at_start": round(os.getloadavg()[0], 2),
    }


def commit() -> str:
    """Return the short name of the commit, with ``+`` where files differ from it; ``none`` outside a repository."""
    short = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", "consoleproxy", "bench")
    return f"{short}{'+' if changed else ''}" if short else "none"


def _git(*words: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  # two questions of our own
            ["git", *words],  # noqa: S607  # the one that the developer uses
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return done.stdout.strip()


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()

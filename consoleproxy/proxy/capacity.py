"""How many consoles fit into this process: each needs two open files, one for each side."""

from __future__ import annotations

import resource
from typing import Final

#: Open files of a console: the browser's socket and the VM's.
FILES_OF_CONSOLE: Final = 2
#: Open files that are there anyway or come and go: ports, the manager, pages, logs.
FILES_BESIDE: Final = 64


def raise_file_limit() -> int:
    """Let this process open as many files as the system lets it, and return how many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def consoles_that_fit(files: int, *, max_pending: int) -> int:
    """Return how many consoles ``files`` open files carry while ``max_pending`` others are at the door."""
    return max(1, (files - FILES_BESIDE - max_pending) // FILES_OF_CONSOLE)

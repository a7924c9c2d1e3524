"""What a test left behind: tasks of its loop, sockets of its process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

#: How long an ending may take before it counts as a leak, in seconds.
GRACE = 2.0


async def tasks_left() -> list[str]:
    """Name the tasks that still run beside the caller's, after those that are ending have ended."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        _, others = await asyncio.wait(others, timeout=GRACE)
    return sorted(repr(task) for task in others)


def open_sockets() -> int:
    """Count this process's sockets.

    A number, because uvloop makes itself a new pair each time that it is run.
    """
    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(descriptor.readlink()))
        except FileNotFoundError:  # the one that listed the folder
            continue
    return sum(link.startswith("socket:") for link in links)


@asynccontextmanager
async def no_sockets_left() -> AsyncIterator[None]:
    """Fail when more sockets are open at the end than at the beginning.

    A socket that only the garbage collector would close counts: nobody closed it.
    """
    clock = asyncio.get_running_loop().time
    before = open_sockets()
    yield
    deadline = clock() + GRACE
    while (left := open_sockets() - before) > 0 and clock() < deadline:  # noqa: ASYNC110  # the kernel sends no event
        await asyncio.sleep(0.01)
    assert left <= 0, f"{left} sockets were left open"

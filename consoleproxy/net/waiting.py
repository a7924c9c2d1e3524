"""Waiting for what nobody tells: another process's end, a queue that empties."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def wait_until(condition: Callable[[], bool], seconds: float, *, every: float = 0.01) -> bool:
    """Look ``every`` so many seconds until ``condition`` holds, at most ``seconds``; return whether it does."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    while not condition() and clock() < deadline:  # noqa: ASYNC110 - for what has no event
        await asyncio.sleep(every)
    return condition()

"""Background tasks with an owner: none is lost, none outlives what started it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)

#: Seconds after which a task that was cancelled and still runs is cancelled once more.
CANCEL_AGAIN = 1.0


class Tasks:
    """Owns the tasks that it spawned: keeps a reference to each and logs what they raise.

    Call ``close`` when the owner ends: it cancels what still runs and waits for it.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        """Count the tasks that still run."""
        return len(self._running)

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Start ``work`` now, under ``name``."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    async def join(self, seconds: float) -> None:
        """Wait until all have ended by themselves, at most ``seconds``."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)

    async def close(self) -> None:
        """Cancel every task and wait until all have ended.

        One that swallows its cancellation, as ``asyncio.wait_for`` does when its event comes
        in the same moment, is cancelled again.
        """
        while self._running:
            for task in self._running:
                task.cancel()
            await asyncio.wait(self._running, timeout=CANCEL_AGAIN)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task %s failed", task.get_name(), exc_info=error)

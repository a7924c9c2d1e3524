"""Tasks have an owner."""

from __future__ import annotations

import asyncio
import logging

import pytest

from consoleproxy.net.tasks import Tasks


async def test_close_cancels_and_waits() -> None:
    """Nothing runs after ``close``, even if it takes its time to end."""
    ended = []

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("done")

    tasks = Tasks()
    tasks.spawn(stubborn(), name="stubborn")
    await asyncio.sleep(0)
    assert 1 == len(tasks)
    await tasks.close()
    assert (["done"], 0) == (ended, len(tasks))


async def test_what_a_task_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An error in the background does not vanish."""

    async def broken() -> None:
        raise ValueError("told")

    tasks = Tasks()
    with caplog.at_level(logging.ERROR):
        tasks.spawn(broken(), name="the broken one")
        await tasks.join(1)
    assert "the broken one" in caplog.text
    assert "told" in caplog.text

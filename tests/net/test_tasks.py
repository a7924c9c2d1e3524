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


async def test_a_task_that_swallows_its_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """``close`` does not wait for ever on a task that lost its first cancellation."""
    monkeypatch.setattr("consoleproxy.net.tasks.CANCEL_AGAIN", 0.01)

    async def deaf() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    tasks = Tasks()
    tasks.spawn(deaf(), name="deaf")
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await tasks.close()
    assert 0 == len(tasks)

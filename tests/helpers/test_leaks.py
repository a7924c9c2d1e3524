"""What holds the other tests to leaving nothing behind, held to finding it."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.helpers import leaks


async def test_a_running_task_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that nobody ends counts as left; one that is ending does not."""
    monkeypatch.setattr(leaks, "GRACE", 0.01)
    loop = asyncio.get_running_loop()
    forgotten, ending = loop.create_task(asyncio.Event().wait(), name="forgotten"), loop.create_task(asyncio.sleep(0))
    left = await leaks.tasks_left()
    forgotten.cancel()
    assert 1 == len(left)
    assert "forgotten" in left[0]
    assert ending.done()


async def test_an_open_socket_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that nobody closed fails the test that opened it."""
    monkeypatch.setattr(leaks, "GRACE", 0.01)
    with socket.socket(), pytest.raises(AssertionError, match="1 sockets"):
        async with leaks.no_sockets_left():
            keep = socket.socket()
    keep.close()


async def test_a_closed_socket_is_fine() -> None:
    """A socket that was closed, or was there before, is nobody's fault."""
    with socket.socket():
        async with leaks.no_sockets_left():
            socket.socket().close()

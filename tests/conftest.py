"""What holds for every test: real parts are looked up in one way, and no task is left behind."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop

from tests.helpers import parts
from tests.helpers.leaks import no_sockets_left, tasks_left


@pytest.fixture(scope="session")
def require() -> Callable[[str], str]:
    """Look up a real program by its command: see ``tests/helpers/parts.py``."""
    return parts.require


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every async test on the loop that the program runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def no_tasks_left() -> AsyncIterator[None]:
    """Fail when the test and its fixtures leave a task running on the test's loop."""
    yield
    left = await tasks_left()
    assert [] == left, "tasks were left running"


@pytest.fixture
async def no_sockets_left_open() -> AsyncIterator[None]:
    """Fail when the test leaves a socket open; ask for it before the fixtures that open some."""
    async with no_sockets_left():
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every async test the ``no_tasks_left`` fixture, set up first and so torn down last.

    With ``TOWN_WORKERS`` (see ``tests/helpers/town.py``) leave out what looks into the proxy's process.
    """
    for item in items:
        if "TOWN_WORKERS" in os.environ and item.get_closest_marker("in_process"):
            item.add_marker(pytest.mark.skip("what it looks at lies in another process"))
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
            item.fixturenames.insert(0, "no_tasks_left")

"""A program that serves until it is asked to stop: Ctrl-C means at once, SIGTERM means drain first."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, Final, Protocol

import uvloop

#: Objects that may come up before the collector looks at the young ones, and how often it does so
#: before it looks at older ones.
_YOUNG: Final = 5000
_MIDDLE: Final = 20


class Service(Protocol):
    """What ``serve`` runs: ``stop`` is called in any case, also after a failed ``start``."""

    async def start(self) -> None:
        """Be ready when this returns."""

    async def drain(self) -> None:
        """Take nothing new, and return when nothing is left or it has lasted long enough."""

    async def stop(self) -> None:
        """End what is left and leave nothing behind."""


def serve(make: Callable[[], Service], announce: Callable[[Service], Awaitable[None]]) -> None:
    """Make the service inside the loop, start it, ``announce`` that it is ready, and run it until asked to stop.

    A second signal cuts a drain short. Raises what ``start`` raises.
    """
    uvloop.run(_serve(make, announce))


async def _serve(make: Callable[[], Service], announce: Callable[[Service], Awaitable[None]]) -> None:
    service = make()
    with _asked_to_stop() as asked:
        try:
            await service.start()
            await announce(service)
            leave_the_old_alone()
            if await asked.get() is signal.SIGTERM:
                await _first(service.drain(), asked.get())
        finally:
            await service.stop()


def leave_the_old_alone() -> None:
    """Tell the garbage collector that what is here now stays; call it once, when all is up.

    It would walk all modules again and again; and at its own thresholds a rush of connections has
    it walk thousands of sessions that live, for milliseconds at a time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _MIDDLE)


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[asyncio.Queue[signal.Signals]]:
    """Collect the signals that ask the program to stop."""
    loop = asyncio.get_running_loop()
    asked: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.put_nowait, number)
    try:
        yield asked
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _first(*works: Coroutine[Any, Any, object]) -> None:
    """Return when the first of ``works`` is done; the others are cancelled."""
    loop = asyncio.get_running_loop()
    running = [loop.create_task(work) for work in works]
    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    for task in running:
        task.cancel()
    await asyncio.wait(running)

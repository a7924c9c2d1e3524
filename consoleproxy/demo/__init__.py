"""``consoleproxy demo``: demo VMs, manager and proxy in one process, by one command.

``screen``       a VM without a hypervisor: a living picture that echoes what is typed
``canvas``, ``font``  what it draws with
``guest``        a real QEMU guest, where QEMU is installed
``boot_sector``  the 512 bytes that the guest boots
``town``         all of it together: starts in order, stops in the other order
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine, Iterator
from typing import Any

import uvloop

from consoleproxy.config import Settings
from consoleproxy.demo.town import DemoTown
from consoleproxy.net.tasks import Tasks
from consoleproxy.ops.logs import start_logging


def run(settings: Settings, *, json_output: bool) -> int:
    """Run the demo until Ctrl-C, or until SIGTERM and the end of its consoles; return the exit status.

    ``json_output``: any free ports, and one line of JSON on standard output once it is ready.
    """
    start_logging(settings.log_level, settings.log_format)
    uvloop.run(_run(settings, json_output=json_output))
    return 0


async def _run(settings: Settings, *, json_output: bool) -> None:
    town = DemoTown(settings, any_port=json_output)
    with _asked_to_stop() as asked:
        try:
            await town.start()
            print(town.as_json() if json_output else town.as_text(), flush=True)
            if await asked.get() is signal.SIGTERM:
                await _first(town.proxy.drain(settings.drain_timeout), asked.get())
        finally:
            await town.stop()


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[asyncio.Queue[signal.Signals]]:
    """Collect Ctrl-C, which means at once, and SIGTERM, which means drain first."""
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
    tasks = Tasks()
    running = [tasks.spawn(work, name="the end") for work in works]
    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    await tasks.close()

"""Would the program come up, if it were started now? A child answers that before a reload.

The child is the new program with the same arguments: it loads settings, keys and
certificates, binds nothing, and starts a worker, which has to say that it is ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE

from consoleproxy.errors import ConfigError
from consoleproxy.net.packets import packet_pair
from consoleproxy.net.tls import TLSContexts
from consoleproxy.proxy.plan import Plan
from consoleproxy.proxy.workers.hand import Hand
from consoleproxy.proxy.workers.orders import Configure, Order, PolicyPush, Ready, Stop, certificates_of
from consoleproxy.proxy.workers.spawn import WORKER_FD, spawn

#: Says, in the environment, that the program is to prove itself and not to run.
PROBE = "SUPERVISOR_PROBES"
#: Seconds for the child, and within these for its worker.
PATIENCE = 30.0
WORKER_PATIENCE = 20.0
_MOST_WORDS = 300


def is_asked() -> bool:
    """Say whether this process is such a child."""
    return PROBE in os.environ


async def ask_probe() -> str:
    """Start the program as it is now to prove itself; return why it does not, or nothing."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *sys.orig_argv[1:]),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
        env={**os.environ, PROBE: "1"},
    )
    try:
        async with asyncio.timeout(PATIENCE):
            _, words = await process.communicate()
    except TimeoutError:
        return f"the new program was silent for {PATIENCE:g} s"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    last = words.decode(errors="replace").strip().rpartition("\n")[2][:_MOST_WORDS]
    return "" if process.returncode == 0 else f"the new program does not come up: {last or process.returncode}"


async def start_a_worker(plan: Plan, tls: TLSContexts | None) -> None:
    """Start a worker, wait until it is ready, and end it; raise ``ConfigError`` where it is not."""
    is_ready, is_gone = asyncio.Event(), asyncio.Event()

    def heard(_: Hand, message: Order, __: int | None, ___: list[int]) -> None:
        if isinstance(message, Ready):
            is_ready.set()

    ours, theirs = packet_pair()
    with theirs:
        pid = spawn(("worker", str(WORKER_FD)), theirs.fileno())
    hand = Hand(0, pid, ours, on_word=heard, on_lost=lambda _: is_gone.set())
    hand.watch()
    hand.line.start()
    hand.line.tell(PolicyPush("", "", is_draining=True, checks_source_address=True, is_ready=False))
    if tls is not None:
        hand.line.tell(certificates_of(tls))
    hand.line.tell(Configure(plan, 0, "", 0.0, "warning", "text"))
    try:
        await _first(is_ready, is_gone)
        if not is_ready.is_set():
            raise ConfigError("its worker does not get ready")
        hand.line.tell(Stop())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WORKER_PATIENCE):
                await is_gone.wait()
    finally:
        hand.kill()
        hand.close()


async def _first(*events: asyncio.Event) -> None:
    """Return when one of them is set, or after ``WORKER_PATIENCE``."""
    waits = [asyncio.get_running_loop().create_task(event.wait()) for event in events]
    await asyncio.wait(waits, timeout=WORKER_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    await asyncio.wait(waits)

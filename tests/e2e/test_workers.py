"""Supervisor and workers as processes: what is cut when one of them dies, and what is reported."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

from tests.e2e.crews import IN_TIME, carried_by, crew, knocking, settled, workers_of
from tests.e2e.programs import until

#: Seconds that connects may wait for while a supervisor starts again: the time of starting Python, on a busy machine.
AWAY = 5.0


async def test_a_killed_worker_takes_only_its_sessions(tmp_path: Path) -> None:
    """Kill -9 of a worker cuts what it carried, which is reported once; the others go on, and it is born again."""
    async with crew(tmp_path) as made:
        for _ in range(10):
            await made.view()
        victim = max(workers_of(made.proxy.said["pid"]), key=carried_by)
        async with knocking(made.port) as knocks:
            await asyncio.sleep(0.5)
            victim.kill()
            await settled(made, 2)
            await asyncio.sleep(0.5)
        lost = await made.lost()
        assert 0 < len(lost) < 10
        assert len(lost) == await made.ended("worker-lost")
        assert 10 - len(lost) == await made.active()
        assert all([await made.is_alive(viewer) for viewer in made.viewers if viewer not in lost])
        # What the victim had accepted and not answered yet went with it.
        assert len(knocks.faults) <= 2, knocks.faults
        assert knocks.slowest < IN_TIME
        await made.view()
        assert 1 == await made.proxy.metric("consoleproxy_worker_restarts_total")


async def test_a_killed_supervisor_cuts_nobody(tmp_path: Path) -> None:
    """Kill -9 of the supervisor: the next one finds workers and sessions, and the manager ends none."""
    async with crew(tmp_path) as made:
        for _ in range(8):
            await made.view()
        os.kill(made.proxy.said["pid"], signal.SIGKILL)
        await made.proxy.process.wait()
        early = made.viewers.pop()
        await early.close()
        flags = ("--workers", "2")
        made.proxy = await made.site.linked_proxy("v-1-VM", made.manager.said["url"], *flags, port=made.port)
        came = await made.proxy.logged("workers of an earlier supervisor came back")
        assert (2, 2, 7) == (came["known"], came["came"], came["sessions"])
        assert [] == await made.lost()
        assert all([await made.is_alive(viewer) for viewer in made.viewers])

        async def is_told() -> bool:
            return (7, 1) == (await made.active(), await made.ended("browser-closed"))

        await until(is_told)
        assert 7 == await made.proxy.metric("consoleproxy_sessions")
        await made.view()
        for viewer in made.viewers:
            await viewer.close()

        async def all_told() -> bool:
            return 9 == await made.ended("browser-closed")

        await until(all_told)


async def test_a_supervisor_with_a_parent_is_started_again(tmp_path: Path) -> None:
    """With ``--respawn`` the killed supervisor comes back by itself, and waiting connections are answered."""
    async with crew(tmp_path, "--respawn") as made:
        for _ in range(4):
            await made.view()
        parent, killed = made.proxy.process.pid, made.proxy.said["pid"]
        assert parent != killed
        async with knocking(made.port) as knocks:
            await asyncio.sleep(0.3)
            os.kill(killed, signal.SIGKILL)
            assert made.proxy.process.stdout is not None
            made.proxy.said.update(json.loads(await made.proxy.process.stdout.readline()))
            await settled(made)
            await asyncio.sleep(0.3)
        assert killed != made.proxy.said["pid"]
        assert [] == knocks.faults
        # Nothing is accepted meanwhile: they wait in the workers' sockets.
        assert knocks.slowest < AWAY
        assert [] == await made.lost()
        assert all([await made.is_alive(viewer) for viewer in made.viewers])
        await made.view()
        assert 5 == await made.active()

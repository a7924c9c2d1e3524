"""A proxy with workers, a manager, many VMs, and somebody who connects all the time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types

from consoleproxy.net.tasks import Tasks
from tests.e2e.programs import Program, Site, call, console, site, until, view
from tests.helpers.fake_vm import FakeVM
from tests.helpers.viewer import Viewer
from tests.manager.api_world import ALICE, BOB, ROOT, WEB

#: Connects a second of ``knocking``, and the seconds within which each has to be answered.
RATE = 100
IN_TIME = 1.0


def workers_of(supervisor: int) -> list[psutil.Process]:
    """Return the workers of a supervisor, or of what was started as one."""
    children = psutil.Process(supervisor).children(recursive=True)
    return [child for child in children if "worker" in child.cmdline()]


def carried_by(process: psutil.Process) -> int:
    """Count the connections of a process to browsers and VMs."""
    return sum(each.status == psutil.CONN_ESTABLISHED for each in process.net_connections("tcp"))


@dataclass(slots=True)
class Knocks:
    """What became of the connects: seconds of each that was answered, and what went wrong with the others."""

    seconds: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def slowest(self) -> float:
        """The longest wait for an answer."""
        return max(self.seconds, default=0.0)


@asynccontextmanager
async def knocking(port: int, *, rate: int = RATE) -> AsyncIterator[Knocks]:
    """Connect ``rate`` times a second and ask for a page, each time on a new connection."""
    knocks, tasks = Knocks(), Tasks()

    async def knock() -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(20):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    writer.write(b"GET /favicon.ico HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    answer = await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            knocks.faults.append(repr(error))
            return
        if answer.startswith(b"HTTP/1.1 200"):
            knocks.seconds.append(time.monotonic() - began)
        else:
            knocks.faults.append(f"answered {answer[:40]!r}")

    async def go_on() -> None:
        while True:
            tasks.spawn(knock(), name="knock")
            await asyncio.sleep(1 / rate)

    loop = Tasks()
    loop.spawn(go_on(), name="knocking")
    try:
        yield knocks
    finally:
        await loop.close()
        await tasks.join(20)
        await tasks.close()


@dataclass(slots=True)
class Crew:
    """A manager, a proxy with workers, and VMs, of which each console takes the next."""

    site: Site
    manager: Program
    proxy: Program
    vm: FakeVM
    vms: Sequence[str]
    viewers: list[Viewer] = field(default_factory=list)

    @property
    def port(self) -> int:
        """The proxy's public port."""
        return int(self.proxy.said["http_url"].rpartition(":")[2])

    async def view(self) -> Viewer:
        """Open a console of the next VM and go through its handshake."""
        viewer = await view(await console(self.manager, ALICE, self.vms[len(self.viewers)]))
        await viewer.enter()
        self.viewers.append(viewer)
        return viewer

    async def ended(self, reason: str) -> float:
        """Return how many sessions the manager knows to have ended so."""
        return await self.manager.metric("consoleproxy_manager_sessions", state="ended", reason=reason) or 0.0

    async def active(self) -> float:
        """Return how many sessions the manager knows to run."""
        return await self.manager.metric("consoleproxy_manager_sessions", state="active", reason="") or 0.0

    async def lost(self) -> list[Viewer]:
        """Return the viewers whose connection has ended without a word, after a moment for the others to show it."""
        await asyncio.sleep(0.3)
        return [viewer for viewer in self.viewers if viewer.websocket.close_code == 1006]

    async def is_alive(self, viewer: Viewer) -> bool:
        """Say whether a viewer's console carries bytes."""
        before = len(self.vm.received)
        await viewer.websocket.send(b"\x04\x01\x00\x00\x00\x00\x00a")
        with suppress(TimeoutError):
            await self.vm.until(lambda: len(self.vm.received) >= before + 8)
            return True
        return False


@asynccontextmanager
async def crew(folder: Path, *flags: str, workers: int = 2, vms: int = 12) -> AsyncIterator[Crew]:
    """Run all of it; whatever becomes of the supervisor, no worker stays behind."""
    vm = await FakeVM().start()
    seen: list[psutil.Process] = []
    try:
        async with site(folder) as made:
            machines = [
                replace(
                    WEB,
                    id=f"{WEB.id[:-4]}{number:04}",
                    name=f"vm-{number}",
                    host="127.0.0.1",
                    port=vm.port,
                    password="",
                )
                for number in range(vms)
            ]
            made.write_inventory([ALICE, BOB, ROOT], machines)
            manager = await made.manager()
            await call(manager, ROOT, "updateConfiguration", name="consoleproxy.session.max", value=str(vms + 100))
            proxy = await made.linked_proxy("v-1-VM", manager.said["url"], "--workers", str(workers), *flags)
            seen += workers_of(proxy.said["pid"])
            running = Crew(made, manager, proxy, vm, [machine.id for machine in machines])
            try:
                yield running
            finally:
                # Else the proxy would wait for them.
                for viewer in running.viewers:
                    viewer.reset()
        _, alive = await asyncio.to_thread(psutil.wait_procs, seen, 15)
        assert [] == alive, "workers were left running"
    finally:
        for process in seen:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        await vm.close()


async def settled(made: Crew, workers: int = 2) -> None:
    """Wait until so many workers are ready."""

    async def is_so() -> bool:
        return workers == await made.proxy.metric("consoleproxy_workers_ready")

    await until(is_so)

"""Where the manager sends viewers: the real manager, proxies in processes of their own, the client ``cs``."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest
from websockets.exceptions import ConnectionClosed

from tests.e2e.real_manager import Api, api_of, expect_alive, expect_answer, websocket_ports
from tests.e2e.real_parts import demo
from tests.helpers.viewer import Viewer

TRIES = 100
USED, TAKEN_OVER, WRONG_PROXY = 4410, 4460, 4421


@dataclass
class Cloud:
    """A demo of several proxies; viewers that a test opens in it are closed at the end."""

    told: dict[str, Any]
    api: Api
    vms: list[str]
    open: list[Viewer]

    async def place(self, vm_id: str) -> str:
        """Make a link and return the name of its proxy."""
        return websocket_ports(self.told)[(await self.api.link(vm_id)).port]

    async def view(self, vm_id: str) -> tuple[str, Viewer]:
        """Open a console; return its proxy's name and its viewer."""
        viewer, link = await self.api.view(vm_id)
        self.open.append(viewer)
        return websocket_ports(self.told)[link.port], viewer

    async def expect_viewers(self, *numbers: int) -> None:
        """Wait until so many sessions run on each proxy, in the manager's order."""

        async def viewers() -> tuple[int, ...]:
            return tuple((await self.api.viewers()).values())

        await expect_answer(numbers, viewers)

    def pid(self, name: str) -> int:
        """Return a proxy's process id."""
        return next(int(proxy["pid"]) for proxy in self.told["proxies"] if proxy["name"] == name)


@asynccontextmanager
async def cloud(*, proxies: int, vms: int) -> AsyncIterator[Cloud]:
    """Run the demo with so many proxies and built-in VMs."""
    flags = ("--proxies", str(proxies), "--demo-vms", str(vms), "--demo-qemu", "off")
    async with demo(*flags) as told, asyncio.timeout(100):
        with api_of(told) as api:
            machines = await api.call("listVirtualMachines")
            made = Cloud(told, api, [machine["id"] for machine in machines["virtualmachine"]], [])
            yield made
            await asyncio.gather(*(viewer.close() for viewer in made.open))


async def test_a_second_viewer_lands_on_the_same_proxy_even_when_that_is_fuller() -> None:
    """A VM's next viewer takes over from the one before: on the same proxy, be it the fuller or a full one."""
    async with cloud(proxies=2, vms=2) as made:
        first, viewer = await made.view(made.vms[0])
        second, other = await made.view(made.vms[1])
        assert {first, second} == set(websocket_ports(made.told).values())
        await other.close()
        await expect_answer({first: 1, second: 0}, made.api.viewers)
        place, newcomer = await made.view(made.vms[0])
        assert first == place
        assert TAKEN_OVER == (await viewer.closed())[0]
        await made.api.change("consoleproxy.session.max", "1")
        assert first == await made.place(made.vms[0])
        await expect_alive(newcomer)
        await expect_answer({first: 1, second: 0}, made.api.viewers)


async def test_new_vms_go_to_the_least_loaded_proxy() -> None:
    """Six VMs make two for each of three proxies; where one leaves, the next one comes."""
    async with cloud(proxies=3, vms=7) as made:
        seen = [await made.view(vm_id) for vm_id in made.vms[:6]]
        assert [2, 2, 2] == list(Counter(place for place, _ in seen).values())
        await made.expect_viewers(2, 2, 2)
        freed, leaving = seen[3]
        await leaving.close()
        await expect_answer(1, lambda: _viewers_at(made, freed))
        assert freed == await made.place(made.vms[6])


async def test_new_vms_go_to_the_first_proxy_with_room_and_none_to_a_full_one() -> None:
    """Asked for the first available, the manager fills one proxy to its limit, then the next; then it says no."""
    async with cloud(proxies=3, vms=7) as made:
        await made.api.change("consoleproxy.allocation", "first-available")
        await made.api.change("consoleproxy.session.max", "2")
        one, two, three = await made.api.viewers()
        places = [(await made.view(vm_id))[0] for vm_id in made.vms[:6]]
        assert [one, one, two, two, three, three] == places
        await made.expect_viewers(2, 2, 2)
        refused = await made.api.endpoint(made.vms[6])
        assert not refused["success"]
        assert "No console proxy is available" in refused["details"]
        await made.api.change("consoleproxy.session.max", "3")
        assert one == await made.place(made.vms[6])


async def test_a_draining_proxy_gets_no_new_console_and_ends_after_its_last() -> None:
    """SIGTERM: the open console goes on, new VMs and the old VM's next viewer go elsewhere, then the proxy ends."""
    async with cloud(proxies=2, vms=4) as made:
        leaving, viewer = await made.view(made.vms[0])
        (staying,) = set(websocket_ports(made.told).values()) - {leaving}
        process = psutil.Process(made.pid(leaving))
        os.kill(process.pid, signal.SIGTERM)
        await expect_answer({leaving: "Stopping", staying: "Running"}, made.api.states)
        # Without the drain, the other proxy would be the fuller one from the second VM on.
        places = [(await made.view(vm_id))[0] for vm_id in made.vms[1:]]
        assert [staying] * 3 == places
        assert staying == await made.place(made.vms[0])
        await expect_alive(viewer)
        await expect_answer({leaving: 1, staying: 3}, made.api.viewers)
        await viewer.close()
        await expect_answer({leaving: "Stopped", staying: "Running"}, made.api.states)
        await expect_answer({leaving: 0, staying: 3}, made.api.viewers)
        await expect_answer(expected=False, ask=lambda: _is_running(process))


@pytest.mark.slow
async def test_two_viewers_of_one_link_on_two_proxies_are_one() -> None:
    """A link that is tried on two proxies at once opens on its own one, each of a hundred times."""
    async with cloud(proxies=2, vms=2) as made:
        ports = websocket_ports(made.told)
        winners: Counter[str] = Counter()
        # Both VMs, and so both proxies, take turns.
        assert set(ports.values()) == {(await made.view(vm_id))[0] for vm_id in made.vms}
        for number in range(TRIES):
            link = await made.api.link(made.vms[number % 2])
            codes = await asyncio.gather(*(_try(port, link.token) for port in ports))
            results = dict(zip(ports, codes, strict=True))
            assert 0 == results.pop(link.port), codes
            assert set(results.values()) <= {USED, WRONG_PROXY}
            winners[ports[link.port]] += 1
        assert [TRIES // 2] * 2 == list(winners.values())
        await made.expect_viewers(0, 0)
        for vm_id in made.vms:
            assert [True] * (1 + TRIES // 2) == await made.api.endings(vm_id)


async def _try(port: int, token: str) -> int:
    """Open a console and end it: 0 when it was one, else the close code."""
    viewer = await Viewer.open(port, token)
    try:
        await viewer.enter()
    except ConnectionClosed:
        return (await viewer.closed())[0]
    await viewer.close()
    return 0


async def _viewers_at(made: Cloud, name: str) -> int:
    return (await made.api.viewers())[name]


async def _is_running(process: psutil.Process) -> bool:
    return bool(process.is_running())

"""The manager's whole way in a real browser: ``cs`` asks for a console of a QEMU guest, and Chromium opens it."""

from __future__ import annotations

import os
import signal
from asyncio import timeout
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from tests.e2e.browser_echo import GUEST, type_and_see
from tests.e2e.browser_town import expect_connected, expect_over
from tests.e2e.real_manager import (
    Api,
    Site,
    api_of,
    ended_sessions,
    expect_alive,
    expect_answer,
    new_site,
    websocket_ports,
)
from tests.e2e.real_parts import PATIENCE, demo, qemu
from tests.helpers import parts

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: Of the reports. Shorter ones are missed three times in a row where a machine is very busy.
INTERVAL = 1.0
TWO_INTERVALS = 2 * INTERVAL
#: Three missed reports, the sweep that finds it, and as much again for a busy machine.
GIVEN_UP = 8 * INTERVAL
QEMU_ID, OTHER_ID = "11111111-0000-4000-8000-000000000001", "11111111-0000-4000-8000-000000000002"


async def report_often(api: Api) -> None:
    """Set the interval of the reports."""
    await api.change("consoleproxy.loadscan.interval", str(int(INTERVAL * 1000)))


async def open_guest(api: Api, page: Page, vm_id: str) -> int:
    """Open a QEMU guest in the browser, by a link of the API; return the websocket's port."""
    link = await api.link(vm_id)
    await page.goto(link.url)
    await expect_connected(page)
    await GUEST.expect(page, "")
    return link.port


def guest_of(told: dict[str, Any]) -> str:
    """Return the id of the demo's QEMU guest."""
    return next(str(vm["id"]) for vm in told["instances"] if vm["name"] == "qemu-1")


async def test_a_link_of_the_api_opens_in_the_browser_and_is_counted(page: Page) -> None:
    """What ``cs`` asked for shows each key, on a proxy in another process, and is counted as long as it is open."""
    parts.require("qemu-system-x86_64")
    async with demo("--proxies", "2", "--demo-qemu", "on") as told:
        with api_of(told) as api:
            await report_often(api)
            nobody = dict.fromkeys(websocket_ports(told).values(), 0)
            assert nobody == await api.viewers()
            port = await open_guest(api, page, guest_of(told))
            one = {**nobody, websocket_ports(told)[port]: 1}
            await expect_answer(one, api.viewers, TWO_INTERVALS)
            assert told["pid"] not in {proxy["pid"] for proxy in told["proxies"]}
            await type_and_see(page, GUEST, "ok")
            assert one == await api.viewers()
            await page.close()
            await expect_answer(nobody, api.viewers, TWO_INTERVALS)
            assert [True] == await api.endings(guest_of(told))
            assert {"browser-closed": 1} == await ended_sessions(told["manager_ops_url"])


@pytest.mark.slow
async def test_a_killed_proxy_loses_its_count_after_three_intervals(page: Page) -> None:
    """By kill -9 of a proxy the page ends; three intervals later the count is 0, and the session ended once."""
    parts.require("qemu-system-x86_64")
    async with demo("--proxies", "2", "--demo-qemu", "on") as told:
        with api_of(told) as api:
            await report_often(api)
            nobody = dict.fromkeys(websocket_ports(told).values(), 0)
            lost = websocket_ports(told)[await open_guest(api, page, guest_of(told))]
            await expect_answer({**nobody, lost: 1}, api.viewers, TWO_INTERVALS)
            os.kill(next(proxy["pid"] for proxy in told["proxies"] if proxy["name"] == lost), signal.SIGKILL)
            await expect_over(page)
            await expect_answer(nobody, api.viewers, GIVEN_UP)
            assert "Stopped" == (await api.states())[lost]
            assert [True] == await api.endings(guest_of(told))
            assert {"proxy-lost": 1} == await ended_sessions(told["manager_ops_url"])
            # The VM's next console is on the proxy that is left.
            left = websocket_ports(told)[(await api.link(guest_of(told))).port]
            assert {left} == nobody.keys() - {lost}


@pytest.mark.slow
async def test_a_console_outlives_its_manager(page: Page, tmp_path: Path) -> None:
    """After kill -9 of the manager the console still echoes; the next manager counts it again, and each end once."""
    async with qemu(tmp_path, "guestpwd") as guest, qemu(tmp_path) as other:
        instances = [
            {"id": QEMU_ID, "name": "qemu-1", "port": guest.port, "password": "guestpwd"},
            {"id": OTHER_ID, "name": "qemu-2", "port": other.port},
        ]
        site = new_site(tmp_path, instances)
        async with site.manager() as manager, site.proxy("proxy-1"):
            with api_of(site.told) as api:
                await _outlive(site, manager, api, page)


async def _outlive(site: Site, manager: Process, api: Api, page: Page) -> None:
    await expect_answer(expected=True, ask=lambda: _is_known(api))
    await report_often(api)
    await open_guest(api, page, QEMU_ID)
    await type_and_see(page, GUEST, "a")
    viewer, _ = await api.view(OTHER_ID)
    await expect_answer({"proxy-1": 2}, api.viewers, TWO_INTERVALS)
    manager.kill()
    async with timeout(PATIENCE):
        await manager.wait()
    await GUEST.expect(page, "a")
    await page.keyboard.press("b")
    await GUEST.expect(page, "ab")
    await expect_alive(viewer)
    # This end has nobody to be told to, yet.
    await viewer.close()
    async with site.manager():
        await expect_answer({"proxy-1": "Running"}, api.states)
        await expect_answer({"proxy-1": 1}, api.viewers)
        await page.keyboard.press("c")
        await GUEST.expect(page, "abc")
        assert {"proxy-1": 1} == await api.viewers()
        assert [True] == await api.endings(OTHER_ID)
        assert [False] == await api.endings(QEMU_ID)
        await page.close()
        await expect_answer({"proxy-1": 0}, api.viewers, TWO_INTERVALS)
        assert [True] == await api.endings(QEMU_ID)
        assert {"browser-closed": 2} == await ended_sessions(site.ops_url)


async def _is_known(api: Api) -> bool:
    answer = await api.call("listSystemVms")
    return "systemvm" in answer

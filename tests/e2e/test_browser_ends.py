"""How consoles are refused and end, in a real browser, through the real proxy, with a real VNC server."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, expect

from consoleproxy.errors import (
    ConsoleError,
    Draining,
    ExtraTokenError,
    TakenOver,
    UsedError,
    VMClosed,
    VMPasswordError,
    VMRefusedError,
)
from tests.e2e.browser_town import BrowserTown, browser_town, expect_connected, expect_over, follow
from tests.e2e.real_parts import XServer, xtigervnc
from tests.e2e.steps import expect_end, shoot

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("only_ours")]

PASSWORD = "Zq7-kW3x"
NAME = "X server"


@dataclass(frozen=True, slots=True)
class Scene:
    """A proxy that knows one VM, and what the proxy logs."""

    town: BrowserTown
    vm_id: str
    caplog: pytest.LogCaptureFixture

    def link(self) -> str:
        """Return a new console link."""
        return self.town.link(self.vm_id)

    async def expect_told(self, page: Page, error: type[ConsoleError], *, has_ended: bool = False) -> None:
        """Wait until the page tells the error's sentence, with the reference under which the proxy has logged it."""
        await expect_over(page)
        await expect_end(page, error.reason, error.sentence)
        title = "The console has ended" if has_ended else "The console could not be opened"
        await expect(page.locator("#panel-title")).to_have_text(title)
        reference = await page.locator("#panel-reference").inner_text()
        assert re.fullmatch("Reference [0-9a-f]{8}", reference)
        assert [error.reason] == [reason for ref, reason in self.logged if f"Reference {ref}" == reference]

    @property
    def logged(self) -> list[tuple[str, str]]:
        """Reference and reason of each end that the proxy logged."""
        lines = (vars(record) for record in self.caplog.records if record.message == "console ended")
        return [(line["ref"], line["reason"]) for line in lines]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def vnc(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[XServer]:
    """A VNC server that wants ``PASSWORD``, for all tests here that leave it alive."""
    async with xtigervnc(tmp_path_factory.mktemp("vnc"), PASSWORD) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def scene(vnc: XServer, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Scene]:
    """A proxy that knows ``vnc`` and its password."""
    caplog.set_level(logging.INFO, logger="consoleproxy")
    async with browser_town() as town:
        yield Scene(town, town.add(NAME, vnc.port, PASSWORD), caplog)


@pytest_asyncio.fixture(loop_scope="module")
async def only_ours(context: BrowserContext, scene: Scene) -> AsyncIterator[None]:
    """The browser asks nobody but the proxy for anything."""
    traffic, proxy = follow(context), f"127.0.0.1:{scene.town.town.port}"
    yield
    assert {proxy} == traffic.places


# --- refused --------------------------------------------------------------------------


async def test_a_wrong_vnc_password_is_told(page: Page, scene: Scene, vnc: XServer) -> None:
    """The VNC server refuses the proxy, and the person learns that it is not about a password of theirs."""
    await page.goto(scene.town.link(scene.town.add("Renamed", vnc.port, "wrong")))
    await scene.expect_told(page, VMPasswordError)
    await expect(page.locator("#panel-advice")).to_have_text(
        "Your administrator can find the cause under the reference."
    )
    await shoot(page, "end-vm-password")


async def test_a_machine_that_does_not_listen_is_told(page: Page, scene: Scene) -> None:
    """A machine that is switched off has nobody on its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    await page.goto(scene.town.link(scene.town.add("Switched off", port)))
    await scene.expect_told(page, VMRefusedError)
    await expect(page.locator("#name")).to_have_text("Switched off")
    await shoot(page, "end-vm-refused")


async def test_a_link_opens_one_console_once(page: Page, scene: Scene, context: BrowserContext) -> None:
    """The same link in a second window is told to be used, and the first window goes on."""
    link = scene.link()
    await page.goto(link)
    await expect_connected(page)
    second = await context.new_page()
    await second.goto(link)
    await scene.expect_told(second, UsedError)
    await shoot(second, "end-used")
    await expect_connected(page)
    assert 1 == len(scene.town.town.proxy)


@pytest.mark.parametrize("sent", ["", "&extra=wrong"], ids=["missing", "wrong"])
async def test_an_extra_token_must_be_right_and_a_failed_try_costs_nothing(
    page: Page, scene: Scene, context: BrowserContext, sent: str
) -> None:
    """Without the extra token, or with another one, the link opens nothing; with the right one it still does."""
    made = scene.town.endpoint(scene.vm_id, extra="a secret & more")
    link, _, right = made.url.partition("&extra=")
    await page.goto(link + sent)
    await scene.expect_told(page, ExtraTokenError)
    await shoot(page, "end-extra-token")
    second = await context.new_page()
    await second.goto(f"{link}&extra={right}")
    await expect_connected(second)


# --- ended ----------------------------------------------------------------------------


async def test_a_machine_that_dies_is_told_at_once(page: Page, scene: Scene, tmp_path: Path) -> None:
    """The VNC server is killed under an open console; the panel tells long before any deadline could."""
    clock = asyncio.get_running_loop().time
    async with xtigervnc(tmp_path, "dies-now") as doomed:
        await page.goto(scene.town.link(scene.town.add("Doomed", doomed.port, "dies-now")))
        await expect_connected(page)
        killed = clock()
        process_of(doomed).kill()
        await scene.expect_told(page, VMClosed, has_ended=True)
        assert clock() - killed < 10
        await expect(page.locator("#stage canvas")).to_be_visible()
        await shoot(page, "end-vm-closed")
    assert 0 == len(scene.town.town.proxy)


async def test_a_console_can_be_taken_over(page: Page, scene: Scene, context: BrowserContext) -> None:
    """A second link to the same machine takes the console; the first window tells so, the second shows it."""
    await page.goto(scene.link())
    await expect_connected(page)
    second = await context.new_page()
    await second.goto(scene.link())
    await expect_connected(second)
    await scene.expect_told(page, TakenOver, has_ended=True)
    await shoot(page, "end-taken-over")
    await expect_connected(second)
    assert 1 == len(scene.town.town.proxy)


async def test_a_proxy_that_stops_says_so(page: Page, scene: Scene) -> None:
    """Who has a console open when the proxy is stopped reads why it went away."""
    await page.goto(scene.link())
    await expect_connected(page)
    await scene.town.town.proxy.stop()
    await scene.expect_told(page, Draining, has_ended=True)
    await shoot(page, "end-draining")


def process_of(server: XServer) -> psutil.Process:
    """Return the one of our programs that has the server's port."""
    ours = psutil.Process().children()
    (process,) = (child for child in ours if server.port in {link.laddr.port for link in child.net_connections("tcp4")})
    return process

"""A real browser, the real proxy and real machines, as a person meets them: the demo, from its start page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, expect

from tests.e2e.browser_echo import BUILT_IN, GUEST, type_and_see
from tests.e2e.browser_town import Traffic, click_to_open, follow
from tests.e2e.real_parts import demo
from tests.e2e.steps import shoot
from tests.helpers import parts

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told() -> AsyncIterator[dict[str, Any]]:
    """What the demo says of itself; its QEMU guest is there."""
    parts.require("qemu-system-x86_64")
    async with demo("--demo-qemu", "on") as said:
        yield said


@pytest_asyncio.fixture(loop_scope="module")
async def traffic(context: BrowserContext, told: dict[str, Any]) -> AsyncIterator[Traffic]:
    """All that the browser asks for: nobody but the start page and the proxy."""
    seen = follow(context)
    yield seen
    addresses = told["start_url"], told["proxies"][0]["http_url"], told["proxies"][0]["websocket_url"]
    assert {urlsplit(address).netloc for address in addresses} == seen.places


async def test_a_real_machine_echoes_what_is_typed_in_the_browser(
    context: BrowserContext, traffic: Traffic, page: Page, told: dict[str, Any]
) -> None:
    """A click on the start page opens the QEMU guest in a new window, and each key changes its picture."""
    await page.goto(told["start_url"])
    console = await click_to_open(context, page, "QEMU guest")
    await console.set_viewport_size({"width": 1280, "height": 800})
    await expect(console).to_have_title("QEMU guest \u2013 Console")
    assert ["dialling", "handshake", "ready"] == traffic.states

    await GUEST.expect(console, "")
    await type_and_see(console, GUEST, "ok")
    await shoot(console, "qemu")
    for left in ("o", ""):
        await console.keyboard.press("Backspace")
        await GUEST.expect(console, left)
    await type_and_see(console, GUEST, "hello from the browser")
    await shoot(console, "readme")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Demo VM 1", "Demo VM 2"])
@pytest.mark.usefixtures("traffic")
async def test_a_built_in_machine_echoes_what_is_typed_in_the_browser(
    context: BrowserContext, page: Page, told: dict[str, Any], name: str
) -> None:
    """The demo needs no hypervisor: its own machines show each key too, the second one behind a VNC password."""
    await page.goto(told["start_url"])
    console = await click_to_open(context, page, name)
    await expect(console).to_have_title(f"{name} \u2013 Console")
    await type_and_see(console, BUILT_IN, "Hello from the browser")
    await shoot(console, name.lower().replace(" ", "-"))

"""A real browser at the demo with TLS: https for the page, wss for the console, a real machine behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.e2e.browser_echo import GUEST, type_and_see
from tests.e2e.browser_town import click_to_open, follow
from tests.e2e.real_parts import demo
from tests.e2e.steps import shoot
from tests.helpers import parts

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told() -> AsyncIterator[dict[str, Any]]:
    """What the demo says of itself."""
    parts.require("qemu-system-x86_64")
    async with demo("--tls", "--demo-qemu", "on") as said:
        yield said


@pytest_asyncio.fixture(loop_scope="module")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A profile that takes the demo's certificate."""
    viewport = {"width": 1280, "height": 800}
    async with await browser.new_context(viewport=viewport, ignore_https_errors=True) as fresh:  # type: ignore[arg-type]
        yield fresh


async def test_a_real_machine_echoes_what_is_typed_through_tls(
    context: BrowserContext, page: Page, told: dict[str, Any]
) -> None:
    """From the start page to https and wss; each key changes the picture of the QEMU guest."""
    traffic = follow(context)
    await page.goto(told["start_url"])
    console = await click_to_open(context, page, "QEMU guest")
    await console.set_viewport_size({"width": 1280, "height": 800})
    await expect(console).to_have_title("QEMU guest \u2013 Console")
    assert ["dialling", "handshake", "ready"] == traffic.states
    proxy = urlsplit(told["proxies"][0]["http_url"])
    assert "https" == proxy.scheme
    assert {"https", "wss"} == {urlsplit(at).scheme for at in traffic.addresses if urlsplit(at).netloc == proxy.netloc}
    await GUEST.expect(console, "")
    await type_and_see(console, GUEST, "hello through tls")
    await shoot(console, "tls")
    assert await console.evaluate("() => window.isSecureContext")

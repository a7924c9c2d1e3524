"""A real Chromium, and the stand-in proxy whose pages it opens.

All of it runs on the module's loop: tests that use it say ``loop_scope="module"``.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.e2e.page_server import NOVNC, PageServer, serve
from tests.e2e.steps import listen
from tests.helpers import parts

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Under plain http browsers trust a page of this computer, but not one with such a name.
    "--host-resolver-rules=MAP console.test 127.0.0.1",
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all tests here; each test has a context of its own."""
    path = parts.require("chromium")
    if not (NOVNC / "core" / "rfb.js").is_file():
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up("noVNC is missing; `make test` installs it")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture(loop_scope="module")
async def server() -> AsyncIterator[PageServer]:
    """A stand-in proxy; every file that a page asks for must be there."""
    async with serve() as running:
        yield running
    assert [] == running.missing


@pytest_asyncio.fixture(loop_scope="module")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A browser profile of the test's own."""
    async with await browser.new_context(viewport={"width": 1280, "height": 800}) as fresh:
        yield fresh


@pytest_asyncio.fixture(loop_scope="module")
async def complaints(context: BrowserContext) -> AsyncIterator[list[str]]:
    """What the browser complained of; a test that provokes a complaint takes it out."""
    heard = listen(context)
    yield heard
    assert [] == heard


@pytest_asyncio.fixture(loop_scope="module")
async def page(context: BrowserContext, complaints: list[str]) -> Page:  # noqa: ARG001  # listens from the first page on
    """An empty tab."""
    return await context.new_page()

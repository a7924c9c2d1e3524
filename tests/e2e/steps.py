"""What tests of the pages do and expect again and again."""

from __future__ import annotations

import asyncio
from pathlib import Path

from playwright.async_api import BrowserContext, Page, expect

from tests.e2e.page_server import PATIENCE, PageServer, Viewer

OUT = Path(__file__).parent / "out"
BLUE = (32, 74, 135)
GREEN = (20, 120, 60)
LINK = "/console?token=demo"

MIDDLE_PIXEL = """canvas => {
    const pixel = canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data;
    return [pixel[0], pixel[1], pixel[2]];
}"""


def listen(context: BrowserContext) -> list[str]:
    """Collect errors of scripts and of the console, where a violated Content-Security-Policy is told too."""
    heard: list[str] = []
    context.on("console", lambda message: heard.append(message.text) if message.type == "error" else None)
    context.on("weberror", lambda error: heard.append(str(error.error)))
    return heard


async def open_console(page: Page, server: PageServer, link: str = LINK) -> Viewer:
    """Open the console page and return its websocket's other end."""
    await page.goto(server.origin + link)
    return await server.viewer()


async def open_screen(page: Page, server: PageServer, link: str = LINK, name: str = "Demo VM") -> Viewer:
    """Open the console page and paint its screen blue."""
    viewer = await open_console(page, server, link)
    await viewer.say_state("ready", name)
    await viewer.open_screen(BLUE)
    await expect_state(page, "connected")
    await expect_colour(page, BLUE)
    return viewer


async def expect_state(page: Page, state: str) -> None:
    """Wait until the page is in a state."""
    await expect(page.locator("html")).to_have_attribute("data-state", state)


async def expect_colour(page: Page, colour: tuple[int, int, int]) -> None:
    """Wait until the screen shows a colour in its middle."""
    canvas = page.locator("#stage canvas")
    async with asyncio.timeout(PATIENCE):
        while await canvas.evaluate(MIDDLE_PIXEL) != list(colour):
            await page.evaluate("() => new Promise(requestAnimationFrame)")


async def expect_end(page: Page, reason: str, text: str) -> None:
    """Wait until the page tells that it ended, and why."""
    await expect_state(page, "ended")
    await expect(page.locator("html")).to_have_attribute("data-reason", reason)
    await expect(page.locator("#panel")).to_be_visible()
    await expect(page.locator("#panel-text")).to_have_text(text)


async def shoot(page: Page, name: str) -> None:
    """Keep a picture for a look, as it is when nothing moves any more."""
    OUT.mkdir(exist_ok=True)
    await page.screenshot(path=OUT / f"{name}.png", animations="disabled")

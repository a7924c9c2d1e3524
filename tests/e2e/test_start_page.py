"""The start page in a real browser."""

from __future__ import annotations

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.e2e.page_server import PageServer
from tests.e2e.steps import GREEN, expect_colour, shoot

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

MACHINES = [
    {
        "id": "1",
        "name": "i-2-1-VM",
        "displayname": "Echo",
        "description": "Shows every key that you press.",
        "state": "running",
    },
    {
        "id": "2",
        "name": "i-2-2-VM",
        "displayname": "Colours",
        "description": "Fills its screen with a colour for each key, to see how quickly pictures come.",
        "state": "running",
    },
    {
        "id": "3",
        "name": "i-2-3-VM",
        "displayname": "Switched off",
        "description": "Nobody answers here: it shows how a refusal looks.",
        "state": "stopped",
    },
]


async def open_start(page: Page, server: PageServer) -> None:
    """Open the start page with three machines."""
    server.machines = MACHINES
    await page.goto(server.origin)
    await expect(page.get_by_role("listitem")).to_have_count(3)


async def test_the_start_page_opens_a_console_in_a_new_window(
    page: Page, server: PageServer, context: BrowserContext
) -> None:
    """The button asks for a console of its machine, and a new window without a way back shows it."""
    await open_start(page, server)
    async with context.expect_page() as opening:
        await page.get_by_role("button", name="Open console of Colours").click()
    console = await opening.value
    viewer = await server.viewer()
    await viewer.say_state("ready", "Colours")
    await viewer.open_screen(GREEN)
    await expect_colour(console, GREEN)
    assert [{"id": "2"}] == server.asked_for
    assert await console.evaluate("window.opener") is None
    await expect(page.get_by_role("button", name="Open console of Colours")).to_have_text("Open console")


async def test_the_start_page_follows_light_and_dark(page: Page, server: PageServer) -> None:
    """The page is light or dark as the person's system is."""
    await open_start(page, server)
    backgrounds = {}
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
        await shoot(page, f"start-{scheme}")
        backgrounds[scheme] = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert {"light": "rgb(245, 247, 249)", "dark": "rgb(15, 20, 26)"} == backgrounds
    await page.set_viewport_size({"width": 390, "height": 844})
    await shoot(page, "start-telephone")
    assert await page.evaluate("document.documentElement.scrollWidth") == 390


async def test_the_start_page_tells_a_refusal_on_the_card(
    page: Page, server: PageServer, context: BrowserContext, complaints: list[str]
) -> None:
    """The server's sentence stands on the machine's card as text, and the new window is gone."""
    server.console_answer = (503, {"error": "This console proxy is <b>full</b>. Try again later."})
    await open_start(page, server)
    card = page.get_by_role("listitem").filter(has_text="Echo")
    async with context.expect_page() as opening:
        await card.get_by_role("button").click()
    opened = await opening.value
    await expect(card.get_by_role("alert")).to_have_text("This console proxy is <b>full</b>. Try again later.")
    await shoot(page, "start-refused")
    assert opened.is_closed()
    assert ["503" in complaint for complaint in complaints] == [True]  # the browser's own line
    complaints.clear()


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,hello"])
async def test_the_start_page_opens_web_addresses_alone(page: Page, server: PageServer, url: str) -> None:
    """An answer whose address would run a script in the page is refused."""
    server.console_answer = (200, {"url": url})
    await open_start(page, server)
    await page.get_by_role("button", name="Open console of Echo").click()
    await expect(page.get_by_role("alert").first).to_have_text(
        "The server answered with an address that is no web page."
    )


async def test_a_blocked_window_asks_for_no_console(page: Page, server: PageServer) -> None:
    """Where the browser blocks the window, the card says so and no link is made in vain."""
    await page.add_init_script("window.open = () => null")
    await open_start(page, server)
    await page.get_by_role("button", name="Open console of Echo").click()
    text = "Your browser blocked the new window. Allow pop-ups for this page, then try again."
    await expect(page.get_by_role("alert").first).to_have_text(text)
    assert [] == server.asked_for


async def test_the_start_page_tells_when_there_is_nothing(page: Page, server: PageServer) -> None:
    """An empty list is a sentence, not an empty page."""
    await page.goto(server.origin)
    await expect(page.get_by_role("status")).to_have_text("There are no virtual machines yet.")


async def test_the_start_page_can_ask_again(page: Page, server: PageServer, complaints: list[str]) -> None:
    """A list that could not be loaded is told, and a button asks once more."""
    server.machines_status = 500
    await page.goto(server.origin)
    await expect(page.get_by_role("status")).to_have_text("The list of virtual machines could not be loaded.")
    await shoot(page, "start-failed")
    complaints.clear()  # the browser's line on the answer
    server.machines_status, server.machines = 200, MACHINES
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("listitem")).to_have_count(3)
    await expect(page.get_by_role("button", name="Try again")).to_be_hidden()

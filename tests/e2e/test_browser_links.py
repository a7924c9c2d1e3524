"""Console links in a real browser, through the real proxy to a real VNC server: what they open and what they keep."""

from __future__ import annotations

import base64
import dataclasses
import itertools
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, expect

from consoleproxy.access.token import decode
from consoleproxy.manager.endpoint import Endpoint
from tests.e2e.browser_town import (
    PATIENT,
    BrowserTown,
    Traffic,
    browser_town,
    click_to_open,
    expect_connected,
    expect_soon,
    follow,
)
from tests.e2e.real_parts import PAPER, XServer, xtigervnc
from tests.e2e.steps import shoot

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

PASSWORD = "Zq7-kW3x"

#: A dot of the terminal where it writes nothing.
PAPER_DOT = "canvas => Array.from(canvas.getContext('2d').getImageData(20, 100, 1, 1).data).slice(0, 3)"
FOREIGN_SCRIPT = "document.body.append(Object.assign(document.createElement('script'), {text: 'foreign = 1'}))"


@pytest_asyncio.fixture(loop_scope="module")
async def town() -> AsyncIterator[BrowserTown]:
    """A proxy with one port for pages and one for websockets, as CloudStack's has."""
    settings = dataclasses.replace(PATIENT, single_port=None, page_port=0, websocket_port=0)
    async with browser_town(settings) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def traffic(context: BrowserContext, town: BrowserTown) -> AsyncIterator[Traffic]:
    """All that the browser asks for: nobody but the start page and the proxy."""
    seen = follow(context)
    yield seen
    assert set() == seen.places - town.places


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def vnc(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[XServer]:
    """A VNC server that wants ``PASSWORD``."""
    async with xtigervnc(tmp_path_factory.mktemp("vnc"), PASSWORD) as server:
        yield server


async def type_into_terminal(page: Page, vnc: XServer, text: str) -> str:
    """Type a line into a terminal on the server's screen, and return what it got."""
    async with vnc.terminal() as typed:
        canvas = page.locator("#stage canvas")
        await expect_soon(page, list(PAPER), lambda: canvas.evaluate(PAPER_DOT))
        # Without a window manager the keys go to where the pointer is.
        await canvas.click(position={"x": 40, "y": 100})
        await page.keyboard.type(text)
        await page.keyboard.press("Enter")

        async def is_written() -> bool:
            return typed.exists() and typed.read_text().endswith("\n")

        await expect_soon(page, True, is_written)
        await shoot(page, "xtigervnc")
        return typed.read_text()


async def test_the_vnc_password_stays_with_the_proxy(
    context: BrowserContext, traffic: Traffic, page: Page, town: BrowserTown, vnc: XServer
) -> None:
    """The console works, and the password is in nothing that the browser got: page, link, header, frame or storage."""
    town.add("X server", vnc.port, PASSWORD)
    await page.goto(town.start_url)
    console = await click_to_open(context, page, "X server")
    assert "Hello from the browser\n" == await type_into_terminal(console, vnc, "Hello from the browser")

    # The browser was asked for nothing, and gave nothing.
    assert traffic.to_browser.startswith(b"RFB 003.008\n" + b"\x01\x01" + bytes(4))
    assert traffic.to_proxy.startswith(b"RFB 003.008\n" + b"\x01" + b"\x01")
    (link,) = (address for address in traffic.addresses if "/vnc.html?" in address)
    (token,) = parse_qs(urlsplit(link).query)["token"]
    keys = town.town.proxy.keys
    assert keys is not None
    assert PASSWORD == decode(token, keys)["clientHostPassword"]
    state = str(await context.storage_state()) + await page.content() + await console.content() + console.url
    got = await traffic.everything() + base64.b64decode(token) + state.encode()
    assert b'"url"' in got  # the start page's answer is among it
    assert PASSWORD.encode() not in got


@pytest.mark.usefixtures("traffic")
async def test_cloudstack_links_open_the_console(page: Page, town: BrowserTown, vnc: XServer) -> None:
    """The page address as CloudStack writes it works, with its base64 and the extra token as they are."""
    made = link_with_signs(town, town.add("X server", vnc.port, PASSWORD))
    query = f"autoconnect=true&show_dot=true&port={made.port}&token={made.token}&language=us&extra={made.extra}"
    root = f"http://127.0.0.1:{town.town.proxy.ports[0]}"
    await page.goto(f"{root}/resource/noVNC/vnc.html?{query}")
    await expect_connected(page)
    await expect(page).to_have_title("X server \u2013 Console")
    assert f"{root}/resource/noVNC/vnc.html" == page.url


@pytest.mark.usefixtures("traffic")
async def test_a_foreign_script_is_stopped_and_heard(
    page: Page, town: BrowserTown, vnc: XServer, complaints: list[str]
) -> None:
    """The real pages forbid scripts that are not theirs, and these tests would hear of it."""
    for address in (town.start_url, town.link(town.add("X server", vnc.port, PASSWORD))):
        await page.goto(address)
        async with page.expect_console_message(lambda message: "Content Security Policy" in message.text):
            await page.evaluate(FOREIGN_SCRIPT)
        assert await page.evaluate("typeof foreign") == "undefined"
        assert ["Content Security Policy" in complaint for complaint in complaints] == [True]
        complaints.clear()


def link_with_signs(town: BrowserTown, vm_id: str) -> Endpoint:
    """Return a console whose token has a ``+``, a ``/`` and a ``=``, and its extra token too."""
    # The length decides on the "=", chance on the others.
    tries = (town.endpoint(vm_id, extra="a+b/c=" + "x" * (number % 3)) for number in itertools.count())
    return next(made for made in tries if {"+", "/", "="} <= set(made.token))

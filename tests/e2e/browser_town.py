"""The real proxy and start page for a real browser, and a record of all that the browser got from them."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import web
from playwright.async_api import BrowserContext, Locator, Page, Request, Response, WebSocket, expect

from consoleproxy.config import Settings
from consoleproxy.demo.start_page import start_routes
from consoleproxy.manager.endpoint import Endpoint
from consoleproxy.ops.pages import find_page_files
from tests.helpers.authority import AuthorityApi, Instance
from tests.helpers.town import QUICK, Town, town

#: Seconds for the next thing to happen, on a busy machine.
PATIENCE = 40.0

#: Deadlines that a browser on a busy machine keeps.
PATIENT = dataclasses.replace(
    QUICK,
    request_timeout=PATIENCE,
    browser_handshake_timeout=PATIENCE,
    authorise_timeout=PATIENCE,
    vm_connect_timeout=PATIENCE,
    vm_handshake_timeout=PATIENCE,
    close_timeout=5,
)


@dataclass(frozen=True, slots=True)
class BrowserTown:
    """A proxy, its control plane and its start page; the virtual machines are the test's to add."""

    town: Town
    start_url: str

    @property
    def places(self) -> set[str]:
        """Every host and port that a browser has any business with."""
        return {urlsplit(self.start_url).netloc, *(f"127.0.0.1:{port}" for port in self.town.proxy.ports)}

    def add(self, name: str, port: int, password: str = "") -> str:
        """Make a VM known, and return its id."""
        vm_id = str(uuid.uuid4())
        self.town.service.add_instance(Instance(vm_id, name, name, "", "127.0.0.1", port, password))
        return vm_id

    def endpoint(self, vm_id: str, extra: str = "") -> Endpoint:
        """Return a new console, good for one use."""
        return self.town.service.create_endpoint(vm_id, extra=extra, source_address="127.0.0.1")

    def link(self, vm_id: str) -> str:
        """Return a page address that opens the VM's console once."""
        return self.endpoint(vm_id).url


@asynccontextmanager
async def browser_town(settings: Settings = PATIENT) -> AsyncIterator[BrowserTown]:
    """Run a proxy and a start page."""
    async with town(settings=settings) as made:
        app = web.Application()
        app.add_routes(start_routes(AuthorityApi(made.service), find_page_files()))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield BrowserTown(made, f"http://127.0.0.1:{runner.addresses[0][1]}/")
        finally:
            await runner.cleanup()


@dataclass
class Traffic:
    """All that passed between one browser profile and the world."""

    addresses: list[str] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    to_browser: bytearray = field(default_factory=bytearray)
    to_proxy: bytearray = field(default_factory=bytearray)

    @property
    def places(self) -> set[str]:
        """Every host and port that was asked for anything; ``data:`` and ``blob:`` have none."""
        return {urlsplit(address).netloc for address in self.addresses} - {""}

    @property
    def states(self) -> list[str]:
        """The states that the proxy told, in order."""
        events = map(json.loads, self.words)
        return [event["state"] for event in events if event["event"] == "state"]

    async def everything(self) -> bytes:
        """Return addresses, headers, bodies and websocket frames, one after the other."""
        texts = [*self.addresses, *self.words]
        for response in self.responses:
            texts += [f"{name}: {value}" for name, value in (await response.all_headers()).items()]
            texts.append((await response.body()).decode(errors="replace"))
        return "\n".join(texts).encode() + self.to_browser + self.to_proxy

    def hear_request(self, request: Request) -> None:
        self.addresses.append(request.url)

    def hear_response(self, response: Response) -> None:
        self.responses.append(response)

    def hear_websocket(self, websocket: WebSocket) -> None:
        self.addresses.append(websocket.url)
        websocket.on("framereceived", lambda payload: self._take(payload, self.to_browser))
        websocket.on("framesent", lambda payload: self._take(payload, self.to_proxy))

    def _take(self, payload: str | bytes, stream: bytearray) -> None:
        if isinstance(payload, str):
            self.words.append(payload)
        else:
            stream.extend(payload)


def follow(context: BrowserContext) -> Traffic:
    """Record all traffic of a browser profile's pages from now on."""
    traffic = Traffic()
    context.on("request", traffic.hear_request)
    context.on("response", traffic.hear_response)
    context.on("page", lambda page: page.on("websocket", traffic.hear_websocket))
    return traffic


# --- what tests do again and again ----------------------------------------------------


async def click_to_open(context: BrowserContext, start: Page, name: str) -> Page:
    """Click a machine's button on the start page, and return the window that shows its console."""
    async with context.expect_page(timeout=PATIENCE * 1000) as opening:
        await start.get_by_role("button", name=f"Open console of {name}").click()
    console = await opening.value
    await expect_connected(console)
    return console


async def expect_connected(page: Page) -> None:
    """Wait until a console page shows the screen; fail with the page's own words when it tells an end."""
    await _settled(page).wait_for(timeout=PATIENCE * 1000)
    told = await page.locator("#panel").inner_text() if await page.locator("#panel").is_visible() else ""
    assert not told, told


async def expect_over(page: Page) -> None:
    """Wait until a console page tells that its console ended or could not be opened."""
    await expect(page.locator("html")).to_have_attribute("data-state", "ended", timeout=PATIENCE * 1000)


def _settled(page: Page) -> Locator:
    return page.locator("html[data-state=connected], html[data-state=ended]")


async def expect_soon(page: Page, expected: object, ask: Callable[[], Awaitable[object]]) -> None:
    """Ask after each picture that the page draws, until the answer is the expected one."""
    answer: object = None
    try:
        async with asyncio.timeout(PATIENCE):
            while answer != expected:
                await page.evaluate("() => new Promise(requestAnimationFrame)")
                answer = await ask()
    except TimeoutError:
        raise AssertionError(f"it is still {answer!r}, not {expected!r}") from None

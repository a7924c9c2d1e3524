"""The console page in a real browser: how it opens, its bar and its link."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, Page, expect

from tests.e2e.page_server import PageServer
from tests.e2e.steps import (
    BLUE,
    GREEN,
    LINK,
    expect_colour,
    expect_end,
    expect_state,
    listen,
    open_console,
    open_screen,
    shoot,
)

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

#: Keysyms (X11's keysymdef.h).
CONTROL_L, ALT_L, SHIFT_L, DELETE, BACKSPACE, TAB = 0xFFE3, 0xFFE9, 0xFFE1, 0xFFFF, 0xFF08, 0xFF09


# --- opening --------------------------------------------------------------------------


async def test_the_page_shows_each_step_until_the_screen_is_there(page: Page, server: PageServer) -> None:
    """State, step and status follow the proxy's words, and the VM's name is shown as soon as it is known."""
    viewer = await open_console(page, server)
    current, status = page.locator("[aria-current=step]"), page.get_by_role("status")
    await expect_state(page, "contacting")
    await expect(current).to_have_text("Contacting the proxy")
    await expect(page.get_by_role("button", name="Ctrl+Alt+Del")).to_be_disabled()

    await viewer.say_state("dialling", "Web server 1")
    await expect_state(page, "dialling")
    await expect(current).to_have_text("Reaching the virtual machine")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Web server 1")
    await expect(page).to_have_title("Web server 1 \u2013 Console")
    await shoot(page, "console-steps")

    await viewer.say_state("handshake", "Web server 1")
    await expect_state(page, "handshake")
    await expect(status).to_have_text("Signing in to its screen")

    await viewer.say_state("ready", "Web server 1")
    await viewer.open_screen(BLUE)
    await expect_state(page, "connected")
    await expect(status).to_have_text("Connected")
    await expect(page.locator("#progress")).to_be_hidden()
    await expect_colour(page, BLUE)
    await shoot(page, "console-connected")


async def test_the_picture_fills_the_window_and_keeps_its_shape(page: Page, server: PageServer) -> None:
    """A picture of 320x200 is scaled to the stage, and again when the window changes."""
    await open_screen(page, server)
    canvas = page.locator("#stage canvas")
    for width, height in ((1280, 800), (700, 800)):
        await page.set_viewport_size({"width": width, "height": height})
        stage = await page.locator("#stage").bounding_box()
        assert stage is not None
        scale = min(stage["width"] / 320, stage["height"] / 200)
        await expect(canvas).to_have_js_property("clientWidth", round(320 * scale))
        await expect(canvas).to_have_js_property("clientHeight", round(200 * scale))


async def test_keys_go_to_the_vm_as_soon_as_it_is_connected(page: Page, server: PageServer) -> None:
    """The screen has the focus by itself, and Backspace and Tab go to the VM, not to the browser."""
    viewer = await open_screen(page, server)
    await expect(page.get_by_role("application", name="Screen of Demo VM")).to_be_focused()
    for key in ("a", "Backspace", "Tab"):
        await page.keyboard.press(key)
    expected = [(key, down) for key in (ord("a"), BACKSPACE, TAB) for down in (True, False)]
    assert expected == await viewer.wait_for_keys(6)


async def test_a_proxy_that_sends_no_text_works_too(page: Page, server: PageServer) -> None:
    """Under the subprotocol `binary` RFB starts at once, and the VNC server's name is shown."""
    server.subprotocols = ("binary",)
    viewer = await open_console(page, server)
    await viewer.open_screen(GREEN, name="QEMU (i-2-5-VM)")
    await expect_state(page, "connected")
    await expect_colour(page, GREEN)
    await expect(page).to_have_title("QEMU (i-2-5-VM) \u2013 Console")


async def test_words_among_the_picture_do_not_disturb_it(page: Page, server: PageServer) -> None:
    """Text that the page does not know is ignored, and none of it reaches noVNC.

    noVNC would take the text 77 for as many zero bytes.
    """
    viewer = await open_screen(page, server)
    for text in ('{"event":"weather","text":"fine"}', "no JSON", "[]", "null", '{"event":"state","state":"?"}', "77"):
        await viewer.websocket.send_str(text)
    await viewer.paint(GREEN)
    await expect_colour(page, GREEN)
    await expect_state(page, "connected")
    assert [] == viewer.texts


async def test_a_page_that_the_browser_calls_insecure_works_too(
    page: Page, server: PageServer, complaints: list[str]
) -> None:
    """Under plain http from another host the console runs and its details can be copied."""
    await page.goto(f"http://console.test:{server.port}{LINK}")
    assert await page.evaluate("window.isSecureContext") is False
    viewer = await server.viewer()
    await viewer.say_state("ready")
    await viewer.open_screen(BLUE)
    await expect_colour(page, BLUE)
    await viewer.end("idle", 4462, "This console was idle.")
    await page.get_by_role("button", name="Copy details").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    await page.evaluate("document.body.append(document.createElement('textarea'))")
    await page.locator("textarea").focus()
    await page.keyboard.press("Control+V")
    assert "This console was idle.\nReason: idle (4462)\n" in await page.locator("textarea").input_value()
    assert ["noVNC requires a secure context (TLS). Expect crashes!"] == complaints
    complaints.clear()


# --- the bar --------------------------------------------------------------------------


async def test_ctrl_alt_del_is_sent_and_the_screen_keeps_the_focus(page: Page, server: PageServer) -> None:
    """The button presses the three keys in order and lets them go in the opposite order."""
    viewer = await open_screen(page, server)
    await page.get_by_role("button", name="Ctrl+Alt+Del").click()
    keys = (CONTROL_L, ALT_L, DELETE)
    expected = [(key, True) for key in keys] + [(key, False) for key in reversed(keys)]
    assert expected == await viewer.wait_for_keys(6)
    await expect(page.get_by_role("application")).to_be_focused()
    await expect(page.get_by_role("status")).to_have_text("Ctrl+Alt+Del sent")


async def test_ctrl_alt_shift_leads_out_of_the_screen(page: Page, server: PageServer) -> None:
    """The three keys alone move the focus to the bar, and the VM hears of each key's release."""
    viewer = await open_screen(page, server)
    for key in ("Control", "Alt", "Shift"):
        await page.keyboard.down(key)
    await page.keyboard.up("Shift")
    await expect(page.get_by_role("button", name="Ctrl+Alt+Del")).to_be_focused()
    keys = await viewer.wait_for_keys(6)
    assert [(CONTROL_L, True), (ALT_L, True), (SHIFT_L, True)] == keys[:3]
    assert {(CONTROL_L, False), (ALT_L, False), (SHIFT_L, False)} == set(keys[3:])


async def test_ctrl_alt_shift_with_another_key_stays_in_the_vm(page: Page, server: PageServer) -> None:
    """A key combination of the VM's own does not lead out."""
    viewer = await open_screen(page, server)
    await page.keyboard.press("Control+Alt+Shift+R")
    await viewer.wait_for_keys(8)
    await expect(page.get_by_role("application")).to_be_focused()


async def test_full_screen_comes_and_goes(page: Page, server: PageServer) -> None:
    """The button says what it will do next, and the screen keeps the focus."""
    await open_screen(page, server)
    await page.get_by_role("button", name="Full screen").click()
    leave = page.get_by_role("button", name="Leave full screen")
    await expect(leave).to_be_visible()
    await expect(page.get_by_role("application")).to_be_focused()
    await leave.click()
    await expect(page.get_by_role("button", name="Full screen", exact=True)).to_be_visible()


# --- the link -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "link",
    [
        "/resource/noVNC/vnc.html?autoconnect=true&show_dot=true&port=PORT&token=ab+c/d==&language=jp&extra=x%20y",
        "/console?token=ab%2Bc%2Fd%3D%3D&extra=x%20y",
        "/console#token=ab+c/d==&extra=x%20y",
        "/console?host=127.0.0.1&path=/websockify&token=ab+c/d==&extra=x%20y",
    ],
)
async def test_the_token_arrives_as_it_was_made(page: Page, server: PageServer, link: str) -> None:
    """Raw or percent-encoded, in the query or after '#': the proxy gets the same token, and '+' stays '+'."""
    viewer = await open_console(page, server, link.replace("PORT", str(server.port)))
    assert viewer.query == "token=ab%2Bc%2Fd%3D%3D&extra=x%20y"


@pytest.mark.parametrize(
    ("page_address", "socket_address"),
    [
        ("http://1.2.3.4/resource/noVNC/vnc.html?port=8080&token=a", "ws://1.2.3.4:8080/websockify?token=a"),
        ("https://proxy.example.org/console?port=8443&token=a", "wss://proxy.example.org:8443/websockify?token=a"),
        ("https://proxy.example.org/console?token=a", "wss://proxy.example.org/websockify?token=a"),
        ("http://proxy.example.org:81/console?token=a", "ws://proxy.example.org:81/websockify?token=a"),
        ("http://a.example/console?host=::1&path=x/y&token=a", "ws://[::1]/x/y?token=a"),
        ("http://a.example:81/console?port=none&token=100%", "ws://a.example:81/websockify?token=100%25"),
    ],
)
async def test_the_websocket_is_where_the_link_says(
    page: Page, server: PageServer, page_address: str, socket_address: str
) -> None:
    """Scheme and host are the page's own, and port, host and path can be told."""
    await page.goto(f"{server.origin}/console")
    read = "async address => (await import('/static/link.js')).readLink(address).socketUrl"
    assert socket_address == await page.evaluate(read, page_address)


async def test_the_token_leaves_the_address_bar_and_a_reload_explains_itself(page: Page, server: PageServer) -> None:
    """Once read, the token is gone from the address; a reloaded page says that its link is used up."""
    await open_screen(page, server)
    assert f"{server.origin}/console" == page.url
    await page.reload()
    text = "This page was reloaded. A console link works once: open the console again from where you started it."
    await expect_end(page, "reloaded", text)
    assert 0 == server.viewers_waiting


async def test_an_address_without_a_token_explains_itself(page: Page, server: PageServer) -> None:
    """No websocket is opened without a token."""
    await page.goto(f"{server.origin}/console?autoconnect=true")
    await expect_end(page, "no-token", "This address is not a whole console link: its token is missing.")
    assert 0 == server.viewers_waiting


async def test_a_new_link_in_the_same_window_opens_it(page: Page, server: PageServer) -> None:
    """A link that differs only after '#' starts the page anew."""
    await page.goto(f"{server.origin}/console")
    await expect_state(page, "ended")
    await page.evaluate("window.location.hash = 'token=second'")
    assert "token=second" == (await server.viewer()).query


async def test_a_missing_viewer_is_told_before_the_link_is_used(
    page: Page, server: PageServer, complaints: list[str]
) -> None:
    """Without noVNC's files no websocket is opened, so the link stays good."""
    server.is_viewer_installed = False
    await page.goto(server.origin + LINK)
    await expect_end(page, "viewer-missing", "The program that shows the screen could not be loaded.")
    assert 0 == server.viewers_waiting
    assert ["/static/novnc/core/rfb.js"] == server.missing
    server.missing.clear()
    complaints.clear()  # the browser's line on the missing file


async def test_the_page_fits_a_telephone(browser: Browser, server: PageServer) -> None:
    """On a narrow touch screen nothing is wider than the window, open or ended."""
    async with await browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True) as telephone:
        heard = listen(telephone)
        page = await telephone.new_page()
        viewer = await open_screen(page, server, name="Accounting database, second replica (old)")
        await shoot(page, "telephone-connected")
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        await viewer.end("vm-unreachable", 4450, "The virtual machine's screen could not be reached.")
        await expect_state(page, "ended")
        await shoot(page, "telephone-ended")
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        assert [] == heard

"""The console page in a real browser: how it tells that a console ended or was refused."""

from __future__ import annotations

import socket

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.e2e.page_server import PageServer
from tests.e2e.steps import BLUE, LINK, expect_colour, expect_end, open_console, open_screen, shoot

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


async def test_an_ended_console_tells_why_over_its_last_picture(page: Page, server: PageServer) -> None:
    """Sentence, advice and reference stand over the last picture, and nothing is tried again."""
    viewer = await open_screen(page, server)
    sentence = "The virtual machine closed its screen. It may have been switched off or restarted."
    await viewer.end("vm-closed", 4456, sentence, ref="ab12cd34")
    await expect_end(page, "vm-closed", sentence)
    await expect(page.get_by_role("heading", level=2)).to_have_text("The console has ended")
    await expect(page.locator("#panel-advice")).to_have_text("When it is running, open the console again.")
    await expect(page.locator("#panel-reference")).to_have_text("Reference ab12cd34")
    await expect(page).to_have_title("Ended: Demo VM \u2013 Console")
    await expect(page.locator("#panel")).to_be_focused()
    await expect(page.get_by_role("button", name="Ctrl+Alt+Del")).to_be_disabled()
    await expect(page.locator("#stage canvas")).to_be_visible()
    await expect_colour(page, BLUE)
    await shoot(page, "console-ended")
    assert 0 == server.viewers_waiting


async def test_a_refused_console_tells_why(page: Page, server: PageServer) -> None:
    """A refusal before the VM was reached says that the console could not be opened."""
    viewer = await open_console(page, server)
    await viewer.end("vm-refused", 4451, "The host refused the connection.", ref="zz99yy88")
    await expect_end(page, "vm-refused", "The host refused the connection.")
    await expect(page.get_by_role("heading", level=2)).to_have_text("The console could not be opened")
    await expect(page.locator("#panel-ref")).to_have_text("zz99yy88")
    await shoot(page, "console-refused")


async def test_nothing_is_shown_after_the_end(page: Page, server: PageServer) -> None:
    """A step told after the end changes nothing, and a reason that is a word of JavaScript's is only a word."""
    viewer = await open_console(page, server)
    words = {"event": "end", "reason": "constructor", "code": 4451, "text": "Refused.", "ref": "a"}
    await viewer.websocket.send_json(words)
    await viewer.say_state("handshake")
    await viewer.say_state("ready")
    await viewer.close(4451, "vm-refused ref=a")
    await viewer.wait_for_close()
    await expect_end(page, "constructor", "Refused.")
    await expect(page.locator("#panel-advice")).to_be_empty()
    await expect(page.locator("#stage canvas")).to_have_count(0)


async def test_keys_typed_on_do_nothing_after_the_end(page: Page, server: PageServer) -> None:
    """Who types while the console ends presses no button of the page."""
    viewer = await open_screen(page, server)
    await viewer.end("killed", 4461, "An administrator ended this console.")
    await expect(page.locator("#panel")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Space")
    await expect(page.get_by_role("button", name="Copy details")).to_have_text("Copy details")


async def test_the_details_can_be_copied(page: Page, server: PageServer, context: BrowserContext) -> None:
    """The clipboard gets the name, the sentence, the reason and the reference, and never the token."""
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    viewer = await open_screen(page, server, "/console?token=sEcReT")
    await viewer.end("killed", 4461, "An administrator ended this console.", ref="ab12cd34")
    await page.get_by_role("button", name="Copy details").click()
    await expect(page.get_by_role("status")).to_have_text("Details copied")
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert [
        "Console of: Demo VM",
        "An administrator ended this console.",
        "Reason: killed (4461)",
        "Reference: ab12cd34",
    ] == copied.splitlines()[:4]
    assert "sEcReT" not in copied


async def test_names_and_sentences_are_never_html(page: Page, server: PageServer) -> None:
    """Markup in what the proxy sends is shown letter by letter."""
    markup = "<img src=x onerror=alert(1)><b>bold</b>"
    viewer = await open_screen(page, server, name=markup)
    await expect(page.get_by_role("heading", level=1)).to_have_text(markup)
    await viewer.end("killed", 4461, markup, ref="<b>ref</b>")
    await expect_end(page, "killed", markup)
    await expect(page.locator("#panel-ref")).to_have_text("<b>ref</b>")
    assert 0 == await page.locator("b, img").count()


async def test_a_lost_explanation_leaves_reason_and_reference(page: Page, server: PageServer) -> None:
    """Where the `end` event did not arrive, the close reason still names both."""
    viewer = await open_screen(page, server)
    await viewer.close(4456, "vm-closed ref=ab12cd34")
    text = "The console proxy ended this console (vm-closed), but its explanation did not arrive."
    await expect_end(page, "vm-closed", text)
    await expect(page.locator("#panel-ref")).to_have_text("ab12cd34")


@pytest.mark.parametrize(
    ("code", "reason", "text"),
    [
        (1000, "closed", "The console was closed."),
        (1001, "going-away", "The console proxy went away."),
        (1002, "misunderstood", "Your browser and the console proxy did not understand each other."),
        (1009, "too-big", "Your browser sent more at once than the console proxy takes."),
        (1011, "internal", "Something went wrong inside the console proxy."),
        (
            4999,
            "closed",
            "The console proxy ended this console (code 4999), but its explanation did not arrive.",
        ),
    ],
)
async def test_a_close_without_a_word_is_explained(
    page: Page, server: PageServer, code: int, reason: str, text: str
) -> None:
    """RFC 6455's close codes have sentences of the page's own."""
    viewer = await open_screen(page, server)
    await viewer.close(code)
    await expect_end(page, reason, text)
    await expect(page.locator("#panel-reference")).to_be_hidden()


async def test_a_lost_connection_is_explained(page: Page, server: PageServer) -> None:
    """A network that fails in an open console gives code 1006, told as a lost connection."""
    viewer = await open_screen(page, server)
    await viewer.cut()
    await expect_end(page, "connection-lost", "The connection to the console proxy was lost.")


async def test_a_proxy_that_is_not_there_is_explained(page: Page, server: PageServer, complaints: list[str]) -> None:
    """A websocket that never opened gives code 1006 too, told as a proxy that could not be reached."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    await page.goto(f"{server.origin}{LINK}&port={port}")
    await expect_end(page, "proxy-unreachable", "The console proxy could not be reached.")
    assert ["ERR_CONNECTION_REFUSED" in complaint for complaint in complaints] == [True]  # the browser's own line
    complaints.clear()


async def test_a_picture_that_makes_no_sense_ends_the_console(
    page: Page, server: PageServer, complaints: list[str]
) -> None:
    """What noVNC cannot read is told as such, and the proxy sees the close."""
    viewer = await open_screen(page, server)
    await viewer.websocket.send_bytes(b"\x77")
    text = "Your browser could not make sense of the picture that the virtual machine sent."
    await expect_end(page, "viewer-failed", text)
    await viewer.wait_for_close()
    assert ["Failed while connected: Unexpected server message (type 119)"] == complaints  # noVNC's own line
    complaints.clear()


async def test_a_password_is_never_asked_for(page: Page, server: PageServer, complaints: list[str]) -> None:
    """A server that wants a VNC password from the browser is told as wrongly set up."""
    server.subprotocols = ("binary",)
    viewer = await open_console(page, server)
    await viewer.websocket.send_bytes(b"RFB 003.008\n")
    await viewer.read(12)
    await viewer.websocket.send_bytes(b"\x01\x02")
    await viewer.read(1)
    await viewer.websocket.send_bytes(bytes(16))
    text = "The virtual machine asks for a password here, which this page never sends."
    await expect_end(page, "password-asked", text)
    await viewer.wait_for_close()
    await expect(page.locator("input")).to_have_count(0)
    assert ["Connection closed" in complaint for complaint in complaints] in ([], [True])  # noVNC's own line
    complaints.clear()

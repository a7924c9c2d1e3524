"""One console from upgrade to end: what goes in which order, and how each end is told."""

from __future__ import annotations

import asyncio
import logging

import pytest

from consoleproxy.messages import AccessAnswer, AccessRequest
from tests.helpers.authority import Instance
from tests.helpers.fake_vm import FakeVM
from tests.helpers.town import VM_ID, Town, town
from tests.helpers.viewer import CHANNEL, Viewer

pytestmark = pytest.mark.usefixtures("no_sockets_left_open")


async def refused(made: Town, token: str, *, extra: str = "", origin: str | None = None) -> tuple[int, str]:
    """Open a websocket, expect to be closed, and return code and reason word."""
    viewer = await Viewer.open(made.port, token, extra=extra, origin=origin)
    code, reason = await viewer.closed()
    return code, reason.split(" ref=", maxsplit=1)[0]


async def test_a_console_carries_bytes_both_ways() -> None:
    """What the VM sends arrives at the browser, and what the browser sends at the VM, byte for byte."""
    async with town() as made:
        viewer = await made.view()
        await made.vm.send(b"from the vm")
        assert await viewer.read(11) == b"from the vm"
        await viewer.websocket.send(b"\x04\x01\x00\x00\x00\x00\x00a")
        await made.vm.until(lambda: bool(made.vm.received))
        assert bytes(made.vm.received) == b"\x04\x01\x00\x00\x00\x00\x00a"
        await viewer.close()


async def test_server_init_bears_the_display_name_and_the_screen_of_the_vm() -> None:
    """The browser learns the name that people gave the VM, not the one of its VNC server."""
    async with town() as made:
        viewer = await Viewer.open(made.port, made.token())
        server_init = await viewer.enter()
        assert server_init[:4] == bytes([0, 64, 0, 48])
        assert server_init[24:] == b"Web <01>"
        await viewer.close()


async def test_a_name_that_misleads_is_cleaned_before_it_is_shown() -> None:
    """Control and direction characters of the display name reach neither the page nor ServerInit."""
    async with town() as made:
        made.service.add_instance(
            Instance(VM_ID, "vm", "web\u202egnp\x1b[31m <b>日本</b>", "", "127.0.0.1", made.vm.port)
        )
        viewer = await Viewer.open(made.port, made.token(), subprotocols=(CHANNEL,))
        server_init = await viewer.enter()
        assert server_init[24:].decode() == "webgnp[31m <b>日本</b>" == viewer.events[0]["name"]
        await viewer.close()


async def test_the_vnc_password_never_reaches_the_browser() -> None:
    """The proxy signs in to the VM; the browser is offered security type None."""
    async with town(vm=FakeVM(password="secret12")) as made:
        viewer = await made.view()
        assert made.vm.opened.is_set()
        await viewer.close()


async def test_the_page_hears_each_step() -> None:
    """On the page channel the steps come as events, with the VM's name."""
    async with town() as made:
        viewer = await made.view(subprotocols=(CHANNEL, "binary"))
        assert CHANNEL == viewer.websocket.subprotocol
        states = [(event["event"], event["state"], event["name"]) for event in viewer.events]
        assert [("state", state, "Web <01>") for state in ("dialling", "handshake", "ready")] == states
        await viewer.close()


@pytest.mark.parametrize("offered", [(), ("binary",), ("base64", "binary"), ("base64",)])
async def test_binary_is_answered_only_where_it_was_offered(offered: tuple[str, ...]) -> None:
    """A client is never answered with a subprotocol that it did not offer, and never gets text."""
    async with town() as made:
        viewer = await made.view(subprotocols=offered)
        assert ("binary" if "binary" in offered else None) == viewer.websocket.subprotocol
        assert [] == viewer.events
        await viewer.close()


@pytest.mark.parametrize("path", ["/websockify", "/websockify/websockify", "/", "/any/thing"])
async def test_any_path_opens_a_console(path: str) -> None:
    """CloudStack's page asks for its path twice over; every path is as good."""
    async with town() as made:
        viewer = await Viewer.open(made.port, made.token(), path=path)
        await viewer.enter()
        await viewer.close()


async def test_a_link_works_once() -> None:
    """The second use is refused with its own code, and the VM is not contacted for it."""
    async with town() as made:
        token = made.token()
        viewer = await Viewer.open(made.port, token)
        await viewer.enter()
        await viewer.close()
        assert await refused(made, token) == (4410, "used")
        assert made.vm.connects == 1


async def test_of_two_simultaneous_uses_exactly_one_wins() -> None:
    """A hundred sessions, each used twice at the same moment: one console each, one refusal each."""

    async def use(made: Town, token: str) -> int:
        viewer = await Viewer.open(made.port, token)
        try:
            async with asyncio.timeout(5):
                await viewer.enter()
        except Exception:  # noqa: BLE001 - whatever the client makes of being closed
            return (await viewer.closed())[0]
        await viewer.close()
        return 0

    async with town() as made:
        for _ in range(100):
            token = made.token()
            codes = sorted(await asyncio.gather(use(made, token), use(made, token)))
            assert codes == [0, 4410]
        assert made.vm.connects == 100


async def test_a_wrong_extra_token_does_not_burn_the_session() -> None:
    """Missing or wrong it is refused; the right one still opens the console."""
    async with town() as made:
        token = made.token(extra="only-me")
        assert await refused(made, token) == (4401, "extra-token")
        assert await refused(made, token, extra="only-ME") == (4401, "extra-token")
        assert made.vm.connects == 0
        viewer = await Viewer.open(made.port, token, extra="only-me")
        await viewer.enter()
        await viewer.close()


async def test_refusals_before_the_vm() -> None:
    """A bad token, a foreign page and a foreign address are told apart, and the VM is left alone."""
    async with town(check_source_address=True) as made:
        assert await refused(made, "rubbish") == (4400, "bad-token")
        assert await refused(made, "") == (4400, "bad-token")
        assert await refused(made, made.token(), origin="http://evil.test") == (4405, "origin")
        assert await refused(made, made.token(source_address="192.0.2.1")) == (4403, "source-address")
        assert made.vm.connects == 0
        await made.proxy.crew.refresh()
        assert made.metric("consoleproxy_consoles_ended_total", reason="bad-token", phase="checks") == 2


async def test_the_end_is_told_in_words_on_the_page_channel() -> None:
    """A refusal comes as an event with sentence and reference, then as a close code with the same reference."""
    async with town() as made:
        viewer = await Viewer.open(made.port, "rubbish", subprotocols=(CHANNEL,))
        code, reason = await viewer.closed()
        (event,) = viewer.events
        assert (event["event"], event["reason"], event["code"]) == ("end", "bad-token", 4400)
        assert event["text"].startswith("This console link is damaged")
        assert (code, reason) == (4400, f"bad-token ref={event['ref']}")
        assert len(event["ref"]) == 8


@pytest.mark.parametrize("reset", [False, True])
async def test_a_vm_that_ends_closes_the_browser_at_once(reset: bool) -> None:  # noqa: FBT001
    """The VM's end of file is 4456, after everything that it sent before."""
    async with town() as made:
        viewer = await made.view()
        await made.vm.send(b"last words")
        assert await viewer.read(10) == b"last words"
        made.vm.hang_up(reset=reset)
        code, reason = await viewer.closed()
        assert (code, reason.split()[0]) == (4456, "vm-closed")


@pytest.mark.parametrize("how", ["goodbye", "reset"])
async def test_a_browser_that_leaves_ends_the_vm_connection(how: str) -> None:
    """Closing and vanishing both end the VM's side, each with its own reason."""
    async with town() as made:
        viewer = await made.view()
        if how == "reset":
            viewer.reset()
        else:
            await viewer.close()
        await made.vm.until(lambda: made.vm.open_connections == 0)
        reason = "browser-lost" if how == "reset" else "browser-closed"
        await made.proxy.crew.refresh()
        assert made.metric("consoleproxy_consoles_ended_total", reason=reason, phase="relay") == 1


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Say nothing for ever."""
    await reader.read()


async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send the banner a byte at a time, too slowly to finish."""
    for byte in b"RFB 003.008\n":
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.1)


async def hang_up(*_: object) -> None:
    """Close at once."""


async def rubbish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speak another protocol."""
    writer.write(b"SSH-2.0-OpenSSH_9.2p1\r\n")
    await reader.read()


@pytest.mark.parametrize(
    ("talk", "code", "word"),
    [
        (silent, 4452, "vm-timeout"),
        (trickle, 4452, "vm-timeout"),
        (hang_up, 4456, "vm-closed"),
        (rubbish, 4455, "vm-protocol"),
    ],
)
async def test_a_vm_that_does_not_greet(talk: object, code: int, word: str) -> None:
    """Silence and trickling end at the deadline; each failure has its own code."""
    async with town(vm=FakeVM(talk=talk)) as made:  # type: ignore[arg-type]
        assert await refused(made, made.token()) == (code, word)


async def test_a_wrong_vnc_password_is_told() -> None:
    """The person learns that the proxy's password was wrong, and not the password."""
    async with town(vm=FakeVM(password="right")) as made:
        made.add_vm(made.vm, vm_id=VM_ID, password="wrong")
        assert await refused(made, made.token()) == (4454, "vm-password")


async def test_a_port_where_nobody_listens_is_refused() -> None:
    """A VM that is switched off is told apart from one that cannot be reached."""
    async with town() as made:
        gone = await FakeVM().start()
        made.add_vm(gone, vm_id="gone")
        await gone.close()
        assert await refused(made, made.token(vm_id="gone")) == (4451, "vm-refused")


async def test_a_browser_that_does_not_greet_is_ended_at_the_deadline() -> None:
    """A browser that opens a console and then says nothing keeps neither slot nor VM."""
    async with town() as made:
        viewer = await Viewer.open(made.port, made.token())
        assert (await viewer.closed())[0] == 1002
        await made.vm.until(lambda: made.vm.open_connections == 0)
        assert len(made.proxy) == 0


async def test_a_newcomer_with_the_same_password_replaces_the_viewer() -> None:
    """As in CloudStack; the one that goes is told why, before the VM is dialled again."""
    async with town() as made:
        first = await made.view()
        second = await made.view()
        assert (await first.closed())[0] == 4460
        await made.vm.send(b"for the second")
        assert await second.read(14) == b"for the second"
        await second.close()


async def test_a_newcomer_with_another_password_is_refused() -> None:
    """The viewer is left alone, and the newcomer's session is not consumed."""
    async with town(vm=FakeVM(password="one")) as made:
        first = await made.view()
        made.add_vm(made.vm, vm_id=VM_ID, password="two")
        assert await refused(made, made.token()) == (4409, "in-use")
        await made.vm.send(b"still here")
        assert await first.read(10) == b"still here"
        await first.close()


async def test_a_full_proxy_refuses_without_burning_the_session() -> None:
    """The link that met a full proxy works once there is room."""
    async with town(max_sessions=1) as made:
        other = await FakeVM().start()
        made.add_vm(other, vm_id="other")
        first = await made.view()
        token = made.token(vm_id="other")
        assert await refused(made, token) == (4430, "full")
        await first.close()
        await made.vm.until(lambda: len(made.proxy) == 0)
        second = await Viewer.open(made.port, token)
        await second.enter()
        await second.close()
        await other.close()


@pytest.mark.in_process
async def test_a_control_plane_that_does_not_answer_means_no_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a yes nobody enters, and the slot is free again."""

    async def never(_: AccessRequest) -> AccessAnswer:
        await asyncio.Event().wait()
        raise AssertionError

    async with town() as made:
        monkeypatch.setattr(made.carrier.context.link, "authorise", never)
        assert await refused(made, made.token()) == (4471, "manager-away")
        assert (len(made.proxy), made.vm.connects) == (0, 0)


async def test_a_stopping_proxy_says_goodbye() -> None:
    """Stop ends open consoles with 4470 and takes no new ones."""
    async with town() as made:
        viewer = await made.view()
        closed = asyncio.ensure_future(viewer.closed())  # noqa: TID251 - awaited below
        await made.proxy.stop()
        assert (await closed)[0] == 4470
        assert len(made.proxy) == 0


async def test_drain_waits_for_running_consoles_and_refuses_new_ones() -> None:
    """A draining proxy keeps what runs; when the last has ended, the drain is over."""
    async with town() as made:
        viewer = await made.view()
        draining = asyncio.ensure_future(made.proxy.drain(30))  # noqa: TID251 - awaited below
        await asyncio.sleep(0)
        assert await refused(made, made.token()) == (4470, "draining")
        assert not draining.done()
        await viewer.close()
        await draining


@pytest.mark.in_process
async def test_the_control_plane_hears_of_each_end_once(caplog: pytest.LogCaptureFixture) -> None:
    """One report, one line, one count, with bytes and reason; and no secret in the line."""
    caplog.set_level(logging.DEBUG)
    async with town(vm=FakeVM(password="s3cretpw")) as made:
        token = made.token(extra="very-private")
        viewer = await Viewer.open(made.port, token, extra="very-private")
        await viewer.enter()
        assert made.service.active_sessions == 1
        await made.vm.send(b"12345")
        assert await viewer.read(5) == b"12345"
        await viewer.close()
        await made.vm.until(lambda: made.service.active_sessions == 0)
        lines = [record for record in caplog.records if record.message == "console ended"]
        (line,) = [vars(record) for record in lines]
        assert (line["reason"], line["phase"], line["to_browser"], line["vm"]) == ("browser-closed", "relay", 5, VM_ID)
        assert made.metric("consoleproxy_relayed_bytes_total", direction="to_browser") == 5
        ours = [record for record in caplog.records if record.name != "websockets.client"]
        everything = " ".join(str(vars(record)) for record in ours)
        for secret in ("s3cretpw", "very-private", token[:40]):
            assert secret not in everything

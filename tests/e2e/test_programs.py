"""``consoleproxy manager`` and ``consoleproxy proxy`` as operators meet them: start, words, files, signals."""

from __future__ import annotations

import asyncio
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
import pytest_asyncio

from consoleproxy.errors import Draining, ExtraTokenError, TakenOver, UsedError
from consoleproxy.manager.model import Account, Instance
from consoleproxy.ops.certs import make_certs
from tests.e2e.programs import Program, Site, call, console, fetch, once, refusal, site, until, view
from tests.helpers.fake_vm import FakeVM
from tests.helpers.viewer import Viewer
from tests.manager.api_world import ALICE, BOB, DB, OFF, ROOT, WEB, command_query, expires, signed

#: Another machine: nobody is there.
FAR = "http://192.0.2.1:6081"


@dataclass(frozen=True, slots=True)
class Pair:
    """A manager and a proxy that are linked, and the VNC server of all VMs."""

    site: Site
    manager: Program
    proxy: Program
    vm: FakeVM

    async def viewer(self, account: Account = ALICE, instance: Instance = WEB) -> Viewer:
        """Open a console and go through its handshake."""
        viewer = await view(await console(self.manager, account, instance.id))
        await viewer.enter()
        return viewer


@asynccontextmanager
async def pair(folder: Path, *proxy_flags: str, manager_flags: tuple[str, ...] = ()) -> AsyncIterator[Pair]:
    """Run a VNC server, a manager that knows VMs of two accounts, and a proxy."""
    async with site(folder) as made, known_vm(made) as vm:
        manager = await made.manager(*manager_flags)
        yield Pair(made, manager, await made.linked_proxy("v-1-VM", manager.said["url"], *proxy_flags), vm)


@asynccontextmanager
async def known_vm(place: Site) -> AsyncIterator[FakeVM]:
    """Run the VNC server that stands for all VMs of the inventory, which is written."""
    vm = await FakeVM().start()
    try:
        vms = [replace(each, host="127.0.0.1", port=vm.port, password="") for each in (WEB, OFF, DB)]
        place.write_inventory([ALICE, BOB, ROOT], vms)
        yield vm
    finally:
        await vm.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """One manager with one proxy, for tests that leave both as they are."""
    async with pair(tmp_path_factory.mktemp("programs")) as made:
        yield made


def mode(path: Path) -> int:
    """Return a file's permissions."""
    return stat.S_IMODE(path.stat().st_mode)


# --- starting -------------------------------------------------------------------------


@pytest.mark.parametrize(("program", "words"), [("manager", "--inventory"), ("proxy", "--manager-url")])
async def test_help_shows_what_a_program_needs(program: str, words: str) -> None:
    """``--help`` ends well, and shows examples with the flags that are needed."""
    status, output, complaints = await once(program, "--help")
    assert (0, "") == (status, complaints)
    examples = output.partition("examples:")[2]
    assert words in examples
    assert "--link-secret @" in examples


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["manager"], "link_secret is needed"),
        (["proxy", "--manager-url", "http://127.0.0.1:1"], "link_secret is needed"),
        (["proxy", "--link-secret", "x"], "manager_url is needed"),
        (["proxy", "--link-secret", "x", "--manager-url", FAR], "192.0.2.1 is another machine"),
        (["proxy", "--link-secret", "x", "--manager-url", FAR.replace("http", "https")], "needs the CA file"),
        (["proxy", "--link-secret", "x", "--manager-url", "far away"], "manager's address"),
        (["manager", "--link-secret", "x", "--manager-cert", "cert.pem"], "give both"),
        (["manager", "--link-secret", "x", "--inventory", "nowhere.yaml"], "nowhere.yaml"),
        (["manager", "--link-secret", "@nowhere"], "nowhere"),
    ],
)
async def test_what_is_missing_or_unsafe_is_said_in_one_line(tmp_path: Path, arguments: list[str], words: str) -> None:
    """A program that cannot start as it was told says why in one line, and ends with status 2."""
    status, output, complaints = await once(*arguments, "--state-folder", str(tmp_path / "state"))
    assert (2, "") == (status, output)
    (line,) = complaints.splitlines()
    assert line.startswith("consoleproxy: error: ")
    assert words in line
    assert "Traceback" not in complaints


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('"port": 5901', '"port": 70000', "instances[0].port"),
        ('"state": "Stopped"', '"state": "stopped"', "instances[1].state"),
        ('"account": "bob"', '"account": "carol"', "instances[2].account"),
        ('"api_key": "bob-KEY"', '"api_key": "alice-KEY_1"', "accounts[1].api_key"),
        ('"admin": true', '"admin": "yes"', "accounts[2].admin"),
        ('"host"', '"hosts"', "instances[0].host"),
        ('{"accounts"', "{[", "is not YAML"),
    ],
)
async def test_a_bad_inventory_names_the_place(tmp_path: Path, old: str, new: str, place: str) -> None:
    """An inventory that cannot be used stops the manager with the file, the place and no secret."""
    async with site(tmp_path) as made:
        made.write_inventory([ALICE, BOB, ROOT], [WEB, OFF, DB])
        text = made.inventory.read_text()
        assert old in text
        made.inventory.write_text(text.replace(old, new))
        flags = ("--inventory", str(made.inventory), "--link-secret", "x", "--state-folder", str(tmp_path / "state"))
        status, _, complaints = await once("manager", *flags)
    assert 2 == status
    assert f"{made.inventory}" in complaints
    assert place in complaints
    assert "Traceback" not in complaints
    assert ALICE.secret_key not in complaints


@pytest.mark.asyncio(loop_scope="module")
async def test_nobody_else_can_read_the_state(shared: Pair) -> None:
    """The state folders are closed to others; so are the master key and the store, which holds no password."""
    folder = shared.site.folder
    assert 0o700 == mode(folder / "manager")
    assert 0o700 == mode(folder / "v-1-VM")
    files = list((folder / "manager").iterdir())
    assert {"master.key", "manager.sqlite"} <= {path.name for path in files}
    assert {0o600} == {mode(path) for path in files}
    assert not any(ALICE.secret_key.encode() in path.read_bytes() for path in files)


# --- TLS and the link -----------------------------------------------------------------


async def test_a_proxy_links_over_tls_to_the_manager_that_its_ca_vouches_for(tmp_path: Path) -> None:
    """With certs/make_certs.py's files the link is up, and a console opens; another CA's proxy stays outside."""
    make_certs(tmp_path / "certs")
    make_certs(tmp_path / "other")
    certs = tmp_path / "certs"
    tls = ("--manager-cert", str(certs / "server-chain.pem"), "--manager-key", str(certs / "server-key.pem"))
    async with site(tmp_path) as made, known_vm(made):
        manager = await made.manager(*tls)
        assert manager.said["url"].startswith("https://")
        url = f"https://localhost:{manager.said['port']}"
        right = await made.linked_proxy("right", url, "--manager-ca", str(certs / "ca-cert.pem"))
        wrong = await made.proxy("wrong", url, "--manager-ca", str(tmp_path / "other" / "ca-cert.pem"))
        assert "certificate verify failed" in (await wrong.logged("control link is down"))["detail"]
        assert not await wrong.is_ready()
        assert (1, 0) == (await right.metric("consoleproxy_link_up"), await wrong.metric("consoleproxy_link_up"))
        assert 1 == await manager.metric("consoleproxy_manager_proxies", state="up")
        assert (await right.metric("consoleproxy_link_reports") or 0) >= 1
        manager.said["ca"] = str(certs / "ca-cert.pem")
        viewer = await view(await console(manager, ALICE, WEB.id))
        await viewer.enter()
        await viewer.close()


async def test_a_proxy_with_another_secret_is_not_taken_in(tmp_path: Path) -> None:
    """A wrong secret leaves the proxy not ready; both logs say why, and neither shows a secret."""
    async with site(tmp_path) as made, known_vm(made):
        manager = await made.manager()
        wrong = await made.proxy("wrong", manager.said["url"], "--link-secret", "not-the-secret")
        assert "401" in (await wrong.logged("control link is down"))["detail"]
        assert "127.0.0.1" == (await manager.logged("a proxy's link was refused: the secret is wrong"))["peer"]
        assert not await wrong.is_ready()
        assert "systemvm" not in await call(manager, ROOT, "listSystemVms")
        for program in (manager, wrong):
            assert "not-the-secret" not in program.log.read_text()


# --- stopping -------------------------------------------------------------------------


async def test_sigterm_ends_both_programs_in_peace(tmp_path: Path) -> None:
    """Without consoles, SIGTERM ends proxy and manager with status 0 and without an error in the log."""
    async with pair(tmp_path) as made:
        assert 0 == await made.proxy.stop()
        assert 0 == await made.manager.stop()
        for program in (made.proxy, made.manager):
            assert [] == [line for line in program.lines if line.get("level") not in {"info", "warning"}]


async def test_a_proxy_that_is_asked_to_stop_waits_for_its_consoles(tmp_path: Path) -> None:
    """After SIGTERM a running console goes on, no new one is made, and the last console's end is the proxy's."""
    async with pair(tmp_path) as made:
        late = await console(made.manager, ALICE, WEB.id)
        viewer = await made.viewer(BOB, DB)
        made.proxy.process.terminate()

        async def is_draining() -> bool:
            (proxy,) = (await call(made.manager, ROOT, "listSystemVms"))["systemvm"]
            return bool("Stopping" == proxy["state"])

        await until(is_draining)
        assert not await made.proxy.is_ready()
        assert not (await console(made.manager, ALICE, WEB.id))["success"]
        refused = await view(late)
        assert Draining.close_code == (await refused.closed())[0]
        await made.vm.send(b"still here")
        assert b"still here" == await viewer.read(10)
        assert made.proxy.process.returncode is None
        await viewer.close()
        assert 0 == await made.proxy.ended()


async def test_a_console_outlives_sigterm_no_longer_than_the_drain_timeout(tmp_path: Path) -> None:
    """When ``drain_timeout`` is over, the console is closed with its word, and the proxy ends with status 0."""
    async with pair(tmp_path, "--drain-timeout", "1s") as made:
        viewer = await made.viewer()
        made.proxy.process.terminate()
        assert Draining.close_code == (await viewer.closed())[0]
        assert 0 == await made.proxy.ended()


# --- numbers --------------------------------------------------------------------------


async def test_both_programs_count_what_operators_ask_for(tmp_path: Path) -> None:
    """Sessions, reports, links, assignments and refusals are counted, each by what explains it."""
    async with pair(tmp_path) as made:
        manager, proxy = made.manager, made.proxy
        viewer = await made.viewer()
        link = await console(manager, ALICE, WEB.id)
        second = await view(link)
        await second.enter()
        assert TakenOver.close_code == (await viewer.closed())[0]
        assert UsedError.close_code == (await (await view(link)).closed())[0]
        await second.close()
        await console(manager, ALICE, OFF.id)

        async def is_counted() -> bool:
            return 1 == await manager.metric("consoleproxy_manager_sessions", state="ended", reason="browser-closed")

        await until(is_counted)
        counted = {
            ("sessions", "taken-over"): await manager.metric(
                "consoleproxy_manager_sessions", state="ended", reason="taken-over"
            ),
            **{
                (name, reason): await manager.metric(f"consoleproxy_manager_{name}_total", reason=reason)
                for name, reason in [
                    ("assignments", "least-loaded"),
                    ("assignments", "sticky"),
                    ("refusals", "used"),
                    ("refusals", "no-screen"),
                ]
            },
        }
        assert {1.0} == set(counted.values()), counted
        assert 1 == await manager.metric("consoleproxy_manager_proxies", state="up")
        assert 2 <= (await manager.metric("consoleproxy_manager_reports_total") or 0)
        assert 1 == await proxy.metric("consoleproxy_link_up")
        assert 0 == await proxy.metric("consoleproxy_sessions")
        by_reason = {"taken-over": "relay", "browser-closed": "relay"}
        ended = {
            reason: await proxy.metric("consoleproxy_consoles_ended_total", reason=reason, phase=phase)
            for reason, phase in by_reason.items()
        }
        assert dict.fromkeys(by_reason, 1.0) == ended, (await fetch(f"{proxy.said['ops_url']}/metrics"))[1]
        for program in (manager, proxy):
            assert 0 == await program.metric("consoleproxy_plaintext_listeners")


async def test_a_port_without_tls_that_others_reach_is_warned_of_and_counted(tmp_path: Path) -> None:
    """Listening on all addresses without TLS is one warning and one in the metric, of each program."""
    async with site(tmp_path) as made, known_vm(made):
        manager = await made.manager(listen="0.0.0.0:0")
        url = f"http://127.0.0.1:{manager.said['port']}"
        proxy = await made.linked_proxy("open", url, "--listen-address", "0.0.0.0")  # noqa: S104
        for program, words in ((manager, "the API is served without TLS"), (proxy, "consoles are served without TLS")):
            assert 1 == await program.metric("consoleproxy_plaintext_listeners")
            warnings = [line["message"] for line in program.lines if line.get("level") == "warning"]
            assert 1 == len([text for text in warnings if words in text]), warnings


# --- the API --------------------------------------------------------------------------


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "fault", ["expired", "altered", "another signature", "without expires", "another's key", "unknown key"]
)
async def test_a_signature_that_does_not_hold_is_refused(shared: Pair, fault: str) -> None:
    """HTTP 401 with CloudStack's error object, whatever is wrong with the signature."""
    given = {
        "apiKey": ALICE.api_key,
        "command": "listVirtualMachines",
        "response": "json",
        "signatureVersion": "3",
        "expires": expires(60),
    }
    url = shared.manager.said["api"]
    assert 200 == (await fetch(f"{url}?{signed(ALICE, given)}"))[0]
    if fault == "expired":
        query = signed(ALICE, given | {"expires": expires(-60)})
    elif fault == "altered":
        query = signed(ALICE, given) + "&name=web"
    elif fault == "another signature":
        query = signed(ALICE, given).replace("signature=", "signature=A")
    elif fault == "without expires":
        query = signed(ALICE, {name: value for name, value in given.items() if name != "expires"})
    elif fault == "another's key":
        query = signed(BOB, given)
    else:
        query = signed(ALICE, given | {"apiKey": "nobody"})
    async with aiohttp.ClientSession() as session, session.get(f"{url}?{query}") as answer:
        status, told = answer.status, await answer.json()
    error = {
        "uuidList": [],
        "errorcode": 401,
        "errortext": "unable to verify user credentials and/or request signature",
    }
    assert (401, {"listvirtualmachinesresponse": error}) == (status, told)


@pytest.mark.asyncio(loop_scope="module")
async def test_who_may_open_which_console(shared: Pair) -> None:
    """An account gets its own running VM, an administrator any; what exists elsewhere is not told."""
    manager = shared.manager
    assert (await console(manager, ALICE, WEB.id))["success"]
    assert (await console(manager, ROOT, DB.id))["success"]
    anothers = await console(manager, ALICE, DB.id)
    unknown = await console(manager, ALICE, "22222222-0000-4000-8000-999999999999")
    stopped = await console(manager, ALICE, OFF.id)
    assert [{"success", "details"}] * 3 == [set(made) for made in (anothers, unknown, stopped)]
    assert [False] * 3 == [made["success"] for made in (anothers, unknown, stopped)]
    assert anothers["details"] == unknown["details"]
    assert "Stopped" in stopped["details"]
    assert [WEB.id, OFF.id] == sorted(
        row["id"] for row in (await call(manager, ALICE, "listVirtualMachines"))["virtualmachine"]
    )
    assert 432 == await refusal(manager, ALICE, "listSystemVms")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("extra", ["a\nb", "\x00", "a\x7f", "\x85", "x" * 256])
async def test_an_extra_token_that_no_link_could_carry_is_refused(shared: Pair, extra: str) -> None:
    """Control characters and more than 255 characters are error 431, not a link that cannot open."""
    assert 431 == await refusal(shared.manager, ALICE, "createConsoleEndpoint", virtualmachineid=WEB.id, token=extra)


@pytest.mark.asyncio(loop_scope="module")
async def test_half_a_character_makes_no_link(shared: Pair) -> None:
    """An extra token that is no UTF-8, a lone surrogate written in bytes, is no list of parameters: error 430."""
    query = command_query(ALICE, "createConsoleEndpoint", virtualmachineid=WEB.id, token="HERE", response="json")
    answer = await fetch(f"{shared.manager.said['api']}?{query.replace('HERE', '%ED%A0%80')}")
    assert 430 == answer[0]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "extra", ["secret", "a b+c%41&d=e#f/?", "é\u2028日本", "\U0001f600", "x" * 255, "  ", "\u3000"]
)
async def test_a_link_with_an_extra_token_opens_with_it(shared: Pair, extra: str) -> None:
    """Whatever extra token is accepted, the URL that comes with it opens; a blank one counts as none."""
    made = await console(shared.manager, ALICE, WEB.id, token=extra)
    assert (extra if extra.strip() else None) == made["websocket"].get("extra")
    if extra.strip():
        without = await Viewer.open(int(made["websocket"]["port"]), made["websocket"]["token"])
        assert ExtraTokenError.close_code == (await without.closed())[0]
    viewer = await view(made)
    await viewer.enter()
    await viewer.close()


# --- the operator guide ---------------------------------------------------------------


def blocks(language: str) -> list[str]:
    """Return the operator guide's examples in this language."""
    guide = Path(__file__).resolve().parents[2] / "docs" / "README.md"
    return re.findall(rf"^```{language}\n(.*?)^```", guide.read_text(), re.MULTILINE | re.DOTALL)


async def test_the_operator_guide_is_right(tmp_path: Path) -> None:
    """Its inventory, its commands and its call of the API lead to a console that opens; only ports are changed."""
    (inventory,), (commands,), (script,) = blocks("yaml"), blocks("console"), blocks("python")
    shown = [shlex.split(each) for each in re.sub(r"\\\n", " ", commands).removeprefix("$ ").split("\n$ ")]
    manager_flags, proxy_flags = [words[2:] for words in shown if words[0] == "consoleproxy"]
    vm = await FakeVM().start()
    try:
        async with site(tmp_path) as made:
            make_certs(tmp_path / "certs" / "out")
            assert "port: 5901" in inventory
            made.inventory.write_text(inventory.replace("port: 5901", f"port: {vm.port}"))
            manager = await made.manager(*in_folder(manager_flags, tmp_path))
            at = f"https://localhost:{manager.said['port']}"
            proxy = await made.linked_proxy("guide", at, *in_folder(without_ports(proxy_flags), tmp_path))
            assert "https://localhost:6081" in script
            script = script.replace("https://localhost:6081", at).replace("certs/out", str(tmp_path / "certs/out"))
            url = (await asyncio.to_thread(subprocess.check_output, [sys.executable, "-c", script], text=True)).strip()
            assert url.startswith(proxy.said["http_url"])
            query = parse_qs(urlsplit(url).query)
            viewer = await Viewer.open(int(query["port"][0]), query["token"][0])
            await viewer.enter()
            await viewer.close()
    finally:
        await vm.close()


def in_folder(flags: list[str], folder: Path) -> list[str]:
    """Return the guide's flags with its files looked for in ``folder``."""
    files = ("certs/", "inventory.yaml", "link.secret", "@link.secret")
    return [re.sub("^@?", rf"\g<0>{folder}/", flag) if flag.startswith(files) else flag for flag in flags]


def without_ports(flags: list[str]) -> list[str]:
    """Return the proxy's flags without those that name a port or the manager, which must be there."""
    pairs = dict(zip(flags[::2], flags[1::2], strict=True))
    for name in ("--single-port", "--ops-listen", "--manager-url"):
        del pairs[name]
    return [word for pair in pairs.items() for word in pair]

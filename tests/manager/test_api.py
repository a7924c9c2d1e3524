"""The API as the unmodified client ``cs`` uses it, over the manager in memory and the real one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.manager.api_world import ALICE, BOB, DB, OFF, ROOT, WEB, World, client, world

UNKNOWN_VM = "33333333-0000-4000-8000-000000000000"


@pytest.fixture(params=["memory", "database"])
async def api(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """The API over each manager."""
    async with world(request.param, tmp_path) as made:
        yield made


@pytest.mark.parametrize("method", ["get", "post"])
async def test_a_console(api: World, method: str) -> None:
    """The answer holds the page's address and, apart, the websocket's, whose port is a text."""
    made = await api.console(ALICE, WEB, method=method)
    assert {"success", "url", "websocket"} == made.keys()
    websocket = made["websocket"]
    assert ("192.0.2.80", "8080", "websockify") == (websocket["host"], websocket["port"], websocket["path"])
    assert made["url"].startswith("http://192.0.2.80/resource/noVNC/vnc.html?")
    assert [websocket["token"]] == parse_qs(urlsplit(made["url"]).query)["token"]
    assert "extra" not in websocket


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("extra", ["plain", "a b+c/d=e&f*g~h%7Ei", "Ünïcode ☃", "UPPER lower", "'\"<>;:@,!()$-_."])
async def test_an_extra_token_comes_through(api: World, method: str, extra: str) -> None:
    """Whatever characters the extra token has, the client's signature fits, and it stands in the answer as given."""
    made = await api.console(ALICE, WEB, method=method, token=extra)
    assert extra == made["websocket"]["extra"]
    assert [extra] == parse_qs(urlsplit(made["url"]).query)["extra"]


@pytest.mark.parametrize("vm_id", [DB.id, OFF.id, UNKNOWN_VM, "x"])
async def test_consoles_that_cannot_be(api: World, vm_id: str) -> None:
    """Another's, a stopped and an unknown VM: HTTP 200, no success, a sentence, no address."""
    answer = await api.call(ALICE, "createConsoleEndpoint", virtualmachineid=vm_id)
    made = answer["consoleendpoint"]
    assert {"success", "details"} == made.keys()
    assert made["success"] is False
    assert made["details"].endswith(".")


async def test_anothers_vm_looks_unknown(api: World) -> None:
    """Nobody learns from the answer whether the VM of another account exists."""
    answers = [await api.call(ALICE, "createConsoleEndpoint", virtualmachineid=vm_id) for vm_id in (DB.id, UNKNOWN_VM)]
    assert answers[0] == answers[1]


async def test_an_administrator_opens_any(api: World) -> None:
    """An admin's key opens the VM of any account."""
    assert (await api.console(ROOT, DB))["success"]


async def test_the_extra_token_may_be_needed(api: World) -> None:
    """Under consoleproxy.extra.security.validation.enabled there is no console without a token."""
    name = "consoleproxy.extra.security.validation.enabled"
    await api.call(ROOT, "updateConfiguration", name=name, value=True)
    answer = await api.call(ALICE, "createConsoleEndpoint", virtualmachineid=WEB.id)
    assert answer["consoleendpoint"]["success"] is False
    assert (await api.console(ALICE, WEB, token="x"))["success"]


@pytest.mark.parametrize("method", ["get", "post"])
async def test_machines_of_ones_own(api: World, method: str) -> None:
    """A user sees its own instances with names and states, and nothing of their VNC servers."""
    answer = await api.call(ALICE, "listVirtualMachines", method=method)
    assert 2 == answer["count"]
    shown = {row["name"]: row for row in answer["virtualmachine"]}
    assert {
        "id": WEB.id,
        "name": "web",
        "displayname": "WEB",
        "description": "The web",
        "account": "alice",
        "accountid": ALICE.id,
        "state": "Running",
    } == shown["web"]
    assert "Stopped" == shown["off"]["state"]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, {"web", "off", "db"}),
        ({"id": DB.id}, {"db"}),
        ({"ids": [WEB.id, DB.id]}, {"web", "db"}),
        ({"name": "W"}, {"web"}),
        ({"keyword": "B"}, {"web", "db"}),
        ({"state": "stopped"}, {"off"}),
        ({"account": "bob"}, {"db"}),
        ({"Listall": True, "unknown": "x"}, {"web", "off", "db"}),
    ],
)
async def test_an_administrator_sees_all_machines(api: World, filters: dict[str, Any], names: set[str]) -> None:
    """An admin sees every account's instances, and the filters of the command narrow them."""
    answer = await api.call(ROOT, "listVirtualMachines", **filters)
    assert names == {row["name"] for row in answer["virtualmachine"]}
    assert len(names) == answer["count"]


async def test_nothing_found_is_an_empty_object(api: World) -> None:
    """CloudStack leaves count and list out where there is nothing."""
    assert {} == await api.call(ALICE, "listVirtualMachines", id=DB.id)


async def test_pages(api: World) -> None:
    """A page holds its rows and the count of all; the client collects the pages to the whole list."""
    names = []
    for page in (1, 2, 3):
        answer = await api.call(ROOT, "listVirtualMachines", page=page, pagesize=2)
        assert 3 == answer["count"]
        names.append([row["name"] for row in answer["virtualmachine"]])
    assert [2, 1, 0] == [len(part) for part in names]
    whole = await api.call(ROOT, "listVirtualMachines", fetch_list=True, pagesize=2)
    assert [*names[0], *names[1]] == [row["name"] for row in whole]
    assert 3 == len((await api.call(ROOT, "listVirtualMachines", pagesize=-1))["virtualmachine"])


async def test_a_session_is_listed_while_it_runs(api: World) -> None:
    """A session is in the list from the viewer's coming to its end, after that with activeonly=false."""
    before = int(time.time())
    await api.console(ALICE, WEB)
    assert {} == await api.call(ALICE, "listConsoleSessions")
    session_id = await api.opened(ALICE, WEB)
    [row] = (await api.call(ALICE, "listConsoleSessions"))["consolesession"]
    assert (session_id, WEB.id, "web") == (row["id"], row["virtualmachineid"], row["virtualmachinename"])
    assert ("alice", ALICE.id) == (row["account"], row["accountid"])
    assert ("127.0.0.1", "198.51.100.7") == (row["consoleendpointcreatoraddress"], row["clientaddress"])
    assert "removed" not in row
    moment = time.mktime(time.strptime(row["acquired"], "%Y-%m-%dT%H:%M:%S+0000")) - time.timezone
    assert before <= moment <= time.time()
    await api.end(session_id)
    assert {} == await api.call(ALICE, "listConsoleSessions")
    ended = await api.call(ALICE, "listConsoleSessions", activeonly=False, acquired=True)
    assert [session_id] == [row["id"] for row in ended["consolesession"] if row["removed"]]
    everything = await api.call(ALICE, "listConsoleSessions", activeonly=False)
    assert 2 == everything["count"]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, 2),
        ({"accountid": BOB.id}, 1),
        ({"virtualmachineid": WEB.id}, 1),
        ({"clientaddress": "198.51.100.8"}, 1),
        ({"clientaddress": "198.51.100"}, 0),
        ({"consoleendpointcreatoraddress": "127.0.0.1"}, 2),
        ({"keyword": "we"}, 1),
        ({"startdate": "2001-01-01", "enddate": "2999-12-31"}, 2),
        ({"startdate": "2999-01-01T00:00:00+0100"}, 0),
        ({"enddate": "2001-01-01 00:00:00"}, 0),
        ({"id": UNKNOWN_VM}, 0),
    ],
)
async def test_sessions_that_fit(api: World, filters: dict[str, Any], found: int) -> None:
    """An admin sees the sessions of all, narrowed by the filters."""
    await api.opened(ALICE, WEB)
    await api.opened(BOB, DB, "198.51.100.8")
    assert found == (await api.call(ROOT, "listConsoleSessions", **filters)).get("count", 0)


async def test_today_is_whole(api: World) -> None:
    """A day as startdate means its first moment, as enddate its last."""
    await api.opened(ALICE, WEB)
    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert 1 == (await api.call(ALICE, "listConsoleSessions", startdate=today, enddate=today))["count"]


async def test_a_user_sees_its_own_sessions(api: World) -> None:
    """Whatever account a user asks for, it gets its own sessions."""
    await api.opened(ALICE, WEB)
    mine = await api.opened(BOB, DB)
    for filters in ({}, {"accountid": ALICE.id}):
        answer = await api.call(BOB, "listConsoleSessions", **filters)
        assert [mine] == [row["id"] for row in answer["consolesession"]]


async def test_proxies(api: World) -> None:
    """A proxy is a system VM of the type consoleproxy with its count of viewers."""
    [idle] = (await api.call(ROOT, "listSystemVms", systemvmtype="consoleproxy"))["systemvm"]
    assert ("consoleproxy", "v-1-VM", "192.0.2.80") == (idle["systemvmtype"], idle["name"], idle["publicip"])
    assert ("Running", "Up", 0) == (idle["state"], idle["agentstate"], idle["activeviewersessions"])
    session_id = await api.opened(ALICE, WEB)
    [busy] = (await api.call(ROOT, "listSystemVms", method="post", id=idle["id"]))["systemvm"]
    assert 1 == busy["activeviewersessions"]
    await api.end(session_id)
    [idle_again] = (await api.call(ROOT, "listSystemVms", name="v-1-VM", state="Running"))["systemvm"]
    assert idle == idle_again


@pytest.mark.parametrize("filters", [{"systemvmtype": "secondarystoragevm"}, {"name": "v-1"}, {"state": "Stopped"}])
async def test_no_such_proxy(api: World, filters: dict[str, Any]) -> None:
    """The filters of listSystemVms compare whole words."""
    assert {} == await api.call(ROOT, "listSystemVms", **filters)


@pytest.mark.parametrize("method", ["get", "post"])
async def test_a_setting_is_changed(api: World, method: str) -> None:
    """A setting has its new value in the answer and in the list."""
    name = "consoleproxy.session.max"
    changed = await api.call(ROOT, "updateConfiguration", method=method, name=name, value=7)
    assert "7" == changed["configuration"]["value"]
    [shown] = (await api.call(ROOT, "listConfigurations", name=name))["configuration"]
    assert (name, "7", "50", "Number", True) == (
        shown["name"],
        shown["value"],
        shown["defaultvalue"],
        shown["type"],
        shown["isdynamic"],
    )


async def test_an_empty_value_is_a_value(api: World) -> None:
    """A text setting is emptied by an empty value."""
    name = "consoleproxy.url.domain"
    await api.call(ROOT, "updateConfiguration", name=name, value="*.example.com")
    assert (
        "192-0-2-80.example.com" in (await api.console(ALICE, WEB))["url"]
        or api.service.__class__.__name__ == "FakeService"
    )
    emptied = await api.call(ROOT, "updateConfiguration", name=name, value="")
    assert "" == emptied["configuration"]["value"]


async def test_settings_are_listed(api: World) -> None:
    """All settings are there; the keyword looks into names and descriptions."""
    everything = await api.call(ROOT, "listConfigurations")
    found = await api.call(ROOT, "listConfigurations", keyword="LOADSCAN")
    assert ["consoleproxy.loadscan.interval"] == [row["name"] for row in found["configuration"]]
    assert everything["count"] > 5
    assert all(row["description"] for row in everything["configuration"])


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"name": "consoleproxy.session.max"},
        {"value": "7"},
        {"name": "consoleproxy.nothing", "value": "7"},
        {"name": "consoleproxy.session.max", "value": "many"},
        {"name": "consoleproxy.loadscan.interval", "value": "499"},
    ],
)
async def test_bad_settings(api: World, parameters: dict[str, Any]) -> None:
    """A missing or unknown name and a missing or bad value are parameter errors, and nothing changes."""
    before = await api.call(ROOT, "listConfigurations")
    status, text = await api.refusal(ROOT, "updateConfiguration", **parameters)
    assert 431 == status
    assert text
    assert before == await api.call(ROOT, "listConfigurations")


@pytest.mark.parametrize(
    "command", ["listSystemVms", "listConfigurations", "updateConfiguration", "deployVirtualMachine"]
)
async def test_commands_that_are_not_for_users(api: World, command: str) -> None:
    """What is an admin's alone is, for a user, as unknown as what nobody has: 432."""
    status, _ = await api.refusal(ALICE, command)
    assert 432 == status


@pytest.mark.parametrize(
    ("command", "parameters"),
    [
        ("createConsoleEndpoint", {}),
        ("createConsoleEndpoint", {"virtualmachineid": ""}),
        ("createConsoleEndpoint", {"virtualmachineid": "x" * 256}),
        ("listVirtualMachines", {"page": 0}),
        ("listVirtualMachines", {"page": "first"}),
        ("listVirtualMachines", {"page": 1, "pagesize": 501}),
        ("listVirtualMachines", {"page": 1, "pagesize": 0}),
        ("listVirtualMachines", {"page": "1" * 30}),
        ("listConsoleSessions", {"activeonly": "maybe"}),
        ("listConsoleSessions", {"startdate": "yesterday"}),
        ("listConsoleSessions", {"enddate": "2030-02-30"}),
        ("listConsoleSessions", {"hostid": UNKNOWN_VM}),
    ],
)
async def test_parameters_that_do_not_fit(api: World, command: str, parameters: dict[str, Any]) -> None:
    """A missing, overlong or senseless parameter is 431, and the text names it."""
    status, text = await api.refusal(ROOT, command, **parameters)
    name = next(iter(reversed(parameters)), "virtualmachineid")
    assert 431 == status
    assert name in text


async def test_a_client_that_names_its_own_expiry(api: World) -> None:
    """Where the caller gives expires, the client names no version; it counts all the same."""
    soon = time.strftime("%Y-%m-%dT%H:%M:%S+0000", time.gmtime(time.time() + 60))
    assert 2 == (await api.call(ALICE, "listVirtualMachines", expires=soon))["count"]
    assert 401 == (await api.refusal(ALICE, "listVirtualMachines", expires="2001-01-01T00:00:00+0000"))[0]


async def test_a_client_without_expiry(api: World) -> None:
    """A client that signs in the old way, without version and expires, is served."""
    with client(api.url, ALICE) as old:
        old.expiration = -old.expiration
        assert 2 == (await asyncio.to_thread(old.listVirtualMachines))["count"]

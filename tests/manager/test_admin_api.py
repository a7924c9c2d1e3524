"""The admin API: instances come and go, consoles are ended, proxies drained, by a signed request alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from consoleproxy.manager.admin_api import request_digest
from tests.manager.api_world import ALICE, BOB, ROOT, WEB, World, command_query, expires, signed, world

PATH = "/admin/instances"
NEW: dict[str, Any] = {
    "id": "new-1",
    "name": "mail",
    "display_name": "Mail",
    "account": "bob",
    "host": "192.0.2.99",
    "port": 5907,
    "password": "confidential",
}


@pytest.fixture(params=["memory", "database"])
async def api(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """The API over each manager."""
    async with world(request.param, tmp_path) as made:
        yield made


def body(**changes: object) -> bytes:
    """Return the JSON of an instance."""
    return json.dumps({**NEW, **changes}).encode()


async def names(api: World) -> set[str]:
    """Return the names of all instances."""
    return {row["name"] for row in (await api.call(ROOT, "listVirtualMachines"))["virtualmachine"]}


async def test_an_instance_comes_and_goes(api: World) -> None:
    """An added instance can be opened by its account, replaced under its id, and removed."""
    status, answer = await api.admin(ROOT, "POST", PATH, body())
    assert (200, "mail", "bob", "Running") == (
        status,
        answer["instance"]["name"],
        answer["instance"]["account"],
        answer["instance"]["state"],
    )
    assert "confidential" not in str(answer)
    made = await api.call(BOB, "createConsoleEndpoint", virtualmachineid="new-1")
    assert made["consoleendpoint"]["success"]
    await api.admin(ROOT, "POST", PATH, body(name="post", state="Stopped"))
    assert {"web", "off", "db", "post"} == await names(api)
    assert (200, {"success": True}) == await api.admin(ROOT, "DELETE", f"{PATH}/new-1")
    assert {"web", "off", "db"} == await names(api)
    status, _ = await api.admin(ROOT, "DELETE", f"{PATH}/new-1")
    assert 404 == status


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": ""}, "id"),
        ({"id": None}, "id"),
        ({"name": " "}, "name"),
        ({"host": 7}, "host"),
        ({"port": 0}, "port"),
        ({"port": 65536}, "port"),
        ({"port": True}, "port"),
        ({"port": "5900"}, "port"),
        ({"account": "nobody"}, "account"),
        ({"state": "Sleeping"}, "state"),
        ({"password": ["x"]}, "password"),
        ({"description": "x" * 1025}, "description"),
        ({"passwort": "x"}, "passwort"),
    ],
)
async def test_instances_that_make_no_sense(api: World, changes: dict[str, object], field: str) -> None:
    """A field that is missing, wrong or unknown is 400, and named."""
    status, answer = await api.admin(ROOT, "POST", PATH, body(**changes))
    assert 400 == status
    assert field in answer["errorresponse"]["errortext"]
    assert {"web", "off", "db"} == await names(api)


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"null", b"\xff", b"[" * 50_000])
async def test_bodies_that_are_no_object(api: World, text: bytes) -> None:
    """What is no JSON object is 400."""
    status, _ = await api.admin(ROOT, "POST", PATH, text)
    assert 400 == status


async def test_a_large_body(api: World) -> None:
    """A body above 64 KiB is 413."""
    status, _ = await api.admin(ROOT, "POST", PATH, body(description="x" * 65536))
    assert 413 == status


async def test_administrators_alone(api: World) -> None:
    """A user's own valid signature is 403."""
    status, _ = await api.admin(ALICE, "POST", PATH, body(account="alice"))
    assert 403 == status
    assert {"web", "off", "db"} == await names(api)


@pytest.mark.parametrize(
    "altered",
    [
        {"expires": "2001-01-01T00:00:00+0000"},
        {"expires": ""},
        {"expires": "", "signatureVersion": ""},
        {"digest": ""},
        {"digest": request_digest("POST", PATH, body(name="other"))},
        {"digest": request_digest("POST", f"{PATH}/x", body())},
        {"digest": request_digest("DELETE", PATH, body())},
        {"apiKey": ALICE.api_key},
        {"apiKey": ""},
    ],
)
async def test_signed_for_something_else(api: World, altered: dict[str, str]) -> None:
    """No expiry, or a digest of another method, path or body: 401, although the signature is right."""
    status, answer = await api.admin(ROOT, "POST", PATH, body(), **altered)
    assert 401 == status
    assert 401 == answer["errorresponse"]["errorcode"]
    assert {"web", "off", "db"} == await names(api)


async def test_a_signature_is_for_one_request(api: World) -> None:
    """A signed request seen on the way opens neither another path nor another body, nor does one of the API."""
    text = body()
    parameters = {
        "apiKey": ROOT.api_key,
        "signatureVersion": "3",
        "expires": expires(60),
        "digest": request_digest("POST", PATH, text),
    }
    query = signed(ROOT, parameters)
    assert 401 == (await api.send("POST", query=query, body=body(host="192.0.2.66"), path=PATH))[0]
    assert 401 == (await api.send("DELETE", query=query, body=text, path=f"{PATH}/{WEB.id}"))[0]
    assert 401 == (await api.send("DELETE", query=query, path=f"{PATH}/{WEB.id}"))[0]
    assert 401 == (await api.send("POST", query=command_query(ROOT, "listVirtualMachines"), body=text, path=PATH))[0]
    assert 401 == (await api.send("POST", body=text, path=PATH))[0]
    assert 200 == (await api.send("POST", query=query, body=text, path=PATH))[0]


async def test_a_console_is_ended(api: World) -> None:
    """A running console is told to end; one that does not run is 404."""
    session_id = await api.opened(ALICE, WEB)
    assert (200, {"success": True}) == await api.admin(ROOT, "POST", f"/admin/sessions/{session_id}/kill")
    assert 404 == (await api.admin(ROOT, "POST", "/admin/sessions/x/kill"))[0]
    assert 403 == (await api.admin(ALICE, "POST", f"/admin/sessions/{session_id}/kill"))[0]


async def test_a_proxy_is_drained(api: World) -> None:
    """A proxy, by the id that listSystemVms tells, drains and is shown as Stopping."""
    [proxy] = (await api.call(ROOT, "listSystemVms"))["systemvm"]
    assert 404 == (await api.admin(ROOT, "POST", "/admin/proxies/x/drain"))[0]
    assert 403 == (await api.admin(ALICE, "POST", f"/admin/proxies/{proxy['id']}/drain"))[0]
    assert (200, {"success": True}) == await api.admin(ROOT, "POST", f"/admin/proxies/{proxy['id']}/drain")
    [draining] = (await api.call(ROOT, "listSystemVms"))["systemvm"]
    assert ("Running", "Stopping") == (proxy["state"], draining["state"])

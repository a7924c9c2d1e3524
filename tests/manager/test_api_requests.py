"""Requests that no honest client sends (forged, stale, oversized, malformed), and what answers and logs give away."""

from __future__ import annotations

import asyncio
import gzip
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from consoleproxy.manager.api import api_routes
from consoleproxy.manager.model import Account, EndpointResult
from tests.manager.api_world import ALICE, BOB, ROOT, WEB, World, command_query, expires, served, signed, world
from tests.manager.fake_service import FakeService

FORM = "application/x-www-form-urlencoded"
LIST = "listVirtualMachines"


@pytest.fixture(params=["memory", "database"])
async def api(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """The API over each manager."""
    async with world(request.param, tmp_path) as made:
        yield made


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[World]:
    """The API over the manager in memory."""
    async with world("memory", tmp_path) as made:
        yield made


def version_3(account: Account, **parameters: str) -> dict[str, str]:
    """Return what a client of today signs."""
    return {"apiKey": account.api_key, "command": LIST, "signatureVersion": "3", "expires": expires(60), **parameters}


def error(status: int, answer: Any, key: str = "listvirtualmachinesresponse") -> str:  # noqa: ANN401  # JSON
    """Check that this is CloudStack's error object of this number, and return its text."""
    [(name, fault)] = answer.items()
    assert (key, [], status) == (name, fault["uuidList"], fault["errorcode"])
    assert {"uuidList", "errorcode", "errortext"} == fault.keys()
    assert isinstance(fault["errortext"], str)
    return str(fault["errortext"])


async def test_a_right_request_passes(api: World) -> None:
    """What the refused requests below are made of is accepted as it is."""
    status, answer = await api.send(query=signed(ALICE, version_3(ALICE)))
    assert (200, 2) == (status, answer["listvirtualmachinesresponse"]["count"])


@pytest.mark.parametrize(
    ("signer", "parameters"),
    [
        (ALICE, {"expires": "2001-01-01T00:00:00+0000"}),
        (ALICE, {"expires": "soon"}),
        (ALICE, {"expires": ""}),
        (ALICE, {"apiKey": ""}),
        (ALICE, {"apiKey": "nobody"}),
        (ALICE, {"apiKey": BOB.api_key}),
        (ALICE, {"apiKey": ROOT.api_key}),
        (ALICE, {"apiKey": "' OR 1=1 --"}),
        (ALICE, {"apiKey": "\0"}),
    ],
)
async def test_refused_although_signed(api: World, signer: Account, parameters: dict[str, str]) -> None:
    """An expiry that is over, no date or missing, and a key that is unknown or another's: 401."""
    status, answer = await api.send(query=signed(signer, version_3(ALICE, **parameters)))
    assert 401 == status
    assert "unable to verify user credentials and/or request signature" == error(401, answer)


async def test_version_3_without_expires(api: World) -> None:
    """Who names version 3 must say until when."""
    parameters = version_3(ALICE)
    del parameters["expires"]
    status, answer = await api.send(query=signed(ALICE, parameters))
    assert 401 == status
    assert error(401, answer)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("signature=", "signature=x"),
        ("signature=", "sig="),
        ("expires=", "expires=9"),
        ("expires=20", "expires=21"),
        ("signatureVersion=3", "signatureVersion=2"),
        ("command=list", "more=1&command=list"),
        (f"command={LIST}", "command=listConsoleSessions"),
        ("response=json", "response=JSON%20"),
    ],
)
async def test_altered_on_the_way(api: World, old: str, new: str) -> None:
    """Nothing that was signed can be changed, added or taken away."""
    query = signed(ALICE, version_3(ALICE, response="json"))
    assert old in query
    status, _ = await api.send(query=query.replace(old, new))
    assert status in {401, 431}
    assert (431 if "response" in old else 401) == status


@pytest.mark.parametrize(
    "query", ["", "command=listVirtualMachines", "command=nothing", "apiKey=alice-KEY_1", "signature=x", "&&&", "="]
)
async def test_unsigned(api: World, query: str) -> None:
    """Without a signature nobody learns more than that: 401, also for commands that do not exist."""
    status, answer = await api.send(query=query)
    assert 401 == status
    assert error(401, answer, "listvirtualmachinesresponse" if LIST in query else "errorresponse")


async def test_unknown_and_missing_commands(api: World) -> None:
    """A command that does not exist is 432, and its name does not come back."""
    for command in ("noSuchThing<b>", ""):
        status, answer = await api.send(query=command_query(ALICE, command))
        assert 432 == status
        assert "<b>" not in error(432, answer, "errorresponse")


@pytest.mark.parametrize("more", ["command=listVirtualMachines", "COMMAND=x", "apikey=bob-KEY", "a=&a=", "a=1&A=1"])
async def test_no_parameter_twice(api: World, more: str) -> None:
    """A parameter that is given twice, in whatever case, is refused: which of them counts is nobody's guess."""
    status, answer = await api.send(query=f"{command_query(ALICE, LIST)}&{more}")
    assert 431 == status
    assert error(431, answer, "errorresponse")


async def test_no_parameter_in_query_and_form(api: World) -> None:
    """The query and the form of a POST are one list."""
    query = command_query(ALICE, LIST)
    half = query.index("&")
    status, _ = await api.send("POST", query=query[:half], body=query[half + 1 :].encode(), **{"Content-Type": FORM})
    assert 200 == status
    status, _ = await api.send("POST", query=query, body=b"command=x", **{"Content-Type": FORM})
    assert 431 == status


async def test_names_in_any_case(api: World) -> None:
    """Names of parameters and commands are the same in any case."""
    query = signed(ALICE, {"APIKEY": ALICE.api_key, "Command": LIST.upper(), "RESPONSE": "Json", "NAME": "web"})
    status, answer = await api.send(query=query)
    assert (200, 1) == (status, answer["listvirtualmachinesresponse"]["count"])


async def test_xml_is_refused(api: World) -> None:
    """Who asks for XML is told, in JSON, that there is none."""
    for given in ("xml", "yaml"):
        status, answer = await api.send(query=command_query(ALICE, LIST, response=given))
        assert 431 == status
        assert "response=json" in error(431, answer)


@pytest.mark.parametrize(
    "query",
    ["a=%FF", "a=%ED%A0%80", "%C3=1", "&".join(f"p{number}=" for number in range(101))],
)
async def test_malformed_parameters(api: World, query: str) -> None:
    """Bytes that are no UTF-8, and more parameters than any command has, are 430."""
    status, answer = await api.send(query=query)
    assert 430 == status
    assert error(430, answer, "errorresponse")


async def test_stray_bytes_in_the_address(memory: World) -> None:
    """A raw byte in the address line, which no client sends, is refused and harms nobody."""
    host, port = memory.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /client/api?command=\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head = await reader.readline()
    writer.close()
    await writer.wait_closed()
    assert head.split()[1] in {b"400", b"430"}


@pytest.mark.parametrize("body", [b"\xff", b"a=%ff"])
async def test_malformed_forms(api: World, body: bytes) -> None:
    """A form that is not percent-encoded UTF-8 is 430."""
    status, answer = await api.send("POST", body=body, **{"Content-Type": FORM})
    assert 430 == status
    assert error(430, answer, "errorresponse")


async def test_a_body_of_another_kind(api: World) -> None:
    """A body that is no form is 415."""
    status, answer = await api.send("POST", body=b"{}", **{"Content-Type": "application/json"})
    assert 415 == status
    assert error(415, answer, "errorresponse")


async def test_the_size_of_a_body(api: World) -> None:
    """A body of 64 KiB is read, one byte more is 413."""
    start = command_query(ALICE, LIST).encode() + b"&x="
    for size, wanted in ((65536, 401), (65537, 413)):
        status, _ = await api.send("POST", body=start + b"x" * (size - len(start)), **{"Content-Type": FORM})
        assert wanted == status


async def test_a_body_of_unknown_size(api: World) -> None:
    """The limit holds for a body that does not tell its size, and for what a compressed one becomes."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"a" * 4096

    async with aiohttp.ClientSession() as session:
        async with session.post(api.url, data=pieces(), headers={"Content-Type": FORM}) as answer:
            assert 413 == answer.status
        bomb = gzip.compress(b"a" * 1_000_000)
        headers = {"Content-Type": FORM, "Content-Encoding": "gzip"}
        async with session.post(api.url, data=bomb, headers=headers) as answer:
            assert 413 == answer.status


async def test_a_damaged_body(memory: World, caplog: pytest.LogCaptureFixture) -> None:
    """A body that does not decompress is the client's fault: 400, and no error in the log."""
    status, answer = await memory.send("POST", body=b"hello", **{"Content-Type": FORM, "Content-Encoding": "gzip"})
    assert 400 == status
    assert error(400, answer, "errorresponse")
    assert [] == [record for record in caplog.records if record.levelno >= logging.ERROR and "api" in record.name]


async def test_a_body_that_does_not_come(memory: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not send what it announced is answered 408 at the deadline."""
    monkeypatch.setattr("consoleproxy.manager.api_parameters.BODY_DEADLINE", 0.05)
    host, port = memory.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"POST /client/api HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\nContent-Length: 9\r\n\r\na=".encode()
    )
    head = await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    await writer.wait_closed()
    assert b"408" == head.split()[1]


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_other_methods(api: World, method: str) -> None:
    """GET and POST alone: a HEAD must not make a console that nobody gets."""
    query = command_query(ALICE, "createConsoleEndpoint", virtualmachineid=WEB.id)
    async with aiohttp.ClientSession() as session, session.request(method, f"{api.url}?{query}") as answer:
        assert 405 == answer.status
    assert 0 == (await api.call(ALICE, "listConsoleSessions", activeonly=False)).get("count", 0)


async def test_the_clock_decides(tmp_path: Path) -> None:
    """Whether a request has expired is a matter of the manager's clock."""
    query = signed(ALICE, version_3(ALICE))
    for skew, wanted in ((0, 200), (58, 200), (61, 401)):
        async with world("memory", tmp_path, lambda skew=skew: time.time() + skew) as made:  # type: ignore[misc]
            assert wanted == (await made.send(query=query))[0]


async def test_answers_are_counted() -> None:
    """Who observes is told the command, or unknown, and the status of each answer."""
    seen: list[tuple[str, int]] = []
    app = web.Application()
    service = FakeService([ALICE], [WEB], time.time)
    app.add_routes(api_routes(service, observe=lambda command, status: seen.append((command, status))))
    async with TestServer(app) as server:
        api = World(service, str(server.make_url("")).rstrip("/"))
        for query in (command_query(ALICE, LIST), command_query(BOB, LIST), command_query(ALICE, "x"), "a=&a="):
            await api.send(query=query)
    assert [(LIST, 200), (LIST, 401), ("unknown", 432), ("unknown", 431)] == seen


class Broken(FakeService):
    """A manager whose store has failed, with an error like a database's."""

    async def create_endpoint(
        self, caller: Account, instance_id: str, *, extra: str = "", creator_address: str = ""
    ) -> EndpointResult:
        raise RuntimeError(f"INSERT failed: ({extra!r}, {caller.secret_key!r})")


async def test_a_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected error is 530 with a reference; the log has its place and kind under that, without its text."""
    async with served(Broken([ALICE], [WEB], time.time)) as base:
        broken = World(Broken([ALICE], [WEB], time.time), base)
        query = command_query(ALICE, "createConsoleEndpoint", virtualmachineid=WEB.id, token="confidential")
        status, answer = await broken.send(query=query)
    assert 530 == status
    text = error(530, answer, "createconsoleendpointresponse")
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    fields = vars(record)
    assert f"ref={fields['ref']}" in text
    assert "RuntimeError" == fields["error"]
    assert "in create_endpoint" in record.getMessage()
    assert "confidential" not in text + str(fields)
    assert ALICE.secret_key not in text + str(fields)


async def test_no_secret_in_logs_and_errors(api: World, caplog: pytest.LogCaptureFixture) -> None:
    """Signatures, secret keys, extra tokens and links stand in no log line and no error, at any level."""
    caplog.set_level(logging.DEBUG)
    link = (await api.console(ALICE, WEB, token="confidential"))["websocket"]["token"]
    told, secrets = [], ["confidential", ALICE.secret_key]
    if not isinstance(api.service, FakeService):  # whose link is a session's id, which may be told
        secrets += [link, quote(link, safe="")]
    parameters = version_3(ALICE, virtualmachineid=WEB.id, command="createConsoleEndpoint", token="confidential")
    for altered in (
        {},
        {"expires": ""},
        {"apiKey": "unknown-KEY"},
        {"token": "confidential" * 50},
        {"response": "xml"},
    ):
        query = signed(ALICE, {**parameters, **altered})
        secrets += [parse_qs(query)["signature"][0], query.rpartition("signature=")[2]]
        for text in (query, query.replace("signature=", "signature=Q"), f"{query}&token=confidential"):
            status, answer = await api.send(query=text)
            told.append("" if status == 200 else str(answer))
    # The real client's own lines hold what it sends; all others are the server's.
    lines = [str(vars(record)) for record in caplog.records if not record.name.startswith("urllib3")]
    assert 15 == len(told)
    assert any("api answered" in line for line in lines)
    assert [] == [line for line in [*told, *lines] if any(secret in line for secret in secrets)]


async def test_refusals_are_logged_with_their_reason(memory: World, caplog: pytest.LogCaptureFixture) -> None:
    """The log tells what the client is not told: why the signature did not pass."""
    caplog.set_level(logging.INFO)
    for parameters in ({"apiKey": "x"}, {"expires": "2001-01-01T00:00:00+0000"}):
        await memory.send(query=signed(ALICE, version_3(ALICE, **parameters)))
    await memory.send(query=signed(BOB, version_3(ALICE)))
    reasons = [vars(record)["reason"] for record in caplog.records if "reason" in vars(record)]
    assert ["no such API key", "signature expired", "signature differs"] == reasons

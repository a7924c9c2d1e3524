"""The start page's two calls, and who may make them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from consoleproxy.access.token import TokenKey
from consoleproxy.demo.start_page import is_local_name, start_routes
from consoleproxy.manager.endpoint import ProxyAddress
from consoleproxy.ops.pages import find_page_files
from tests.helpers.authority import AuthorityApi, ConsoleService, Instance


@pytest.fixture
async def base() -> AsyncIterator[str]:
    """The address of a manager with one VM."""
    service = ConsoleService(TokenKey.generate(secrets.token_bytes), lambda: ProxyAddress("127.0.0.1", 1, 1))
    service.add_instance(Instance("vm-1", "web", "Web <1>", "A server", "127.0.0.1", 5900, "secret12"))
    app = web.Application()
    app.add_routes(start_routes(AuthorityApi(service), find_page_files()))
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


async def ask(base: str, body: object, **headers: str) -> tuple[int, dict[str, Any]]:
    """Ask for a console."""
    async with (
        aiohttp.ClientSession() as client,
        client.post(base + "/demo/console", json=body, headers=headers) as got,
    ):
        return got.status, await got.json()


async def test_the_list_tells_names_and_no_secret(base: str) -> None:
    """Ids, names and a description; neither address nor password of the VNC server."""
    async with aiohttp.ClientSession() as client, client.get(base + "/demo/instances") as answer:
        assert [
            {"id": "vm-1", "name": "web", "displayname": "Web <1>", "description": "A server", "state": "Running"}
        ] == await answer.json()


async def test_a_console_is_a_url(base: str) -> None:
    """The answer is the page's address with a token."""
    status, answer = await ask(base, {"id": "vm-1", "token": "x"})
    assert 200 == status
    assert answer["url"].startswith("http://127.0.0.1:1/resource/noVNC/vnc.html?")
    assert answer["url"].endswith("&extra=x")


@pytest.mark.parametrize("body", [{"id": "nobody"}, {}, {"id": 7}, [], "x", {"id": "vm-1", "token": 1}])
async def test_bad_requests_get_a_sentence(base: str, body: object) -> None:
    """Whatever is wrong is said in words, with a 4xx."""
    status, answer = await ask(base, body)
    assert status in {400, 404, 409}
    assert answer["error"].endswith(".")


async def test_other_sites_get_nothing(base: str) -> None:
    """A form of another page and a name bent to loopback are both refused."""
    status, _ = await ask(base, {"id": "vm-1"}, Host="evil.test")
    assert 403 == status
    async with aiohttp.ClientSession() as client:
        async with client.post(base + "/demo/console", data='{"id": "vm-1"}') as answer:
            assert 415 == answer.status
        async with client.get(base + "/") as answer:
            assert 200 == answer.status
            assert "script-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("localhost", True), ("127.0.0.1", True), ("::1", True), ("192.0.2.1", True), ("evil.test", False), ("", False)],
)
def test_local_names(host: str, is_local: bool) -> None:  # noqa: FBT001
    """Addresses cannot be bent by DNS, names can, but for localhost."""
    assert is_local == is_local_name(host)

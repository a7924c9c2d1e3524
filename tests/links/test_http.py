"""The link over a websocket, and its server end."""

from __future__ import annotations

import json
import logging
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from consoleproxy.errors import ConfigError, ManagerAwayError
from consoleproxy.links.http import HTTPLink, link_url
from consoleproxy.manager.link import LinkServer
from consoleproxy.messages import Drain, Kill, LoadReport
from consoleproxy.messages.codec import to_json
from tests.links.conformance import *  # noqa: F403 - the tests that every link must pass
from tests.links.conformance import QUICK, FakeProxy, World, end_of, until

SECRET = "a-shared-secret"
CERTIFICATES = Path(__file__).resolve().parents[2] / "certs" / "make_certs.py"


class HTTPWorld(World):
    """Links that dial a server on a port of its own."""

    port = 0

    def make_link(self) -> HTTPLink:
        return HTTPLink(f"http://127.0.0.1:{self.port}", SECRET, times=QUICK)

    async def open_manager(self) -> None:
        self.server = LinkServer(self.gate, SECRET)
        self.service.commands = self.server.send_command
        self.service.on_settings_changed = [self.server.push_settings]
        self._runner = web.AppRunner(_app(self.server), access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def close_manager(self) -> None:
        await self.server.close()
        await self._runner.cleanup()

    @property
    def address(self) -> str:
        """The link's address."""
        return f"http://127.0.0.1:{self.port}/link"


def _app(server: LinkServer) -> web.Application:
    app = web.Application()
    app.router.add_get("/link", server.handle)
    return app


@pytest.fixture
async def world(tmp_path: Path, no_sockets_left_open: None) -> AsyncIterator[World]:  # noqa: ARG001 - it frames all
    """Run a manager with a link to it."""
    made = HTTPWorld(tmp_path)
    await made.start()
    yield made
    await made.stop()


@asynccontextmanager
async def peer(world: World, secret: str = SECRET) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Dial the manager as a program that is not our proxy."""
    assert isinstance(world, HTTPWorld)
    headers = {"Authorization": f"Bearer {secret}"}
    async with aiohttp.ClientSession() as client, client.ws_connect(world.address, headers=headers) as socket:
        yield socket


@pytest.mark.parametrize("secret", ["wrong", "", "a-shared-secret2", "ü"])
async def test_a_wrong_secret_is_refused(world: World, secret: str) -> None:
    """Without the shared secret the manager answers 401."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        async with peer(world, secret):
            pass
    assert 401 == error.value.status


async def test_a_link_with_a_wrong_secret_stays_down(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The log says why, and neither secret."""
    assert isinstance(world, HTTPWorld)
    caplog.set_level(logging.DEBUG)
    link = HTTPLink(f"http://127.0.0.1:{world.port}", "another-secret", times=QUICK)
    await link.start(FakeProxy(proxy_id="another", port=1))
    await until(lambda: any(getattr(record, "detail", "") == "it answers 401" for record in caplog.records))
    await link.close()
    assert not link.is_up
    shown = "\n".join(str(vars(record)) for record in caplog.records)
    assert "another-secret" not in shown
    assert SECRET not in shown


async def test_no_secret_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Passwords, tickets, keys and the shared secret stand in no log line of a whole life of a link."""
    caplog.set_level(logging.DEBUG)
    request = await world.request()
    await world.link.authorise(request)
    await world.restart()
    shown = "\n".join(str(vars(record)) for record in caplog.records)
    assert world.proxy.keys is not None
    key = json.loads(world.proxy.keys.current.to_json())["base64EncodedKeyBytes"]
    assert [] == [secret for secret in (SECRET, request.password, request.ticket, key) if secret in shown]


@pytest.mark.parametrize("text", ["", "hello", "[]", '{"kind":"report"}', '{"kind":"hello"}', "[" * 10_000])
async def test_a_damaged_first_message_ends_the_link(world: World, text: str) -> None:
    """What is not a hello closes the connection."""
    async with peer(world) as socket:
        await socket.send_str(text)
        assert aiohttp.WSMsgType.CLOSE is (await socket.receive()).type
    assert world.link.is_up


async def test_an_unknown_kind_is_answered(world: World) -> None:
    """A newer proxy learns that this manager does not know its message; unknown fields do not matter."""
    async with peer(world) as socket:
        hello = json.loads(to_json(FakeProxy(proxy_id="newer", port=1).description, 1))
        await socket.send_json(hello | {"colour": "red"})
        assert "welcome" == (await socket.receive_json())["kind"]
        await socket.send_json({"kind": "dance", "id": 2})
        answer = await socket.receive_json()
        assert ("error", 2) == (answer["kind"], answer["id"])
        await socket.send_str(to_json(LoadReport(3, 0), 3))
        assert {"kind": "ack", "id": 3, "seq": 3} == await socket.receive_json()


async def test_another_protocol_is_refused_in_words(world: World) -> None:
    """A proxy of another protocol gets a refusal, and the connection ends."""
    async with peer(world) as socket:
        hello = json.loads(to_json(FakeProxy(proxy_id="newer", port=1).description, 1))
        await socket.send_json(hello | {"protocol": 2})
        answer = await socket.receive_json()
        assert ("refused", "link-refused") == (answer["kind"], answer["reason"])
        assert aiohttp.WSMsgType.CLOSE is (await socket.receive()).type


async def test_a_newer_connection_replaces_the_older(world: World) -> None:
    """The same proxy twice: the older connection is closed, and the manager does not take the proxy for lost."""
    async with peer(world) as older:
        await older.send_str(to_json(FakeProxy(proxy_id="twice", port=1).description, 1))
        await older.receive()
        async with peer(world) as newer:
            await newer.send_str(to_json(FakeProxy(proxy_id="twice", incarnation="2", port=1).description, 1))
            assert "welcome" == (await newer.receive_json())["kind"]
            assert aiohttp.WSMsgType.CLOSE is (await older.receive()).type
            assert [True, True] == [proxy.is_up for proxy in await world.service.list_proxies()]


async def test_a_proxy_that_does_not_obey_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command without an answer counts as not done."""
    assert isinstance(world, HTTPWorld)
    monkeypatch.setattr("consoleproxy.manager.link._COMMAND", 0.05)
    async with peer(world) as socket:
        await socket.send_str(to_json(FakeProxy(proxy_id="deaf", port=1).description, 1))
        await socket.receive()
        assert not await world.server.send_command("deaf", Drain())
        await socket.close()
        await until(lambda: len(world.server) == 1)
        assert not await world.server.send_command("deaf", Kill("x"))


async def test_a_silent_connection_is_cut(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has the secret but does not say hello is not kept."""
    monkeypatch.setattr("consoleproxy.manager.link._HELLO", 0.05)
    async with peer(world) as socket:
        assert aiohttp.WSMsgType.CLOSE is (await socket.receive()).type


@asynccontextmanager
async def manager_that(answer: str) -> AsyncIterator[str]:
    """Run a manager that welcomes, and then answers everything with ``answer`` under the right id."""

    async def handle(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        hello = await socket.receive_json()
        key = '{"base64EncodedKeyBytes":"AAAAAAAAAAAAAAAAAAAAAA","base64EncodedIvBytes":"AAAAAAAAAAAAAAAAAAAAAA"}'
        await socket.send_json({"kind": "welcome", "id": hello["id"], "token_key": key, "interval": 1})
        async for message in socket:
            await socket.send_str(answer.replace("ID", str(json.loads(message.data).get("id", "null"))))
        return socket

    app = web.Application()
    app.router.add_get("/link", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    "answer",
    [
        "garbage",
        '{"kind":"welcome","id":ID,"token_key":1}',
        '{"kind":"decision","id":ID}',
        '{"kind":"ack","id":ID,"seq":77}',
        '{"kind":"error","id":ID,"detail":"no"}',
        '{"kind":"refused","id":ID,"reason":"link-refused"}',
        '{"kind":"refused","id":ID,"reason":"new-word"}',
    ],
)
async def test_a_manager_that_breaks_the_protocol_is_left(answer: str) -> None:
    """Whatever answer a report gets but its acknowledgement, the link falls, and its end stays to be told."""
    async with manager_that(answer) as url:
        link = HTTPLink(url, SECRET, times=QUICK)
        link.ended(end_of("session"))
        await link.start(FakeProxy())
        assert await link.wait_up(5)
        await until(lambda: not link.is_up)
        assert 0 == link.reports
        await link.close()


async def test_an_unknown_command_is_answered() -> None:
    """A proxy answers a kind that it does not know, and goes on."""
    told: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        hello = await socket.receive_json()
        key = '{"base64EncodedKeyBytes":"AAAAAAAAAAAAAAAAAAAAAA","base64EncodedIvBytes":"AAAAAAAAAAAAAAAAAAAAAA"}'
        await socket.send_json({"kind": "welcome", "id": hello["id"], "token_key": key, "interval": 60})
        await socket.send_json({"kind": "dance", "id": 5})
        told.extend([str((await socket.receive()).data) for _ in ("report", "error")])
        await socket.receive()
        return socket

    app = web.Application()
    app.router.add_get("/link", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    link = HTTPLink(f"http://127.0.0.1:{runner.addresses[0][1]}", SECRET, times=QUICK)
    await link.start(FakeProxy())
    await until(lambda: any('"kind":"error","id":5' in text for text in told))
    assert link.is_up
    await link.close()
    await runner.cleanup()


# --- where the manager is -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "has_ca", "expected"),
    [
        ("http://127.0.0.1:8081", False, "ws://127.0.0.1:8081/link"),
        ("http://[::1]:8081/", False, "ws://[::1]:8081/link"),
        ("http://localhost", False, "ws://localhost/link"),
        ("https://manager.example.test:8443", True, "wss://manager.example.test:8443/link"),
        ("https://manager.example.test/consoles", True, "wss://manager.example.test/consoles/link"),
    ],
)
def test_the_link_has_its_address(url: str, expected: str, *, has_ca: bool) -> None:
    """The link is at ``/link`` below the manager's address; plain only on this machine."""
    assert expected == str(link_url(url, has_ca=has_ca))


@pytest.mark.parametrize(
    ("url", "has_ca", "text"),
    [
        ("http://manager.example.test", True, "needs https"),
        ("http://192.0.2.1", True, "needs https"),
        ("http://localhost.example.test", True, "needs https"),
        ("https://manager.example.test", False, "needs the CA file"),
        ("manager.example.test", True, "is not like"),
        ("ftp://manager.example.test", True, "is not like"),
        ("https://ann:secret@manager.example.test", True, "is not like"),
        ("https://manager.example.test:99999", True, "is not like"),
        ("", True, "is not like"),
    ],
)
def test_a_plain_link_off_this_machine_is_refused(url: str, text: str, *, has_ca: bool) -> None:
    """Keys never cross a plain link, nor one whose other end nobody vouches for."""
    with pytest.raises(ConfigError, match=text):
        link_url(url, has_ca=has_ca)


@pytest.mark.parametrize("secret", ["", " ", "line\nbreak", "ü"])
def test_a_secret_that_cannot_be_sent_is_refused(secret: str) -> None:
    """A shared secret is printable ASCII."""
    with pytest.raises(ConfigError, match="shared secret"):
        HTTPLink("http://127.0.0.1", secret)


async def test_the_server_refuses_a_plain_link_from_elsewhere(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manager's end insists on TLS too."""
    assert isinstance(world, HTTPWorld)
    monkeypatch.setattr("consoleproxy.manager.link._is_loopback", lambda _: False)
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        async with peer(world):
            pass
    assert 403 == error.value.status


async def test_only_the_pinned_ca_is_trusted(world: World, tmp_path: Path) -> None:
    """Over TLS the link comes up with the manager's CA, and not with another one."""
    assert isinstance(world, HTTPWorld)
    for name in ("ours", "other"):
        subprocess.run([sys.executable, CERTIFICATES, "--out", tmp_path / name], check=True, capture_output=True)
    ours, other = tmp_path / "ours", tmp_path / "other"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ours / "server-chain.pem", ours / "server-key.pem")
    runner = web.AppRunner(_app(world.server), access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://localhost:{runner.addresses[0][1]}"
    try:
        wrong = HTTPLink(url, SECRET, ca_file=other / "ca-cert.pem", times=QUICK)
        await wrong.start(FakeProxy(proxy_id="wrong", port=1))
        assert not await wrong.wait_up(0.5)
        with pytest.raises(ManagerAwayError):
            await wrong.authorise(await world.request())
        await wrong.close()
        right = HTTPLink(url, SECRET, ca_file=ours / "ca-cert.pem", times=QUICK)
        await right.start(FakeProxy(proxy_id="right", port=2))
        assert await right.wait_up(5)
        await right.close()
    finally:
        await runner.cleanup()


def test_a_missing_ca_is_told(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(ConfigError, match=r"ca\.crt"):
        HTTPLink("https://manager.example.test", SECRET, ca_file=tmp_path / "ca.crt")

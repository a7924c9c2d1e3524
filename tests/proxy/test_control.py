"""A real proxy on a link to a real manager: keys, settings, kill, drain, and a manager that goes away."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from consoleproxy.links.state import Identity
from consoleproxy.messages import Kill
from consoleproxy.ops.pages import find_page_files
from consoleproxy.proxy.app import Proxy
from consoleproxy.proxy.control import AppControl
from tests.helpers.fake_vm import FakeVM
from tests.helpers.town import QUICK as SETTINGS
from tests.helpers.viewer import Viewer
from tests.links.conformance import ANN, VM, until
from tests.links.test_http import HTTPWorld


class ProxyWorld(HTTPWorld):
    """A manager, a proxy with its link to it, and a VM."""

    async def start(self) -> None:
        await super().start()
        await self.link.close()
        self.vm = FakeVM()
        await self.vm.start()
        await self.service.add_instance(dataclasses.replace(VM, port=self.vm.port, password=self.vm.password))
        self.link = self.make_link()
        identity = Identity("proxy-1", proxy_id="proxy-id")
        self.app = Proxy(SETTINGS, self.link, None, find_page_files(), identity)
        await self.app.start()
        await until(lambda: self.link.is_up)

    async def stop(self) -> None:
        await self.app.stop()
        await self.vm.close()
        await super().stop()

    async def token(self) -> str:
        """Return the token of a new console."""
        made = await self.service.create_endpoint(ANN, VM.id, creator_address="192.0.2.9")
        assert made.endpoint is not None, made.details
        return made.endpoint.token

    async def connect(self, token: str) -> Viewer:
        """Open a websocket."""
        return await Viewer.open(self.app.ports[-1], token)

    async def view(self) -> Viewer:
        """Open a console and go through its handshake."""
        viewer = await self.connect(await self.token())
        await viewer.enter()
        return viewer

    async def reasons(self) -> list[str]:
        """Return the end reasons of all sessions, the newest first."""
        return [session.end_reason for session in await self.service.list_sessions()]


@pytest.fixture
async def made(tmp_path: Path, no_sockets_left_open: None) -> AsyncIterator[ProxyWorld]:  # noqa: ARG001 - it frames all
    """Run all of it."""
    world = ProxyWorld(tmp_path)
    await world.start()
    yield world
    await world.stop()


async def test_a_console_opens_with_the_manager_s_keys(made: ProxyWorld) -> None:
    """A proxy that was given no key opens the manager's links, and the manager counts and sees the end."""
    viewer = await made.view()
    await made.until_reported()
    (proxy,) = await made.service.list_proxies()
    assert ("proxy-1", "127.0.0.1", 1) == (proxy.name, proxy.address, proxy.active_sessions)
    assert made.app.ports == [proxy.websocket_port]
    await viewer.close()
    await until(lambda: any(report.ended for report in made.gate.reports))
    assert ["browser-closed"] == await made.reasons()


async def test_a_killed_console_ends_with_its_word(made: ProxyWorld) -> None:
    """``kill`` closes the browser with 4461 and counts as killed; ``locked`` has its own code."""
    viewer = await made.view()
    (session,) = await made.service.list_sessions()
    assert await made.service.kill(session.id)
    assert 4461 == (await viewer.closed())[0]
    await until(lambda: any(report.ended for report in made.gate.reports))
    assert ["killed"] == await made.reasons()
    viewer = await made.view()
    (session,) = await made.service.list_sessions(is_active=True)
    assert await made.command(Kill(session.id, "locked"))
    assert 4464 == (await viewer.closed())[0]
    assert not await made.command(Kill("no such session"))


async def test_a_drained_proxy_takes_no_more(made: ProxyWorld) -> None:
    """After ``drain`` a new viewer is told so, a running console goes on."""
    token, viewer = await made.token(), await made.view()
    assert await made.service.drain("proxy-id")
    assert 4470 == (await (await made.connect(token)).closed())[0]
    assert not made.app.readiness()[0]
    await made.vm.send(b"still here")
    assert b"still here" == await viewer.read(10)
    await viewer.close()


async def test_the_source_address_is_checked_as_the_manager_says(made: ProxyWorld) -> None:
    """The setting takes effect while the proxy runs, both ways."""
    await made.service.update_setting("novnc.console.sourceip.check.enabled", "true")
    assert 4403 == (await (await made.connect(await made.token())).closed())[0]
    await made.service.update_setting("novnc.console.sourceip.check.enabled", "false")
    await (await made.view()).close()


async def test_a_running_console_outlives_its_manager(made: ProxyWorld) -> None:
    """While the manager is away a console goes on, a new one is refused with 4471, and nothing is lost after."""
    token, viewer = await made.token(), await made.view()
    await made.close_manager()
    await until(lambda: not made.link.is_up)
    assert 4471 == (await (await made.connect(token)).closed())[0]
    assert (False, "away") == (made.app.readiness()[0], made.app.readiness()[1]["manager"])
    await made.vm.send(b"still here")
    assert b"still here" == await viewer.read(10)
    await viewer.close()
    await until(lambda: not len(made.app))
    await made.open_manager()
    await until(lambda: made.link.is_up)
    await made.until_reported()
    assert ["", "browser-closed"] == sorted(await made.reasons())


async def test_without_keys_nobody_enters(made: ProxyWorld) -> None:
    """A proxy whose manager has never answered refuses with 4471."""
    token = await made.token()
    made.app.keys = None
    assert 4471 == (await (await made.connect(token)).closed())[0]


async def test_stopping_ends_and_tells(made: ProxyWorld) -> None:
    """A proxy that stops ends its consoles, and the manager knows before the link is gone."""
    viewer = await made.view()
    await made.app.stop()
    assert 4470 == (await viewer.closed())[0]
    assert ["draining"] == await made.reasons()
    (proxy,) = await made.service.list_proxies()
    assert (0, False) == (proxy.active_sessions, proxy.is_up)


def test_a_manager_that_wants_tls_without_a_certificate_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The ports of TLS are not opened in clear, and not silently ignored."""
    proxy = SimpleNamespace(keys=None, is_draining=False, checks_source_address=False, is_tls=False)
    control = AppControl(cast("Any", proxy), Identity())
    control.use_settings({"premium": "false", "vncport": "8080"})
    assert "" == caplog.text
    control.use_settings({"premium": "true", "vncport": "8443"})
    assert "wants TLS on 443 and 8443" in caplog.text
    caplog.clear()
    proxy.is_tls = True
    control.use_settings({"premium": "true", "vncport": "8443"})
    assert "" == caplog.text

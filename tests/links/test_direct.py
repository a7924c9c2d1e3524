"""The link inside the process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from consoleproxy.links import Capabilities
from consoleproxy.links.direct import DirectLink
from consoleproxy.messages import AccessRequest, Command, Target
from tests.links.conformance import *  # noqa: F403 - the tests that every link must pass
from tests.links.conformance import QUICK, Gate, World


class DirectWorld(World):
    """Links that call the service."""

    def make_link(self) -> DirectLink:
        return DirectLink(self.gate, times=QUICK)

    async def open_manager(self) -> None:
        self.gate.is_down = False
        self.service.commands = self._command
        self.service.on_settings_changed.append(self._push)

    async def close_manager(self) -> None:
        self.gate.is_down = True

    async def _command(self, proxy_id: str, command: Command) -> bool:
        assert isinstance(self.link, DirectLink)
        return await self.link.command(proxy_id, command)

    async def _push(self, settings: Mapping[str, str]) -> None:
        assert isinstance(self.link, DirectLink)
        await self.link.push_settings(settings)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Run a manager with a link to it."""
    made = DirectWorld(tmp_path)
    await made.start()
    yield made
    await made.stop()


def test_capabilities() -> None:
    """Consoles can be killed from outside."""
    link = DirectLink(Gate(None))  # type: ignore[arg-type]  # nobody asks it
    assert Capabilities(kill=True) == link.capabilities


def test_secrets_do_not_show() -> None:
    """Neither the VNC password nor the ticket stands in what a log might print."""
    request = AccessRequest("session", "vm", "127.0.0.1", 5900, "192.0.2.1", password="vnc-pw", ticket="a ticket")
    shown = repr(request) + repr(Target("h", 1, "vnc-pw"))
    assert "vnc-pw" not in shown
    assert "a ticket" not in shown

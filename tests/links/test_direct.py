"""The link inside the process."""

from __future__ import annotations

import pytest

from consoleproxy.errors import UsedError
from consoleproxy.links import Capabilities, ControlLink
from consoleproxy.links.direct import DirectLink
from consoleproxy.messages import AccessAnswer, AccessRequest, SessionEnd, SessionOpened, Target

REQUEST = AccessRequest("session", "vm", "127.0.0.1", 5900, "192.0.2.1", password="vnc-pw", ticket="a ticket")


class Authority:
    """A control plane that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def authorise(self, request: AccessRequest) -> AccessAnswer:
        self.told.append(request)
        if len(self.told) > 1:
            raise UsedError("again")
        return AccessAnswer(Target("198.51.100.1", 5901), user="ann")

    def opened(self, session: SessionOpened) -> None:
        self.told.append(session)

    def ended(self, session: SessionEnd) -> None:
        self.told.append(session)


async def test_calls_pass_through() -> None:
    """Answers, refusals and reports arrive as they are."""
    authority = Authority()
    link: ControlLink = DirectLink(authority)
    assert Capabilities(user_names=True) == link.capabilities
    assert AccessAnswer(Target("198.51.100.1", 5901), user="ann") == await link.authorise(REQUEST)
    with pytest.raises(UsedError):
        await link.authorise(REQUEST)
    opened = SessionOpened("session", "vm", "192.0.2.1", 1.0)
    ended = SessionEnd("session", "vm", "idle", 2.0, 3, 4)
    link.opened(opened)
    link.ended(ended)
    assert [opened, ended] == authority.told[-2:]


def test_secrets_do_not_show() -> None:
    """Neither the VNC password nor the ticket stands in what a log might print."""
    shown = repr(REQUEST) + repr(Target("h", 1, "vnc-pw"))
    assert "vnc-pw" not in shown
    assert "a ticket" not in shown

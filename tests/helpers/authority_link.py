"""A link that is one call away from a control plane which needs no waiting and no proxy's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from consoleproxy.links import Capabilities, ProxyControl
from consoleproxy.messages import AccessAnswer, AccessRequest, SessionEnd, SessionOpened


class Authority(Protocol):
    """What decides and counts."""

    def authorise(self, request: AccessRequest) -> AccessAnswer:
        """Consume the one-time session, or raise a ``Refused`` error."""

    def opened(self, session: SessionOpened) -> None:
        """Note that a console runs."""

    def ended(self, session: SessionEnd) -> None:
        """Note that a console ended."""


class AuthorityLink:
    """A ``ControlLink`` that is always up, for tests that are not about links."""

    is_up = True
    reports = 0
    capabilities = Capabilities()

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self.on_told: Callable[[str], None] = lambda _: None

    async def start(self, control: ProxyControl) -> None:
        """Nothing is to be reached."""

    async def close(self) -> None:
        """Nothing is to be left."""

    async def authorise(self, request: AccessRequest) -> AccessAnswer:
        return self._authority.authorise(request)

    def opened(self, session: SessionOpened) -> None:
        self._authority.opened(session)

    def ended(self, session: SessionEnd) -> None:
        self._authority.ended(session)
        self.on_told(session.session_id)

    def draining(self) -> None:
        """Nobody needs to know."""

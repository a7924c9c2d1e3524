"""The control plane inside the same process: calls instead of messages."""

from __future__ import annotations

from typing import Protocol

from consoleproxy.links import Capabilities
from consoleproxy.messages import AccessAnswer, AccessRequest, SessionEnd, SessionOpened


class ConsoleAuthority(Protocol):
    """What the injected control plane must offer; ``manager`` has one, tests have fakes."""

    def authorise(self, request: AccessRequest) -> AccessAnswer:
        """Consume the one-time session atomically, or raise a ``Refused`` error."""

    def opened(self, session: SessionOpened) -> None:
        """Note that a console runs."""

    def ended(self, session: SessionEnd) -> None:
        """Note that a console ended."""


class DirectLink:
    """A ``ControlLink`` to ``authority``, which is given, never imported."""

    def __init__(self, authority: ConsoleAuthority) -> None:
        self._authority = authority

    @property
    def capabilities(self) -> Capabilities:
        """Names its users; nothing else yet."""
        return Capabilities(user_names=True)

    async def authorise(self, request: AccessRequest) -> AccessAnswer:
        """Ask the control plane, which answers without waiting: that makes it atomic."""
        return self._authority.authorise(request)

    def opened(self, session: SessionOpened) -> None:
        """Tell that a console runs."""
        self._authority.opened(session)

    def ended(self, session: SessionEnd) -> None:
        """Tell that a console ended."""
        self._authority.ended(session)

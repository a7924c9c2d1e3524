"""Reaching the control plane: who may enter, and what became of it.

A console never knows which control plane it has: it holds a ``ControlLink`` and
asks its ``capabilities``. ``direct`` is the one inside the same process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from consoleproxy.messages import AccessAnswer, AccessRequest, SessionEnd, SessionOpened


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a control plane can do beyond saying yes or no.

    ``locate``: tell where a VM is now. ``resume_elsewhere``: let another proxy
    resume a session. ``kill``: end a session from outside. ``user_names``: name
    the person in its answers.
    """

    locate: bool = False
    resume_elsewhere: bool = False
    kill: bool = False
    user_names: bool = False


class ControlLink(Protocol):
    """The proxy's way to its control plane (contracts of the planes, both directions)."""

    @property
    def capabilities(self) -> Capabilities:
        """What this control plane can do."""

    async def authorise(self, request: AccessRequest) -> AccessAnswer:
        """Consume the one-time session and say yes, or raise a ``Refused`` error.

        ``ManagerAwayError`` when nobody answers: no manager, no console.
        """

    def opened(self, session: SessionOpened) -> None:
        """Tell that a console runs; never waits."""

    def ended(self, session: SessionEnd) -> None:
        """Tell that a console ended; called exactly once for each ``opened``; never waits."""

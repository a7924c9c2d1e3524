"""Reaching the control plane: who may enter, and what became of it.

A console never knows which control plane it has: it holds a ``ControlLink`` and
asks its ``capabilities``.

``direct``  the manager inside the same process
``http``    our own manager, JSON over a websocket
``managed`` what these two share: up again after each fall, reports, commands
``ledger``  what the manager has not acknowledged yet
``state``   who this proxy is, from one start to the next
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from consoleproxy.access.token import TokenKeys
from consoleproxy.messages import AccessAnswer, AccessRequest, ProxyDescription, SessionEnd, SessionOpened


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


class ProxyControl(Protocol):
    """What the control plane may see of a proxy and do to it. None of it waits."""

    def describe(self) -> ProxyDescription:
        """Say who the proxy is; the link adds the sessions, of which it was told."""

    @property
    def is_draining(self) -> bool:
        """Whether the proxy takes no new consoles."""

    def use_keys(self, keys: TokenKeys) -> None:
        """Open tokens with these keys from now on."""

    def use_settings(self, settings: Mapping[str, str]) -> None:
        """Follow the settings that it knows; the others are not for it."""

    def kill(self, session_id: str, reason: str) -> bool:
        """End a console, ``reason`` being killed or locked; false when there is no such console."""

    def drain(self) -> None:
        """Take no new consoles."""


class AccessLink(Protocol):
    """What a console needs of the control plane; with workers it lies in another process."""

    async def authorise(self, request: AccessRequest) -> AccessAnswer:
        """Consume the one-time session and say yes, or raise a ``Refused`` error.

        ``ManagerAwayError`` when nobody answers: no manager, no console.
        """

    def opened(self, session: SessionOpened) -> None:
        """Tell that a console runs; never waits. Call it as soon as ``authorise`` has returned."""

    def ended(self, session: SessionEnd) -> None:
        """Tell that a console ended; called exactly once for each ``opened``; never waits."""


class ControlLink(AccessLink, Protocol):
    """The proxy's way to its control plane (contracts of the planes, both directions).

    ``start`` it when the proxy's ports are known; ``close`` it always, and after the last ``ended``.
    """

    #: Called with the session of each end that the control plane has acknowledged; set it before ``start``.
    on_told: Callable[[str], None]

    @property
    def capabilities(self) -> Capabilities:
        """What this control plane can do."""

    @property
    def is_up(self) -> bool:
        """Whether the control plane knows this proxy now."""

    @property
    def reports(self) -> int:
        """Count the reports that the control plane has acknowledged since the start."""

    async def start(self, control: ProxyControl) -> None:
        """Begin to reach the control plane, and go on until ``close``; does not wait until it is reached."""

    async def close(self) -> None:
        """Tell what was not told yet, for a moment, and leave."""

    def draining(self) -> None:
        """Tell that the proxy takes no new consoles; never waits."""

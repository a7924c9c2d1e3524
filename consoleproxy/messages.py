"""The shapes that travel between the data plane and the control plane.

Frozen dataclasses of plain values, so that each can become JSON and back. The
proxy and the manager both import this module and never each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Target:
    """Where a VM's VNC server is, and what the proxy needs to enter it.

    ``kind`` is a backend kind of ``consoleproxy.backends``, ``tls`` one of none, required
    and pinned; ``password`` is the VNC password, which never leaves the proxy and never
    stands in a ``repr``.
    """

    host: str
    port: int
    password: str = field(default="", repr=False)
    kind: str = "tcp"
    tls: str = "none"


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """A viewer at the proxy's door: may it enter? Sent once for each websocket.

    ``ticket`` and ``password`` are secrets of the token; the control plane
    compares them with its own. ``viewer_address`` is the browser's IP address.
    """

    session_id: str
    vm_id: str
    host: str
    port: int
    viewer_address: str
    password: str = field(default="", repr=False)
    ticket: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class AccessAnswer:
    """The control plane's yes. A no is one of the ``Refused`` errors.

    ``target`` wins over the token's, where it is given; ``user`` names the person
    for the limit per user, where the control plane knows it.
    """

    target: Target | None = None
    user: str = ""


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """A console that now runs on this proxy."""

    session_id: str
    vm_id: str
    viewer_address: str
    opened_at: float


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """A console that ended; told to the control plane exactly once."""

    session_id: str
    vm_id: str
    reason: str
    seconds: float
    bytes_to_browser: int
    bytes_to_vm: int

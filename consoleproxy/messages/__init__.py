"""The shapes that travel between the data plane and the control plane.

Frozen dataclasses of plain values, so that each can become JSON and back (``codec``). The
proxy and the manager both import this module and never each other. Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

#: What our own link speaks; a manager refuses a proxy that speaks another.
PROTOCOL = 1


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


#: A console that runs, as ``hello`` and full reports list it: the same facts as at its opening.
SessionInfo: TypeAlias = SessionOpened


# --- our own link (contracts of the planes): proxy to manager --------------------------


@dataclass(frozen=True, slots=True)
class ProxyDescription:
    """``hello``: who the proxy is. The first message of each connection; answered by ``Welcome``.

    ``proxy_id`` lasts, ``incarnation`` is new at each start: the same id replaces its older
    self. ``address`` and the ports are where browsers find it; ``capacity`` is its own hard
    limit; ``sessions`` are all that it carries, ``ended`` those whose end is not acknowledged yet:
    note these ends before the lists are compared.
    """

    version: str
    proxy_id: str
    incarnation: str
    name: str
    address: str
    page_port: int
    websocket_port: int
    is_tls: bool
    capacity: int
    sessions: tuple[SessionInfo, ...] = ()
    ended: tuple[SessionEnd, ...] = ()
    is_draining: bool = False
    protocol: int = PROTOCOL


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What changed since the last report that was acknowledged; ``sessions`` counts what runs now.

    With ``is_full``, ``opened`` lists every console that runs. Anything may be told twice: the
    receiver goes by the session ids. ``seq`` grows by one with each report of a connection.
    A proxy that ``is_draining`` takes no new consoles, whoever told it to.
    """

    seq: int
    sessions: int
    opened: tuple[SessionOpened, ...] = ()
    ended: tuple[SessionEnd, ...] = ()
    is_full: bool = False
    is_draining: bool = False


# --- our own link: manager to proxy ----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer to ``hello``: what the proxy has to know before its first console.

    The keys are JSON as ``TokenKey.from_json`` reads it, the previous one maybe empty;
    ``interval`` is the time between two reports in seconds.
    """

    token_key: str = field(repr=False)
    token_key_previous: str = field(default="", repr=False)
    settings: Mapping[str, str] = field(default_factory=dict)
    interval: float = 5.0


@dataclass(frozen=True, slots=True)
class SettingsPush:
    """Settings that changed, by name; also the report interval may have."""

    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class KeysPush:
    """The token keys from now on, as in ``Welcome``."""

    current: str = field(repr=False)
    previous: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Kill:
    """End one console; ``reason`` is killed or locked."""

    session_id: str
    reason: str = "killed"


@dataclass(frozen=True, slots=True)
class Drain:
    """Take no new consoles; those that run go on."""


#: What the manager tells a proxy unasked; each is answered with ``Done``.
Command: TypeAlias = SettingsPush | KeysPush | Kill | Drain


# --- our own link: answers ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ack:
    """The answer to a report: it is stored."""

    seq: int


@dataclass(frozen=True, slots=True)
class Done:
    """The answer to a command; ``is_done`` is false where there was nothing to do it to."""

    is_done: bool = True


@dataclass(frozen=True, slots=True)
class Refusal:
    """A no. ``reason`` is the word of a ``Refused`` error; ``detail`` is for the log."""

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """The answer to a message that makes no sense, or that this version does not know."""

    detail: str

"""What the manager knows: accounts, instances, proxies and sessions, as frozen rows.

Every time is in Unix seconds by the manager's own clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from consoleproxy.manager.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Account:
    """Who may ask for consoles. ``secret_key`` signs requests under ``api_key``; an admin may see everything."""

    id: str
    name: str
    api_key: str
    secret_key: str = field(repr=False)
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class Instance:
    """A VM. ``host`` and ``port`` are its VNC server's, ``state`` one of CloudStack's words such as ``Running``."""

    id: str
    name: str
    display_name: str
    description: str
    account_id: str
    state: str
    host: str
    port: int
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ProxyRecord:
    """A proxy as the manager last heard of it.

    ``id`` is the manager's own UUID for it, ``proxy_id`` what the proxy calls itself for
    life, ``incarnation`` its present start. ``capacity`` is the proxy's own limit.
    ``reserved_sessions`` counts the VMs whose links nobody has opened yet.
    """

    id: str
    name: str
    proxy_id: str
    incarnation: str
    address: str
    page_port: int
    websocket_port: int
    is_tls: bool
    capacity: int
    is_up: bool
    is_draining: bool
    last_seen: float
    version: str
    active_sessions: int
    reserved_sessions: int


@dataclass(frozen=True, slots=True)
class Session:
    """One use of one console: created by the API, acquired by a viewer, removed at its end.

    ``proxy_id`` is the proxy that it was assigned to (``ProxyRecord.proxy_id``).
    ``expires`` is when the link is over if nobody has used it by then.
    """

    id: str
    instance_id: str
    account_id: str
    proxy_id: str
    created: float
    expires: float
    acquired: float | None = None
    removed: float | None = None
    creator_address: str = ""
    client_address: str = ""
    end_reason: str = ""

    @property
    def is_active(self) -> bool:
        """Whether a viewer came in and has not left."""
        return self.acquired is not None and self.removed is None


@dataclass(frozen=True, slots=True)
class EndpointResult:
    """The answer of ``createConsoleEndpoint``: ``endpoint`` on success, else a sentence in ``details``."""

    success: bool
    details: str = ""
    endpoint: Endpoint | None = None

"""What a carrying part has to know: the plan that it is made with, and the policy that changes meanwhile.

Plain values, so that both can cross to a worker.
"""

from __future__ import annotations

from dataclasses import dataclass

from consoleproxy.access.token import TokenKeys
from consoleproxy.errors import Draining, ManagerAwayError
from consoleproxy.net.tls import TLSContexts
from consoleproxy.proxy.console import Limits


@dataclass(frozen=True, slots=True)
class Door:
    """A public port and what it serves."""

    has_pages: bool
    has_consoles: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """How consoles are carried; times in seconds, bandwidths in bytes a second (0 is no limit).

    ``max_pending`` and ``max_pending_per_address`` hold for each process, and so does ``proxy_bandwidth``.
    """

    doors: tuple[Door, ...]
    limits: Limits
    request_timeout: float
    stall_timeout: float
    max_pending: int
    max_pending_per_address: int
    session_bandwidth: int
    proxy_bandwidth: int
    allowed_origins: tuple[str, ...]


@dataclass(slots=True)
class Policy:
    """What the control plane and the operators decide while the proxy runs; asked at each console."""

    keys: TokenKeys | None = None
    is_draining: bool = False
    checks_source_address: bool = False
    tls: TLSContexts | None = None

    def token_keys(self) -> TokenKeys:
        """Return the keys, or raise ``ManagerAwayError`` while there are none."""
        if self.keys is None:
            raise ManagerAwayError("the manager has not sent the token keys yet")
        return self.keys

    def check_admission(self) -> None:
        """Raise ``Draining`` when no new consoles are taken."""
        if self.is_draining:
            raise Draining("no new consoles")

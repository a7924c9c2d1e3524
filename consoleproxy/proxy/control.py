"""What the manager may see of this proxy and do to it, over whatever link."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

from consoleproxy import __version__
from consoleproxy.access.token import TokenKeys
from consoleproxy.errors import Killed, Locked, SessionEnded
from consoleproxy.links.state import Identity
from consoleproxy.messages import ProxyDescription

log = logging.getLogger(__name__)

#: CloudStack's name of the setting that binds a link to the address that asked for it.
SOURCE_ADDRESS_SETTING = "novnc.console.sourceip.check.enabled"

#: CloudStack's boot argument that asks for TLS (facts 1.1 and 3.10).
TLS_SETTING = "premium"

_ENDS = {"killed": Killed, "locked": Locked}


class Controlled(Protocol):
    """A proxy, as far as the manager reaches it."""

    keys: TokenKeys | None
    is_draining: bool
    checks_source_address: bool

    @property
    def ports(self) -> list[int]:
        """The public ports, in the order page, websocket; one where they are joined."""

    @property
    def capacity(self) -> int:
        """The most consoles at once."""

    @property
    def address(self) -> str:
        """Where browsers find it."""

    @property
    def is_tls(self) -> bool:
        """Whether the public ports speak TLS."""

    def end_session(self, session_id: str, error: SessionEnded) -> bool:
        """End the console of a session; false when there is none."""


class AppControl:
    """The ``ProxyControl`` of ``proxy``, which is known as ``identity``."""

    def __init__(self, proxy: Controlled, identity: Identity) -> None:
        self._proxy = proxy
        self._identity = identity

    def describe(self) -> ProxyDescription:
        """Say who the proxy is; its ports must be open."""
        ports = self._proxy.ports
        return ProxyDescription(
            version=__version__,
            proxy_id=self._identity.proxy_id,
            incarnation=self._identity.incarnation,
            name=self._identity.name,
            address=self._identity.address or self._proxy.address,
            page_port=ports[0],
            websocket_port=ports[-1],
            is_tls=self._proxy.is_tls,
            capacity=self._proxy.capacity,
        )

    @property
    def is_draining(self) -> bool:
        """Whether the proxy takes no new consoles."""
        return self._proxy.is_draining

    def use_keys(self, keys: TokenKeys) -> None:
        """Open tokens with these keys from now on."""
        self._proxy.keys = keys

    def use_settings(self, settings: Mapping[str, str]) -> None:
        """Follow the settings that it knows; what is not given stays as it was."""
        if (text := settings.get(SOURCE_ADDRESS_SETTING)) is not None:
            # Anything but a clear no is a yes: the stricter one.
            self._proxy.checks_source_address = text.strip().lower() != "false"
        if settings.get(TLS_SETTING, "").strip().lower() == "true" and not self._proxy.is_tls:
            log.error("the manager wants TLS on 443 and 8443: give tls_cert and tls_key, or put TLS in front")

    def kill(self, session_id: str, reason: str) -> bool:
        """End a console; false when there is none of that session."""
        return self._proxy.end_session(session_id, _ENDS.get(reason, Killed)(f"by the manager: {reason[:40]!r}"))

    def drain(self) -> None:
        """Take no new consoles; those that run go on."""
        self._proxy.is_draining = True

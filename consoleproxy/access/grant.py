"""What a decrypted token allows: one console of one VM (fact 2.3, and our own optional fields).

The field names are CloudStack's, whose own proxy ignores the few that we add; so one
token can serve both. Fields that nobody here needs (Hyper-V's, and those that CloudStack
declares and never sets) are ignored like unknown ones.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from consoleproxy.errors import BadTokenError

MAX_PORT = 65535

_TLS_WORDS = frozenset({"", "none", "required", "pinned"})
_SHA256_HEX = re.compile("[0-9a-fA-F]{64}")

# Who shows the name cleans it, and a password goes nowhere but into a cipher.
_MAY_HOLD_CONTROLS = frozenset({"clientDisplayName", "clientHostPassword"})


def _token_field(name: str, default: str | int = "", *, secret: bool = False, always: bool = False) -> Any:  # noqa: ANN401 - what dataclasses.field gives
    """A field that is called ``name`` in the token; ``always`` as CloudStack writes it even when it says nothing."""
    return dataclasses.field(default=default, repr=not secret, metadata={"name": name, "always": always})


@dataclass(frozen=True, slots=True)
class Grant:
    """One console of one VM: where it is, and who may see it. Absent texts are empty.

    ``host``, ``port``: the VNC server; ``port`` is -1 for a XenServer tunnel
    ``password``: the VNC password; empty where the server asks for none
    ``vm_id``: the VM's UUID
    ``display_name``: what people call the VM, as somebody typed it: clean it before it is shown
    ``ticket``, ``session_id``: what the control plane checks and consumes
    ``source_address``: the address that asked for the link; compare it with ``checks``
    ``extra_token``: what ``extra`` in the URL must be
    ``requires_new_viewer``: the VNC password works once, so viewers do not replace each other
    ``locale``: the keyboard
    ``tunnel_url``, ``tunnel_session``: XenServer's; ``websocket_url``: VMware's, which holds its ticket
    ``viewer_policy``, ``view_only``, ``backend``, ``tls``, ``tls_pin``, ``vnc_user``, ``sticky``: ours
    """

    host: str = _token_field("clientHostAddress")
    port: int = _token_field("clientHostPort", 0, always=True)
    password: str = _token_field("clientHostPassword", secret=True)
    vm_id: str = _token_field("clientTag")
    display_name: str = _token_field("clientDisplayName")
    ticket: str = _token_field("ticket", secret=True)
    session_id: str = _token_field("sessionUuid")
    source_address: str = _token_field("sourceIP")
    extra_token: str = _token_field("extraSecurityToken", secret=True)
    requires_new_viewer: bool = _token_field("sessionRequiresNewViewer", default=False, always=True)
    locale: str = _token_field("locale")
    tunnel_url: str = _token_field("clientTunnelUrl")
    tunnel_session: str = _token_field("clientTunnelSession", secret=True)
    websocket_url: str = _token_field("websocketUrl", secret=True)
    viewer_policy: str = _token_field("viewerPolicy")
    view_only: bool = _token_field("viewOnly", default=False)
    backend: str = _token_field("backend")
    tls: str = _token_field("tls")
    tls_pin: str = _token_field("tlsPin")
    vnc_user: str = _token_field("vncUser")
    sticky: bool = _token_field("sticky", default=False)

    @classmethod
    def from_fields(cls, fields: Mapping[str, object]) -> Grant:
        """Make sense of what ``token.decode`` returned, or raise ``BadTokenError`` naming the field.

        Absent and null are the same, unknown fields are ignored. Host and port are needed
        (fact 1.3); the password is not, though CloudStack's proxy wants it, because a VNC
        server may ask for none. The port says nothing where a tunnel or websocket leads to the VM.
        """
        values: dict[str, Any] = {spec.name: _read(fields, spec) for spec in dataclasses.fields(cls)}
        grant = cls(**values)
        _check_way(grant)
        _check_tls(grant)
        return grant

    def to_fields(self) -> dict[str, object]:
        """Return the fields for ``token.encode``; what says nothing is left out, as CloudStack does."""
        return {
            spec.metadata["name"]: value
            for spec in dataclasses.fields(self)
            if (value := getattr(self, spec.name)) or spec.metadata["always"]
        }

    @property
    def viewer_key(self) -> str:
        """Name what is being viewed: a newcomer under the same key replaces the viewer (facts 1.4, 1.5)."""
        if self.requires_new_viewer and self.session_id.strip():
            return self.session_id
        if self.vm_id.strip():
            return self.vm_id
        return f"{self.host}:{self.port}"


def _read(fields: Mapping[str, object], spec: dataclasses.Field[Any]) -> object:
    """The value of one field of the token, of exactly its type: true is no number, "5901" no port."""
    name = spec.metadata["name"]
    value = fields.get(name)
    if value is None:
        return spec.default
    if type(value) is not type(spec.default):
        raise BadTokenError(f"the token's {name} is {type(value).__name__}, not {type(spec.default).__name__}")
    if isinstance(value, str):
        _check_text(name, value)
    return value


def _check_text(name: str, value: str) -> None:
    """Refuse what could not be sent on: half a character, or a line end that would start a new header."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadTokenError(f"the token's {name} holds half a character") from None
    if name not in _MAY_HOLD_CONTROLS and any(unicodedata.category(character) == "Cc" for character in value):
        raise BadTokenError(f"the token's {name} holds a control character")


def _check_way(grant: Grant) -> None:
    if not grant.host.strip():
        raise BadTokenError("the token's clientHostAddress is missing")
    is_led = bool(grant.websocket_url.strip() or (grant.tunnel_url.strip() and grant.tunnel_session.strip()))
    if not (-1 if is_led else 1) <= grant.port <= MAX_PORT:
        raise BadTokenError(f"the token's clientHostPort is not 1 to {MAX_PORT}")


def _check_tls(grant: Grant) -> None:
    # An unknown word must not end as "no TLS".
    if grant.tls not in _TLS_WORDS:
        raise BadTokenError(f"the token's tls is {grant.tls[:20]!r}, not none, required or pinned")
    if grant.tls == "pinned" and not _SHA256_HEX.fullmatch(grant.tls_pin):
        raise BadTokenError("the token's tlsPin is not the 64 hexadecimal digits of a SHA-256")

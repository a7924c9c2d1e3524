"""Reaching a VM: this file holds the only switch on the kind of backend.

A backend turns a ``Target`` into a connected ``ByteStream``; the RFB handshake on it is
the caller's. Adding a kind is one file here, one line in the switch, its test, its fake.
"""

from __future__ import annotations

from consoleproxy.access.grant import Grant
from consoleproxy.backends import tcp
from consoleproxy.errors import VMProtocolError, VMTLSError
from consoleproxy.messages import Target
from consoleproxy.net.stream import ByteStream


def target_of(grant: Grant) -> Target:
    """Return where a token leads, if the control plane does not say it better.

    The way is chosen as CloudStack chooses it (fact 1.6): a websocket, then a tunnel, then TCP.
    """
    kind = grant.backend or "tcp"
    if grant.websocket_url.strip():
        kind = "vmware"
    elif grant.tunnel_url.strip() and grant.tunnel_session.strip():
        kind = "xen"
    return Target(grant.host, grant.port, grant.password, kind=kind, tls=grant.tls or "none")


async def dial(target: Target) -> ByteStream:
    """Connect to ``target`` and return the stream; the caller must end it.

    Run it under ``asyncio.timeout``. Raises a ``VMError`` that says what failed.
    """
    if target.tls != "none":
        # Never in clear what was asked for encrypted.
        raise VMTLSError(f"TLS to the VM is {target.tls}, which this version cannot do")
    match target.kind:
        case "tcp":
            return await tcp.connect(target.host, target.port)
        case kind:
            raise VMProtocolError(f"backend kind {kind!r} is not known to this version")

"""The RFB handshake towards the VM: the proxy is the client and knows the password.

Source: rfbproto 7.1 to 7.3. The security handshake ends here: the browser never sees a
VNC password, and is offered security type None by ``rfb_server``.
"""

from __future__ import annotations

from typing import Final

from consoleproxy.errors import (
    PeerClosed,
    RemoteProtocolError,
    VMPasswordError,
    VMProtocolError,
    VMRefusedError,
)
from consoleproxy.wire import rfb, vnc_auth
from consoleproxy.wire.conversation import Conversation, Read, Send

#: The longest reason that is read, in bytes. Servers send a sentence; more is not a reason.
MAX_REASON: Final = 4096

_SHARED: Final = b"\x01"


def connect(password: str) -> Conversation[rfb.ServerInit]:
    """Enter a VNC server and return its ServerInit; run it on a fresh connection.

    The server speaks first. ClientInit asks for a shared desktop, so that entering throws
    nobody else out. Raises ``VMPasswordError`` (wrong or missing password), ``VMRefusedError``
    (the server refuses in words), ``VMProtocolError`` (no security type in common) and
    ``RemoteProtocolError`` (broken protocol). The text of each may quote the server, cleaned.
    """
    version = rfb.agreed_version((yield Read(rfb.VERSION_SIZE)))
    yield Send(version)
    if version == rfb.VERSION_3_3:
        security_type = yield from _read_decided_type(password)
    else:
        security_type = yield from _choose_type(password)
    if security_type == rfb.SECURITY_VNC_AUTH:
        challenge = yield Read(vnc_auth.CHALLENGE_SIZE)
        yield Send(vnc_auth.answer(password, challenge))
    # Before 3.8 nothing follows security type None.
    if security_type == rfb.SECURITY_VNC_AUTH or version == rfb.VERSION_3_8:
        yield from _read_result(version, security_type)
    yield Send(_SHARED)
    return (yield from _read_server_init())


def _read_decided_type(password: str) -> Conversation[int]:
    """Read the one type that a 3.3 server decided on.

    A TigerVNC server that has blacklisted our address answers like this whatever its version.
    """
    security_type = yield from _read_u32()
    if security_type == rfb.SECURITY_INVALID:
        reason = yield from _read_reason()
        raise VMRefusedError(reason)
    return _select([security_type], password)


def _choose_type(password: str) -> Conversation[int]:
    """Read the whole list of types, then choose: the rest of it must not stay in the stream."""
    count = (yield Read(1))[0]
    if count == 0:
        reason = yield from _read_reason()
        raise VMRefusedError(reason)
    security_type = _select(list((yield Read(count))), password)
    yield Send(bytes([security_type]))
    return security_type


def _select(offered: list[int], password: str) -> int:
    """Choose by our own preference, strongest first; the server's order means nothing.

    With a password VncAuth comes before None: who configured a password wants it used, and a
    server that says yes to None as well may give such clients less. Without one only None is left.
    """
    if password and rfb.SECURITY_VNC_AUTH in offered:
        return rfb.SECURITY_VNC_AUTH
    if rfb.SECURITY_NONE in offered:
        return rfb.SECURITY_NONE
    if rfb.SECURITY_VNC_AUTH in offered:
        raise VMPasswordError("the server wants a password and none is configured")
    names = ", ".join(rfb.security_name(security_type) for security_type in offered)
    raise VMProtocolError(f"no security type in common; the server offers {names}")


def _read_result(version: bytes, security_type: int) -> Conversation[None]:
    """Read SecurityResult; only 3.8 explains a failure in words."""
    result = yield from _read_u32()
    if result == rfb.RESULT_OK:
        return
    if result not in (rfb.RESULT_FAILED, rfb.RESULT_TOO_MANY):
        raise RemoteProtocolError(f"SecurityResult is {result}")
    reason = f"SecurityResult {result}"
    if version == rfb.VERSION_3_8:
        reason = yield from _read_reason()
    if result == rfb.RESULT_FAILED and security_type == rfb.SECURITY_VNC_AUTH:
        raise VMPasswordError(reason)
    raise VMRefusedError(reason)


def _read_reason() -> Conversation[str]:
    """Read u32 length and text; what is returned may stand in a log.

    A server that hangs up instead of explaining has still refused: its end is no other failure.
    """
    try:
        size = yield from _read_u32()
        if size > MAX_REASON:
            raise RemoteProtocolError(f"a reason of {size} bytes is announced")
        text = yield Read(size)
    except PeerClosed:
        text = b""
    return rfb.clean_text(text.decode("utf-8", "replace")) or "no reason given"


def _read_u32() -> Conversation[int]:
    return int.from_bytes((yield Read(4)), "big")


def _read_server_init() -> Conversation[rfb.ServerInit]:
    head = yield Read(rfb.SERVER_INIT_SIZE)
    name = yield Read(rfb.ServerInit.name_length(head))
    return rfb.ServerInit.parse(head, name)

"""The RFB handshake towards the browser: the proxy is the server and asks for nothing.

Source: rfbproto 7.1 to 7.3. Who may enter was decided before, by the token. So security
type None is the whole offer, whatever the VM asked of the proxy; CloudStack's page and
every other VNC client know it.
"""

from __future__ import annotations

import struct
from typing import Final

from consoleproxy.errors import RemoteProtocolError
from consoleproxy.wire import rfb
from consoleproxy.wire.conversation import Conversation, Read, Send

_U32 = struct.Struct(">I")

_ONLY_NONE: Final = bytes([1, rfb.SECURITY_NONE])
_REFUSAL: Final = "this server offers security type None alone"


def accept(server_init: rfb.ServerInit) -> Conversation[None]:
    """Let a browser in and show it ``server_init``; run it when the VM's handshake is over.

    After it the stream belongs to the VM and the browser. ClientInit's shared flag is read and
    has no meaning here: the proxy told the VM its own. Raises ``RemoteProtocolError``.
    """
    yield Send(rfb.VERSION_3_8)
    version = rfb.agreed_version((yield Read(rfb.VERSION_SIZE)))
    if version == rfb.VERSION_3_3:
        yield Send(_U32.pack(rfb.SECURITY_NONE))
    else:
        yield from _offer_none(version)
    yield Read(1)
    yield Send(server_init.to_bytes())


def _offer_none(version: bytes) -> Conversation[None]:
    """Offer the list of one type; only 3.8 confirms it with a SecurityResult."""
    yield Send(_ONLY_NONE)
    chosen = (yield Read(1))[0]
    if chosen == rfb.SECURITY_NONE:
        if version == rfb.VERSION_3_8:
            yield Send(_U32.pack(rfb.RESULT_OK))
        return
    if version == rfb.VERSION_3_8:
        yield Send(_U32.pack(rfb.RESULT_FAILED) + rfb.encode_reason(_REFUSAL))
    raise RemoteProtocolError(f"security type {rfb.security_name(chosen)} chosen, only None was offered")

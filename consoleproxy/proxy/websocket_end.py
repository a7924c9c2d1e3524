"""The side of a VM that is reached through a websocket, as VMware's and QEMU's own are.

RFB is terminated like everywhere else, so frames are opened on the way in and made anew on the way
out: view-only, counters and limits work as for any VM. Bytes pass as they come, however
large a message is.
"""

from __future__ import annotations

from collections.abc import Callable

from consoleproxy.errors import RemoteProtocolError, VMProtocolError
from consoleproxy.net.masking import Masks
from consoleproxy.proxy.pace import SHARED_READ
from consoleproxy.proxy.vm_end import LimitedVMEnd, VMEnd
from consoleproxy.wire.websocket import (
    OP_BINARY,
    OP_CLOSE,
    OP_PONG,
    Binary,
    Close,
    Event,
    FrameParser,
    Ping,
    Text,
    encode_frame,
    masked_frame,
)

#: RFC 6455 section 7.4.1: we are going away.
_GOING_AWAY = (1001).to_bytes(2, "big")


class WebSocketVMEnd(VMEnd):
    """A VM behind a websocket of which we are the client."""

    # No slots: two bases that both have some could not be joined below.

    _frames: FrameParser
    _masks: Masks

    def use_websocket(self, frames: FrameParser) -> None:
        """Go on with ``frames``: called once, before there is a transport."""
        self._frames = frames
        self._masks = Masks()

    def buffer_updated(self, nbytes: int) -> None:
        """Send on what the frames hold."""
        if self.relay.is_over:
            return
        try:
            for event in self._frames.feed(self._pace.vm_room[:nbytes].tobytes()):
                self._take(event)
        except RemoteProtocolError as error:
            self.relay.end(VMProtocolError(f"websocket: {error}"))
            return
        if nbytes >= SHARED_READ:
            self._pace.filled(self, nbytes)

    def sender(self) -> Callable[[bytes], None]:
        """Return what takes bytes for the VM."""
        return self._send_binary

    def last_words(self) -> bytes:
        """Return a close frame."""
        return masked_frame(OP_CLOSE, _GOING_AWAY, self._masks.take())

    def _send_binary(self, payload: bytes) -> None:
        self._send_frame(OP_BINARY, payload)

    def _send_frame(self, opcode: int, payload: bytes) -> None:
        if self.outlet is not None:
            self.outlet.send(masked_frame(opcode, payload, self._masks.take()))

    def _take(self, event: Event) -> None:
        match event:
            case Binary(payload) if payload:
                self.relay.to_browser += len(payload)
                self._send(encode_frame(OP_BINARY, payload))
            case Ping(payload):
                # As towards a browser: who pings and never reads is not owed all its pongs.
                if self.outlet is not None and not self.outlet.transport.get_write_buffer_size():
                    self._send_frame(OP_PONG, payload)
            case Text():
                raise RemoteProtocolError("text, where RFB has only bytes")
            case Close(code):
                self.gone(f"the websocket was closed with {code}")
            case _:
                pass


class LimitedWebSocketVMEnd(LimitedVMEnd, WebSocketVMEnd):
    """A VM behind a websocket, whose bytes are counted against an allowance."""


def vm_end_class(*, is_websocket: bool, is_limited: bool) -> type[VMEnd]:
    """Return the class for a session towards a VM in clear."""
    if is_websocket:
        return LimitedWebSocketVMEnd if is_limited else WebSocketVMEnd
    return LimitedVMEnd if is_limited else VMEnd

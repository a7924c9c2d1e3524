"""The ends of a relay through TLS: the plain ones, with a record layer below them.

What is read goes through a buffer that all sessions share into the TLS session, and comes out in
the very buffer that the plain end lends to its transport: that end does not know the difference.
What is sent is encrypted at once. Nothing waits in clear, and nothing waits in TLS's own
buffers either: what the kernel does not take waits in the transport as ciphertext, where the
limits for a slow peer hold.

A peer that says close_notify has closed; one whose connection just ends was cut off, maybe by
somebody in between: the log tells the two apart.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import TYPE_CHECKING, ClassVar, Final, cast

from consoleproxy.errors import PeerClosed
from consoleproxy.net.tls_state import RECORD, TLSState
from consoleproxy.proxy.browser_end import (
    BrowserEnd,
    LimitedBrowserEnd,
    LimitedViewOnlyBrowserEnd,
    ViewOnlyBrowserEnd,
    browser_end_class,
)
from consoleproxy.proxy.end import End, Outlet, Transport
from consoleproxy.proxy.pace import LONE_READ, SHARED_READ
from consoleproxy.proxy.vm_end import LimitedVMEnd, VMEnd
from consoleproxy.proxy.websocket_end import LimitedWebSocketVMEnd, WebSocketVMEnd, vm_end_class
from consoleproxy.wire.websocket import FrameParser

if TYPE_CHECKING:
    from consoleproxy.proxy.relay import Relay

#: Ciphertext as it comes from the kernel, for all sessions of the process: a loop reads for one at a time.
_CIPHERTEXT: Final = memoryview(bytearray(LONE_READ))


class TLSOutlet(Outlet):
    """Encrypts to a transport, straight to its socket as long as nothing waits before it."""

    __slots__ = ("_state",)

    def __init__(self, transport: Transport, state: TLSState) -> None:
        super().__init__(transport)
        self._state = state

    def send(self, data: bytes | memoryview) -> None:
        """Encrypt and send ``data`` now, or as soon as the peer takes it."""
        state = self._state
        if state.is_finished or not len(data) or self.transport.is_closing():
            return
        try:
            if len(data) <= RECORD:
                self.send_records(state.seal(data))
                return
            view = memoryview(data)
            self._send_many([state.seal(view[start : start + RECORD]) for start in range(0, len(view), RECORD)])
        except ssl.SSLError:
            # The stream has a hole now, which must not be taken for its end.
            self.transport.abort()

    def send_records(self, records: bytes) -> None:
        """Send what is encrypted already."""
        super().send(records)

    def finish(self) -> None:
        """Say close_notify, then close our half."""
        self.say_close()
        super().finish()

    def say_close(self) -> None:
        """Say close_notify, once."""
        if not self.transport.is_closing() and (records := self._state.finish()):
            self.send_records(records)

    def answer(self) -> None:
        """Send what TLS itself has to say: an alert, a changed key."""
        if self._state.outgoing.pending:
            self.send_records(self._state.outgoing.read())

    def close(self) -> None:
        """Say close_notify, and close once all that waits has gone out."""
        self.say_close()
        self.transport.close()

    def _send_many(self, pieces: list[bytes]) -> None:
        """Send records in one system call where nothing waits before them."""
        sent = 0
        if not self.transport.get_write_buffer_size():
            try:
                sent = os.writev(self._fd, pieces)
            except BlockingIOError:
                pass
            except OSError:
                # The transport meets the same error when it reads, and reports it once.
                return
        for piece in pieces:
            if sent < len(piece):
                self.transport.write(piece[sent:])
            sent = max(0, sent - len(piece))


class TLSEnd(End, asyncio.BufferedProtocol):
    """What stands before a plain end in the classes below: decrypts for it, and parts as TLS does."""

    # No slots: two bases that both have some could not be joined below.

    #: Bytes asked of the kernel at once, at most, and from how many on the others should have their turn.
    _most_read: ClassVar[int]
    _full_read: ClassVar[int]
    _is_waiting: bool
    _state: TLSState

    def use(self, state: TLSState) -> None:
        """Go through ``state``: called once, before there is a transport."""
        self._state = state
        self._is_waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; then look at what came along with the last handshake."""
        super().connection_made(transport)
        self._open_records()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the shared buffer for ciphertext, as much of it as the plain end would lend of its own."""
        return _CIPHERTEXT[: min(len(self._plain_room()), self._most_read)]

    def buffer_updated(self, nbytes: int) -> None:
        """Decrypt ``nbytes``, a record's worth at a time, and give the plain end what comes out."""
        for start in range(0, nbytes, RECORD):
            if start and self._open_transport() is None:
                return
            self._state.feed(_CIPHERTEXT[start : min(start + RECORD, nbytes)])
            self._open_records(is_last=start + RECORD >= nbytes)
        if nbytes >= self._full_read:
            self.carriage.pace.filled(self, nbytes)

    def wait_turn(self) -> None:
        """Read no more in this turn of the loop, nor decrypt what has come."""
        self._is_waiting = True
        super().wait_turn()

    def take_turn(self) -> None:
        """Go on with what has come; read on if that was little."""
        self._is_waiting = False
        if self._state.has_more:
            self._open_records()
        if not self._is_waiting:
            super().take_turn()

    def eof_received(self) -> bool:
        """End the session: without a close_notify, the stream may have been cut off anywhere."""
        self.gone("truncated")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End the session, if it was not us who ended it."""
        super().connection_lost(exc)
        # The two ends of a relay hold each other until the garbage collector comes.
        self._state.release()

    def close(self, last_words: bytes = b"") -> None:
        """Say close_notify after ``last_words``, and close once all that waits has gone out."""
        if isinstance(self.outlet, TLSOutlet):
            if last_words:
                self.outlet.send(last_words)
            self.outlet.say_close()
        super().close()

    def abort(self) -> None:
        """Say close_notify where it can go, and close now."""
        if isinstance(self.outlet, TLSOutlet):
            self.outlet.say_close()
        super().abort()

    def _outlet_to(self, transport: Transport) -> Outlet:
        return TLSOutlet(transport, self._state)

    def _plain_room(self) -> memoryview:
        return cast("memoryview", super().get_buffer(-1))

    def _open_records(self, *, is_last: bool = True) -> None:
        """Give the plain end what can be decrypted; it may stop us where nothing more is to be fed in."""
        state = self._state
        try:
            while size := state.read_into(self._plain_room()):
                super().buffer_updated(size)
                if not state.has_more or (is_last and self._is_waiting):
                    break
        except PeerClosed as closed:
            self._part(str(closed))
        self._answer()

    def _answer(self) -> None:
        if self._state.outgoing.pending and isinstance(self.outlet, TLSOutlet):
            self.outlet.answer()

    def _part(self, how: str) -> None:
        self._answer()
        self.gone(how)
        self.close()


class TLSVMEnd(TLSEnd, VMEnd):
    """A VM through TLS, without limits."""

    _most_read = LONE_READ
    _full_read = SHARED_READ


class LimitedTLSVMEnd(TLSVMEnd, LimitedVMEnd):
    """A VM through TLS whose bytes are counted against an allowance."""


class TLSWebSocketVMEnd(TLSVMEnd, WebSocketVMEnd):
    """A VM through TLS and a websocket inside."""


class LimitedTLSWebSocketVMEnd(LimitedTLSVMEnd, WebSocketVMEnd):
    """A VM through TLS and a websocket inside, whose bytes are counted against an allowance."""


class TLSBrowserEnd(TLSEnd, BrowserEnd):
    """A browser through TLS that may do all, without limits.

    One record's worth is read at once: of a flood of tiny frames no more than that waits decrypted.
    """

    _most_read = RECORD
    _full_read = RECORD


class ViewOnlyTLSBrowserEnd(TLSBrowserEnd, ViewOnlyBrowserEnd):
    """A browser through TLS that may look."""


class LimitedTLSBrowserEnd(TLSBrowserEnd, LimitedBrowserEnd):
    """A browser through TLS whose bytes are counted against an allowance."""


class LimitedViewOnlyTLSBrowserEnd(TLSBrowserEnd, LimitedViewOnlyBrowserEnd):
    """A browser through TLS that may look, within its allowance."""


_TLS_VMS: Final[dict[type[VMEnd], type[TLSVMEnd]]] = {
    VMEnd: TLSVMEnd,
    LimitedVMEnd: LimitedTLSVMEnd,
    WebSocketVMEnd: TLSWebSocketVMEnd,
    LimitedWebSocketVMEnd: LimitedTLSWebSocketVMEnd,
}
_TLS_BROWSERS: Final[dict[type[BrowserEnd], type[TLSBrowserEnd]]] = {
    BrowserEnd: TLSBrowserEnd,
    ViewOnlyBrowserEnd: ViewOnlyTLSBrowserEnd,
    LimitedBrowserEnd: LimitedTLSBrowserEnd,
    LimitedViewOnlyBrowserEnd: LimitedViewOnlyTLSBrowserEnd,
}


def vm_end(relay: Relay, state: TLSState | None, websocket: FrameParser | None, *, is_limited: bool) -> VMEnd:
    """Make the VM's side of a session, of the class that asks nothing while it runs."""
    made = vm_end_class(is_websocket=websocket is not None, is_limited=is_limited)
    end = (made if state is None else _TLS_VMS[made])(relay)
    if isinstance(end, TLSEnd) and state is not None:
        end.use(state)
    if isinstance(end, WebSocketVMEnd) and websocket is not None:
        end.use_websocket(websocket)
    return end


def browser_end(
    relay: Relay, parser: FrameParser, state: TLSState | None, *, is_view_only: bool, is_limited: bool
) -> BrowserEnd:
    """Make the browser's side of a session, likewise."""
    plain = browser_end_class(is_view_only=is_view_only, is_limited=is_limited)
    if state is None:
        return plain(relay, parser)
    end = _TLS_BROWSERS[plain](relay, parser)
    end.use(state)
    return end

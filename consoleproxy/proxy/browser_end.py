"""The side of the browser in a relay: the payload of its frames goes to the VM.

One small complete frame, as nearly every key and pointer event is, takes a short way;
everything else goes through the streaming parser. ``BrowserEnd`` is the fast path and asks
nothing; a mere viewer and a session with limits get classes of their own, chosen when the
relay is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from consoleproxy.errors import BrowserClosed, BrowserLost, BrowserProtocolError, RemoteProtocolError
from consoleproxy.net.websocket import UNSUPPORTED_DATA
from consoleproxy.proxy.end import End, Hold
from consoleproxy.proxy.pace import FLOOD_READ
from consoleproxy.wire.rfb_input import ViewOnlyFilter
from consoleproxy.wire.websocket import (
    OP_PONG,
    Binary,
    Close,
    Event,
    FrameParser,
    Ping,
    Text,
    close_frame,
    encode_frame,
    small_binary_frame,
)

if TYPE_CHECKING:
    from consoleproxy.proxy.relay import Relay

#: Frames in one read from which on a browser is read in small portions, one each turn of the loop:
#: a flood of tiny frames costs a hundred times what its bytes do, and others wait meanwhile.
MANY_FRAMES: Final = 256
#: Bytes of an average frame from which on it is a flood no more.
SMALL_FRAME: Final = 64


class BrowserEnd(End, asyncio.BufferedProtocol):
    """A browser that may do all, without limits."""

    __slots__ = ("_pace", "_parser", "_room", "deliver", "relay")

    def __init__(self, relay: Relay, parser: FrameParser) -> None:
        super().__init__(relay.carriage)
        self.relay = relay
        self._parser = parser
        self._pace = relay.carriage.pace
        self._room = self._pace.browser_room
        #: Takes bytes for the VM; there from ``Relay.join`` on, and nothing is read before.
        self.deliver: Callable[[bytes], None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; the VM's is there already."""
        super().connection_made(transport)
        self.relay.join()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the shared buffer, or a small part of it while the browser floods us."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on what the frames hold; after the end of the session, look for the goodbye only."""
        data = self._room[:nbytes].tobytes()
        if self._parser.idle and not self.relay.is_over and (payload := small_binary_frame(data)) is not None:
            self.pass_on(payload)
            return
        self._read_on(data)

    def pass_on(self, payload: bytes) -> None:
        """Count and send ``payload`` to the VM."""
        relay = self.relay
        relay.input.feed(payload)
        relay.to_vm += len(payload)
        self.deliver(payload)

    def gone(self, how: str) -> None:
        """End the session: nobody is there to be told."""
        self.relay.end(BrowserLost(how))

    @property
    def other(self) -> End:
        """The VM's end."""
        return self.relay.vm

    def stalled(self) -> None:
        """End the session: the browser has not read for too long, so it would not read a goodbye either."""
        self.relay.end(BrowserLost("the browser does not read"))

    def say_goodbye(self, frames: bytes) -> None:
        """Send ``frames`` and close when the browser has answered, or at the deadline."""
        if (transport := self._open_transport()) is not None and self.outlet is not None:
            self.outlet.send(frames)
            self.carriage.patience.farewells.expect(transport)
            # The answer may wait behind data that was held back for the VM's sake.
            self.release(Hold.PEER | Hold.ALLOWANCE)
            if self._parser.is_over:
                # After a breach the answer cannot be told from more rubbish: the browser has to hang up.
                self.outlet.finish()

    def _read_on(self, data: bytes) -> None:
        """Take what is more than one small frame, or comes after the end of the session."""
        if self.relay.is_over:
            self._await_goodbye(data)
            self._slow_down()
            return
        try:
            self._parse(data)
        except RemoteProtocolError as error:
            self.relay.end(BrowserProtocolError(str(error), close_code=error.close_code))
            return
        if len(data) == len(self._pace.browser_room):
            self._pace.filled(self, len(data))

    def _slow_down(self) -> None:
        """Read a small portion in the next turn of the loop, and let the others have theirs."""
        self._room = self._pace.flood_room
        self._pace.wait(self)

    def _parse(self, data: bytes) -> None:
        before = self._parser.frames
        payloads: list[bytes] = []
        try:
            for event in self._parser.feed(data):
                if isinstance(event, Binary):
                    payloads.append(event.data)
                    continue
                if isinstance(event, Close):
                    self._flush(payloads)
                self._take(event)
        finally:
            self._flush(payloads)
        is_small = self._room is self._pace.flood_room
        if self._parser.frames - before > (FLOOD_READ // SMALL_FRAME if is_small else MANY_FRAMES):
            self._slow_down()
        else:
            self._room = self._pace.browser_room

    def _flush(self, payloads: list[bytes]) -> None:
        """Pass on together what came together: one write, however many frames it was in."""
        if payloads:
            self.pass_on(b"".join(payloads))
            payloads.clear()

    def _take(self, event: Event) -> None:
        match event:
            case Ping(payload):
                self._pong(payload)
            case Text() if not self.relay.has_events:
                raise RemoteProtocolError("text outside the page channel", close_code=UNSUPPORTED_DATA)
            case Close(code):
                self.relay.end(BrowserClosed(f"the browser closed with {code}"), reply=close_frame(code))
            case _:
                pass

    def _pong(self, payload: bytes) -> None:
        # A peer that pings and never reads must not fill our memory with pongs, and
        # RFC 6455 section 5.5.3 lets us answer the latest ping only.
        if self.outlet is not None and not self.outlet.transport.get_write_buffer_size():
            self.outlet.send(encode_frame(OP_PONG, payload))

    def _await_goodbye(self, data: bytes) -> None:
        try:
            is_done = any(isinstance(event, Close) for event in self._parser.feed(data))
        except RemoteProtocolError:
            is_done = True
        if is_done:
            self.close()


class ViewOnlyBrowserEnd(BrowserEnd):
    """A browser that may look: only what asks for pictures reaches the VM."""

    __slots__ = ("_filter",)

    def __init__(self, relay: Relay, parser: FrameParser) -> None:
        super().__init__(relay, parser)
        self._filter = ViewOnlyFilter()

    def pass_on(self, payload: bytes) -> None:
        """Send on what may pass; end the session at a message that nobody knows."""
        try:
            allowed = self._filter.feed(payload)
        except RemoteProtocolError as error:
            self.relay.end(BrowserProtocolError(str(error), close_code=error.close_code))
            return
        if allowed:
            super().pass_on(allowed)


class LimitedBrowserEnd(BrowserEnd):
    """A browser whose bytes are counted against an allowance."""

    # No slots: two bases that both have some could not be joined below.

    def __init__(self, relay: Relay, parser: FrameParser) -> None:
        super().__init__(relay, parser)
        self._allowance = relay.carriage.throttle.allowance("to vm")

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend a small part of the shared buffer."""
        return self._room[: self.carriage.throttle.portion]

    def buffer_updated(self, nbytes: int) -> None:
        """Pass the bytes on and pay for them."""
        super().buffer_updated(nbytes)
        if not self.relay.is_over:
            self.carriage.throttle.spend(self, self._allowance, nbytes)


class LimitedViewOnlyBrowserEnd(LimitedBrowserEnd, ViewOnlyBrowserEnd):
    """A browser that may look, within its allowance."""


def browser_end_class(*, is_view_only: bool, is_limited: bool) -> type[BrowserEnd]:
    """Return the class for a session, so that nothing of this is asked again while it runs."""
    if is_limited:
        return LimitedViewOnlyBrowserEnd if is_view_only else LimitedBrowserEnd
    return ViewOnlyBrowserEnd if is_view_only else BrowserEnd

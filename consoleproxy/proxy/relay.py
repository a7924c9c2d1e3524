"""The hot path: bytes between a browser's websocket and a VNC port.

One system call in, one out, nothing in between that does not have to be there:

* VM to browser: read into one buffer that the whole process shares, with room for the
  frame header in front of it; pack the header right before the payload; one
  ``os.write`` of both. What the kernel does not take goes to the transport, and then
  the VM is not read until the browser has caught up: a slow browser costs the
  kernel's buffers and little of ours.
* Browser to VM: one small complete frame, as nearly every key and pointer event is,
  takes a short way; everything else the streaming parser.

The shared buffers are safe because a loop reads for one transport at a time and
hands the bytes over before it reads again. Whatever is kept longer is copied.

The handshakes are over when a relay is made: who made it hears of the end once, by
``on_end``. No timer and no task belong to a relay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from consoleproxy.errors import (
    BrowserClosed,
    BrowserLost,
    BrowserProtocolError,
    ConsoleError,
    RemoteProtocolError,
    VMClosed,
    VMTimeoutError,
)
from consoleproxy.net.stream import Channel
from consoleproxy.net.websocket import UNSUPPORTED_DATA
from consoleproxy.proxy.end import End, Patience
from consoleproxy.wire.rfb_input import InputParser, ViewOnlyFilter
from consoleproxy.wire.websocket import (
    OP_BINARY,
    OP_PONG,
    Binary,
    Close,
    Event,
    FrameParser,
    Ping,
    Text,
    close_frame,
    encode_frame,
    frame_header,
    small_binary_frame,
)

#: Bytes read from a VM at once. Larger reads are cheaper but delay the other sessions.
VM_READ = 64 * 1024
#: Bytes read from a browser at once.
BROWSER_READ = 64 * 1024
#: Frames in one read from which on a browser is read in small portions, one each turn of the loop:
#: a flood of tiny frames costs a hundred times what its bytes do, and others wait meanwhile.
MANY_FRAMES = 256
SMALL_READ = 4 * 1024
#: Bytes of an average frame from which on it is a flood no more.
SMALL_FRAME = 64
#: The longest frame header that a server sends (RFC 6455 section 5.2).
HEADER_ROOM = 10

_vm_buffer = memoryview(bytearray(HEADER_ROOM + VM_READ))
_vm_payload = _vm_buffer[HEADER_ROOM:]
_browser_buffer = memoryview(bytearray(BROWSER_READ))
_small_browser_buffer = _browser_buffer[:SMALL_READ]


class Relay:
    """Two ends joined: ``start`` joins them, ``end`` parts them, for one reason, once.

    ``on_end`` is called with that reason and returns the frames to send to the browser as
    a goodbye. ``input.inputs`` counts what a person did; ``to_browser`` and ``to_vm`` count
    RFB bytes, without framing.
    """

    __slots__ = (
        "_browser_leftover",
        "_ended_early",
        "_is_joined",
        "_on_end",
        "_vm_leftover",
        "browser",
        "has_events",
        "input",
        "is_over",
        "patience",
        "to_browser",
        "to_vm",
        "vm",
    )

    def __init__(
        self,
        parser: FrameParser,
        *,
        has_events: bool,
        is_view_only: bool,
        patience: Patience,
        on_end: Callable[[ConsoleError], bytes],
    ) -> None:
        self.input = InputParser()
        self.has_events = has_events
        self.patience = patience
        self.to_browser = 0
        self.to_vm = 0
        self.is_over = False
        self._is_joined = False
        self._browser_leftover = self._vm_leftover = b""
        self._ended_early: ConsoleError | None = None
        self._on_end = on_end
        self.vm = VMEnd(self)
        # The class is chosen here, once, so that the fast path asks nothing.
        self.browser = (ViewOnlyBrowserEnd if is_view_only else BrowserEnd)(self, parser)

    async def start(self, browser: Channel, vm: Channel) -> None:
        """Take both channels over and deliver what was read too far.

        The VM's transport comes first: what it brings before the browser's is there waits.
        """
        loop = asyncio.get_running_loop()
        self._browser_leftover, self._vm_leftover = browser.leftover, vm.leftover
        try:
            await loop.create_connection(lambda: self.vm, sock=vm.sock)
            await loop.connect_accepted_socket(lambda: self.browser, browser.sock)
        except BaseException:
            self.vm.abort()
            for sock in (vm.sock, browser.sock):
                sock.close()
            raise

    def join(self) -> None:
        """Let bytes through: called when the second transport is there, before it has read anything."""
        self._is_joined = True
        if self._browser_leftover:
            self.browser.pass_on(self._browser_leftover)
        self.vm.open(self._vm_leftover)
        self._browser_leftover = self._vm_leftover = b""
        if self._ended_early is not None:
            self.end(self._ended_early)

    def end(self, error: ConsoleError, *, reply: bytes = b"") -> None:
        """End both sides for ``error``; ``reply`` answers a browser that has said goodbye first."""
        if not self._is_joined:
            self._ended_early = self._ended_early or error
            return
        if self.is_over:
            return
        self.is_over = True
        goodbye = self._on_end(error)
        self.vm.close()
        if isinstance(error, BrowserLost):
            self.browser.abort()
        elif reply:
            self.browser.close(reply)
        else:
            self.browser.say_goodbye(goodbye)


class VMEnd(End, asyncio.BufferedProtocol):
    """The side of the VM: what it sends becomes binary frames for the browser."""

    __slots__ = ("_early", "relay")

    def __init__(self, relay: Relay) -> None:
        super().__init__(relay.patience)
        self.relay = relay
        self._early: bytearray | None = bytearray()

    def open(self, leftover: bytes) -> None:
        """Let bytes through to the browser: first what was read too far, then what came early."""
        waiting = leftover + bytes(self._early or b"")
        self._early = None
        if waiting:
            self.relay.to_browser += len(waiting)
            self._send(encode_frame(OP_BINARY, waiting))
        self.resume_reading()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the shared buffer, without the room for the header."""
        return _vm_payload

    def buffer_updated(self, nbytes: int) -> None:
        """Frame ``nbytes`` where they lie and send them on."""
        if self._early is not None:
            self._early += _vm_payload[:nbytes]
            self.pause_reading()
            return
        header = frame_header(OP_BINARY, nbytes)
        start = HEADER_ROOM - len(header)
        _vm_buffer[start:HEADER_ROOM] = header
        self.relay.to_browser += nbytes
        self._send(_vm_buffer[start : HEADER_ROOM + nbytes])

    def eof_received(self) -> bool:
        """End the session: a VM that says no more is gone."""
        self.relay.end(VMClosed("end of file"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End the session, if it was not us who ended it."""
        self._forget()
        self.relay.end(VMClosed(str(exc or "connection closed")))

    @property
    def other(self) -> End:
        """The browser's end."""
        return self.relay.browser

    def stalled(self) -> None:
        """End the session: the VM has not read for too long."""
        self.relay.end(VMTimeoutError("the VM does not read"))
        self.abort()

    def _send(self, frame: bytes | memoryview) -> None:
        if (outlet := self.relay.browser.outlet) is not None and not self.relay.is_over:
            outlet.send(frame)


class BrowserEnd(End, asyncio.BufferedProtocol):
    """The side of the browser: the payload of its frames goes to the VM."""

    __slots__ = ("_buffer", "_is_held", "_parser", "relay")

    def __init__(self, relay: Relay, parser: FrameParser) -> None:
        super().__init__(relay.patience)
        self.relay = relay
        self._parser = parser
        self._buffer = _browser_buffer
        self._is_held = False  # by the VM, which does not keep up

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; the VM's is there already."""
        super().connection_made(transport)
        self.relay.join()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the shared buffer, or a small part of it while the browser floods us."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on what the frames hold; after the end of the session, look for the goodbye only."""
        data = bytes(_browser_buffer[:nbytes])
        if self.relay.is_over:
            self._await_goodbye(data)
            self._take_turns()
            return
        if self._parser.idle and (payload := small_binary_frame(data)) is not None:
            self.pass_on(payload)
            return
        try:
            self._parse(data)
        except RemoteProtocolError as error:
            self.relay.end(BrowserProtocolError(str(error), close_code=error.close_code))

    def pass_on(self, payload: bytes) -> None:
        """Count and send ``payload`` to the VM."""
        relay = self.relay
        relay.input.feed(payload)
        relay.to_vm += len(payload)
        if (outlet := relay.vm.outlet) is not None:
            outlet.send(payload)

    def eof_received(self) -> bool:
        """End the session: without a close frame, the browser was lost."""
        self.relay.end(BrowserLost("end of file"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End the session, if it was not us who ended it."""
        self._forget()
        self.relay.end(BrowserLost(str(exc or "connection closed")))

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
            self.relay.patience.farewells.expect(transport)
            # The answer may wait behind data that was held back for the VM's sake.
            self.resume_reading()
            if self._parser.is_over:
                # After a breach the answer cannot be told from more rubbish: the browser has to hang up.
                transport.write_eof()

    def pause_reading(self) -> None:
        """Read no more until ``resume_reading``."""
        self._is_held = True
        super().pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self._is_held = False
        super().resume_reading()

    def _take_turns(self) -> None:
        """Read a small portion in the next turn of the loop, and let the others have theirs."""
        self._buffer = _small_browser_buffer
        if (transport := self._open_transport()) is not None:
            transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._take_next_turn)

    def _take_next_turn(self) -> None:
        if not self._is_held:
            super().resume_reading()

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
        is_small = self._buffer is _small_browser_buffer
        if self._parser.frames - before > (SMALL_READ // SMALL_FRAME if is_small else MANY_FRAMES):
            self._take_turns()
        else:
            self._buffer = _browser_buffer

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

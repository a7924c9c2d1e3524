"""The side of the VM in a relay: what it sends becomes binary frames for the browser.

``VMEnd`` is the fast path and asks nothing; a session with limits gets a class of its own,
chosen when the relay is made. A recording will come in the same way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from consoleproxy.errors import VMClosed, VMTimeoutError
from consoleproxy.proxy.end import End, Hold
from consoleproxy.proxy.pace import HEADER_ROOM, SHARED_READ
from consoleproxy.wire.websocket import FINAL_BINARY, OP_BINARY, SHORT, encode_frame, frame_header

if TYPE_CHECKING:
    from consoleproxy.proxy.relay import Relay


class VMEnd(End, asyncio.BufferedProtocol):
    """A VM without limits: one read, a header before it, one write."""

    __slots__ = ("_early", "_pace", "_send", "relay")

    def __init__(self, relay: Relay) -> None:
        super().__init__(relay.carriage)
        self.relay = relay
        self._pace = relay.carriage.pace
        self._early = b""
        self._send: Callable[[bytes | memoryview], None] = self._keep

    def open(self, leftover: bytes, send: Callable[[bytes | memoryview], None]) -> None:
        """Let bytes through to the browser: first what was read too far, then what came early."""
        if leftover:
            self.relay.to_browser += len(leftover)
            send(encode_frame(OP_BINARY, leftover))
        if self._early:
            send(self._early)
        self._early = b""
        self._send = send
        self.release(Hold.START)

    def sender(self) -> Callable[[bytes], None]:
        """Return what takes bytes for the VM; there must be a transport."""
        return self.outlet.send if self.outlet is not None else _drop

    def last_words(self) -> bytes:
        """Return what is to be said before we close."""
        return b""

    def mute(self) -> None:
        """Let nothing through any more: the browser has been told the end."""
        self._send = _drop

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the shared buffer, without the room for the header."""
        return self._pace.vm_room

    def buffer_updated(self, nbytes: int) -> None:
        """Frame ``nbytes`` where they lie and send them on."""
        pace = self._pace
        memory = pace.vm_memory
        self.relay.to_browser += nbytes
        if nbytes < SHORT:
            memory[HEADER_ROOM - 2] = FINAL_BINARY
            memory[HEADER_ROOM - 1] = nbytes
            self._send(memory[HEADER_ROOM - 2 : HEADER_ROOM + nbytes])
            return
        header = frame_header(OP_BINARY, nbytes)
        start = HEADER_ROOM - len(header)
        memory[start:HEADER_ROOM] = header
        self._send(memory[start : HEADER_ROOM + nbytes])
        if nbytes >= SHARED_READ:
            pace.filled(self, nbytes)

    def gone(self, how: str) -> None:
        """End the session: there is nothing to see any more."""
        self.relay.end(VMClosed(how))

    @property
    def other(self) -> End:
        """The browser's end."""
        return self.relay.browser

    def stalled(self) -> None:
        """End the session: the VM has not read for too long."""
        self.relay.end(VMTimeoutError("the VM does not read"))
        self.abort()

    def _keep(self, frame: bytes | memoryview) -> None:
        """Keep what came before the browser's end was there, and read no more until it is."""
        self._early += frame
        self.hold(Hold.START)


def _drop(_: bytes | memoryview) -> None:
    """Do nothing with what the VM still says."""


class LimitedVMEnd(VMEnd):
    """A VM whose bytes are counted against an allowance."""

    __slots__ = ("_allowance",)

    def __init__(self, relay: Relay) -> None:
        super().__init__(relay)
        self._allowance = relay.carriage.throttle.allowance("to browser")

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend a small part of the shared buffer."""
        return self._pace.vm_room[: self.carriage.throttle.portion]

    def buffer_updated(self, nbytes: int) -> None:
        """Send the bytes on and pay for them."""
        super().buffer_updated(nbytes)
        self.carriage.throttle.spend(self, self._allowance, nbytes)

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

from consoleproxy.errors import BrowserLost, ConsoleError
from consoleproxy.net.stream import Channel
from consoleproxy.proxy.browser_end import BrowserEnd
from consoleproxy.proxy.end import Carriage
from consoleproxy.proxy.tls_end import browser_end, vm_end
from consoleproxy.proxy.vm_end import VMEnd
from consoleproxy.wire.rfb_input import InputParser
from consoleproxy.wire.websocket import FrameParser


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
        "_is_view_only",
        "_on_end",
        "_parser",
        "_vm_leftover",
        "browser",
        "carriage",
        "has_events",
        "input",
        "is_over",
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
        carriage: Carriage,
        on_end: Callable[[ConsoleError], bytes],
    ) -> None:
        self.input = InputParser()
        self.has_events = has_events
        self.carriage = carriage
        self.to_browser = 0
        self.to_vm = 0
        self.is_over = False
        self._is_joined = False
        self._browser_leftover = self._vm_leftover = b""
        self._ended_early: ConsoleError | None = None
        self._on_end = on_end
        self._parser = parser
        self._is_view_only = is_view_only
        self.vm: VMEnd
        self.browser: BrowserEnd

    async def start(self, browser: Channel, vm: Channel) -> None:
        """Take both channels over and deliver what was read too far.

        The VM's transport comes first: what it brings before the browser's is there waits.
        """
        loop = asyncio.get_running_loop()
        self._browser_leftover, self._vm_leftover = browser.leftover, vm.leftover
        # The classes are chosen here, once, so that the fast path asks nothing.
        is_limited = self.carriage.throttle.is_on
        self.vm = vm_end(self, vm.tls, vm.websocket, is_limited=is_limited)
        self.browser = browser_end(
            self, self._parser, browser.tls, is_view_only=self._is_view_only, is_limited=is_limited
        )
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
        self.browser.deliver = self.vm.sender()
        if self._browser_leftover:
            self.browser.pass_on(self._browser_leftover)
        if (outlet := self.browser.outlet) is not None:
            self.vm.open(self._vm_leftover, outlet.send)
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
        self.vm.mute()
        self.vm.close(self.vm.last_words())
        if isinstance(error, BrowserLost):
            self.browser.abort()
        elif reply:
            self.browser.close(reply)
        else:
            self.browser.say_goodbye(goodbye)

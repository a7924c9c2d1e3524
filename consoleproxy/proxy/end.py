"""One side of a relay, as both sides are: how it writes, pauses, waits and parts."""

from __future__ import annotations

import abc
import asyncio
import enum
import os
import socket
from typing import cast

from consoleproxy.proxy.deadlines import Deadlines
from consoleproxy.proxy.pace import Pace
from consoleproxy.proxy.throttle import Throttle

#: Bytes that may wait in a transport before the other side is not read any more.
WRITE_HIGH = 64 * 1024

Transport = asyncio.Transport


class Outlet:
    """Writes to a transport, straight to its socket as long as nothing waits before it."""

    __slots__ = ("_fd", "transport")

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        sock: socket.socket = transport.get_extra_info("socket")
        self._fd = sock.fileno()
        transport.set_write_buffer_limits(high=WRITE_HIGH)

    def send(self, data: bytes | memoryview) -> None:
        """Send ``data`` now, or as soon as the peer takes it; the rest is copied."""
        transport = self.transport
        # A closing transport has given its descriptor up: it may already be another's.
        if transport.is_closing():
            return
        sent = 0
        if not transport.get_write_buffer_size():
            try:
                sent = os.write(self._fd, data)
            except BlockingIOError:
                pass
            except OSError:
                # The transport meets the same error when it reads, and reports it once.
                return
            if sent == len(data):
                return
        transport.write(bytes(data[sent:]))

    def finish(self) -> None:
        """Say that nothing more will be sent; what the peer sends is still read."""
        self.transport.write_eof()


class Patience:
    """How long the relays of a process wait for a peer, in seconds, with one coarse timer for each kind.

    ``goodbye``: for a connection that closes to be closed. ``stall``: for a peer that has stopped
    reading to go on; meanwhile the other side is not read, so not even its end would be seen.
    """

    __slots__ = ("farewells", "stalls")

    def __init__(self, *, goodbye: float, stall: float) -> None:
        self.farewells: Deadlines[Transport] = Deadlines(patience=goodbye, on_late=lambda late: late.abort())
        self.stalls: Deadlines[End] = Deadlines(patience=stall, on_late=lambda late: late.stalled())

    def close(self) -> None:
        """Wait for nobody any more."""
        self.stalls.close()
        self.farewells.close()


class Carriage:
    """What the relays of a process share: how long they wait, how much they read, what they may carry."""

    __slots__ = ("pace", "patience", "throttle")

    def __init__(self, patience: Patience, throttle: Throttle) -> None:
        self.patience = patience
        self.pace = Pace()
        self.throttle = throttle

    def close(self) -> None:
        """Wait for nobody any more."""
        self.throttle.close()
        self.patience.close()


class Hold(enum.IntFlag):
    """Why a side is not read. It is read again when no reason is left."""

    PEER = 1  # the other side does not keep up
    TURN = 2  # it has had its share of this turn
    ALLOWANCE = 4  # it has used up its bandwidth
    START = 8  # the other side is not there yet


class End(abc.ABC):
    """What both ends share: a transport, its outlet, and how they pause and part."""

    __slots__ = ("_holds", "carriage", "outlet")

    def __init__(self, carriage: Carriage) -> None:
        self.carriage = carriage
        self.outlet: Outlet | None = None
        self._holds = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.outlet = self._outlet_to(cast("Transport", transport))

    def eof_received(self) -> bool:
        """End the session: a peer that says no more, and has not said goodbye, is gone."""
        self.gone("end of file")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End the session, if it was not us who ended it."""
        self._forget()
        self.gone(str(exc or "connection closed"))

    def hold(self, why: Hold) -> None:
        """Read no more until ``release`` for the same reason."""
        is_first = not self._holds
        self._holds |= why
        if is_first and (transport := self._open_transport()) is not None:
            transport.pause_reading()

    def release(self, why: int) -> None:
        """Read on, if there is no other reason not to."""
        was_held = self._holds
        self._holds &= ~why
        if was_held and not self._holds and (transport := self._open_transport()) is not None:
            transport.resume_reading()

    def wait_turn(self) -> None:
        """Read no more in this turn of the loop."""
        self.hold(Hold.TURN)

    def take_turn(self) -> None:
        """Read on."""
        self.release(Hold.TURN)

    def wait_allowance(self) -> None:
        """Read no more: the bandwidth is used up."""
        self.hold(Hold.ALLOWANCE)

    def take_allowance(self) -> None:
        """Read on."""
        self.release(Hold.ALLOWANCE)

    def close(self, last_words: bytes = b"") -> None:
        """Close once all that waits has gone out, or at the farewell's deadline."""
        if (transport := self._open_transport()) is not None and self.outlet is not None:
            if last_words:
                self.outlet.send(last_words)
            self.carriage.patience.farewells.expect(transport)
            transport.close()

    def abort(self) -> None:
        """Close now; what waits is lost."""
        if self.outlet is not None:
            self.outlet.transport.abort()

    @property
    @abc.abstractmethod
    def other(self) -> End:
        """The other side's end."""

    @abc.abstractmethod
    def gone(self, how: str) -> None:
        """End the session: this peer has gone."""

    @abc.abstractmethod
    def stalled(self) -> None:
        """End the session: this peer has not read for too long."""

    def pause_writing(self) -> None:
        """Stop reading the other side: this one does not keep up."""
        self.other.hold(Hold.PEER)
        self.carriage.patience.stalls.expect(self)

    def resume_writing(self) -> None:
        """Read the other side again."""
        self.carriage.patience.stalls.forget(self)
        self.other.release(Hold.PEER)

    def _outlet_to(self, transport: Transport) -> Outlet:
        return Outlet(transport)

    def _open_transport(self) -> Transport | None:
        if self.outlet is None or self.outlet.transport.is_closing():
            return None
        return self.outlet.transport

    def _forget(self) -> None:
        """The transport has closed: nothing of it is waited for."""
        self.carriage.patience.stalls.forget(self)
        if self.outlet is not None:
            self.carriage.patience.farewells.forget(self.outlet.transport)

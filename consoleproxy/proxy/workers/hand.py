"""One worker, as its supervisor sees it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

from consoleproxy.messages import SessionOpened
from consoleproxy.ops.samples import Snapshot
from consoleproxy.proxy.sessions import Slot
from consoleproxy.proxy.workers.line import Line
from consoleproxy.proxy.workers.orders import Accept, Give, Order
from consoleproxy.proxy.workers.slot_sockets import SlotSockets
from consoleproxy.proxy.workers.spawn import Watched

#: Gets what a worker says: the worker, the message, its id, and the open files in it.
OnWord = Callable[["Hand", Order, int | None, list[int]], None]


class Hand:
    """A worker of ``slot``, at the other end of ``sock``; ``on_lost`` is called once when it has gone.

    Without a ``process`` it is somebody who has knocked at the gate, and who has not said yet what it is.
    """

    def __init__(
        self, slot: int, pid: int, sock: socket.socket, *, on_word: OnWord, on_lost: Callable[[Hand], None]
    ) -> None:
        self.slot = slot
        self.pid = pid
        self.is_ready = False
        self.is_retired = False
        #: Whether it has told all that it carries; one that was born here carries nothing.
        self.is_known = True
        self.slots: dict[int, Slot] = {}
        self.sessions: dict[str, SessionOpened] = {}
        #: The slots whose sockets it has.
        self.accepts: tuple[int, ...] = ()
        self.snapshot: Snapshot = ()
        self.began = self.heard_at = asyncio.get_running_loop().time()
        self._on_lost = on_lost
        self.process: Watched | None = None
        self.line = Line(sock, on_message=self._hears(on_word), on_close=self._lost)

    @property
    def is_running(self) -> bool:
        """Whether it is a process that has not ended."""
        return self.process is not None and self.process.is_running

    def watch(self) -> None:
        """Take it for a worker, whose end is of interest."""
        self.process = Watched(self.pid, lambda: None)

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()

    def accept(self, slots: Sequence[int], sockets: SlotSockets) -> None:
        """Have it accept for exactly these slots, and give it the sockets that it has not."""
        if tuple(slots) == self.accepts:
            return
        for slot in slots:
            if slot not in self.accepts:
                self.line.tell(Give(slot), files=[sock.fileno() for sock in sockets[slot]])
        self.accepts = tuple(slots)
        self.line.tell(Accept(self.accepts))

    def close(self) -> None:
        """Let go of it; it may live on."""
        self.line.close()
        if self.process is not None:
            self.process.close()

    def _hears(self, on_word: OnWord) -> Callable[[Order, int | None, list[int]], None]:
        def heard(message: Order, number: int | None, files: list[int]) -> None:
            self.heard_at = asyncio.get_running_loop().time()
            on_word(self, message, number, files)

        return heard

    def _lost(self) -> None:
        # The line's end is the worker's end, or it has gone mad.
        self.kill()
        self._on_lost(self)

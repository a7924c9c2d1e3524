"""A conversation over a packet pipe: questions with numbers, answers in any order."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections.abc import Callable, Sequence

from consoleproxy.errors import ManagerAwayError, RemoteProtocolError
from consoleproxy.messages import AccessAnswer, Fault, Refusal
from consoleproxy.messages.codec import Envelope
from consoleproxy.net.packets import PacketPipe, close_files
from consoleproxy.proxy.workers.orders import CODEC, Granted, Order, Samples

log = logging.getLogger(__name__)

_ANSWERS = (Granted, AccessAnswer, Refusal, Fault, Samples)
#: What becomes of a question whose line was lost.
LOST = Refusal(ManagerAwayError.reason, "the supervisor is away")

#: Gets a message that is no answer, its id, and the open files in it, which it owns.
OnMessage = Callable[[Order, int | None, list[int]], None]
#: Sees an answer at the moment it comes, and whether somebody still waits for it.
OnAnswer = Callable[[Order, bool], None]


class Line:
    """One side of the conversation. ``start`` it; ``on_close`` is called once when the peer has gone."""

    def __init__(self, sock: socket.socket, *, on_message: OnMessage, on_close: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_close = on_close
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[asyncio.Future[Order], OnAnswer | None]] = {}
        self.pipe = PacketPipe(sock, on_packet=self._received, on_close=self._lost)

    def start(self) -> None:
        """Listen to the peer."""
        self.pipe.start()

    def tell(self, message: Order, answer_to: int | None = None, *, files: Sequence[int] = ()) -> None:
        """Say ``message``; to a peer that is gone it is not said. ``files`` must stay open until it has left."""
        self.pipe.send(CODEC.to_json(message, answer_to).encode(), files)

    def ask(self, question: Order, on_answer: OnAnswer | None = None) -> asyncio.Future[Order]:
        """Say ``question`` and return its answer to come; ``LOST`` when the peer goes. Deadlines are the caller's."""
        future: asyncio.Future[Order] = asyncio.get_running_loop().create_future()
        if not self.pipe.is_open:
            future.set_result(LOST)
            return future
        number = next(self._numbers)
        self._waiting[number] = (future, on_answer)
        self.tell(question, number)
        return future

    def close(self) -> None:
        """End the conversation from this side."""
        self.pipe.close()
        self._forget()

    def _received(self, data: bytes, files: list[int]) -> None:
        try:
            envelope: Envelope[Order] = CODEC.from_json(data.decode())
        except (UnicodeDecodeError, RemoteProtocolError) as error:
            log.error("a packet between our processes makes no sense: %s", error)  # noqa: TRY400 - the bug is the other's
            close_files(files)
            return
        if envelope.message is None:
            close_files(files)
        elif isinstance(envelope.message, _ANSWERS):
            self._answered(envelope.id, envelope.message)
        else:
            self._on_message(envelope.message, envelope.id, files)

    def _answered(self, number: int | None, answer: Order) -> None:
        future, on_answer = self._waiting.pop(number or 0, (None, None))
        if future is None:
            return
        if on_answer is not None:
            on_answer(answer, not future.done())
        if not future.done():
            future.set_result(answer)

    def _lost(self) -> None:
        self._forget()
        self._on_close()

    def _forget(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for future, _ in waiting.values():
            if not future.done():
                future.set_result(LOST)

"""Runs a wire conversation on a stream: the only place where the two meet."""

from __future__ import annotations

from typing import TypeVar, assert_never

from consoleproxy.errors import PeerClosed
from consoleproxy.net.stream import ByteStream
from consoleproxy.wire.conversation import Conversation, Read, Send, StartTLS, Step

T = TypeVar("T")


async def converse(conversation: Conversation[T], stream: ByteStream) -> T:
    """Run ``conversation`` to its end on ``stream`` and return its result.

    Run it under ``asyncio.timeout``: the deadline covers the whole handshake, so a
    peer that sends a byte a second gains nothing. Raises ``PeerClosed`` and whatever
    the conversation raises. A conversation may catch ``PeerClosed`` where the end of
    file still means something to it.
    """
    try:
        step = next(conversation)
        while True:
            try:
                answer = await _take(step, stream)
            except PeerClosed as error:
                step = conversation.throw(error)
            else:
                step = conversation.send(answer)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        conversation.close()


async def _take(step: Step, stream: ByteStream) -> bytes:
    match step:
        case Read(size):
            return await stream.read(size)
        case Send(data):
            await stream.write(data)
        case StartTLS(server_name):
            await stream.start_tls(server_name)
        case _ as never:
            assert_never(never)
    return b""

"""The Autobahn test cases, as kosoku runs them, against an echo server on our frames."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import kosoku
from websockets.http11 import Request
from websockets.server import ServerProtocol

from consoleproxy.errors import RemoteProtocolError
from consoleproxy.wire.websocket import (
    OP_BINARY,
    OP_PONG,
    OP_TEXT,
    Binary,
    Close,
    Event,
    FrameParser,
    Ping,
    Text,
    close_frame,
    encode_frame,
)

READ_SIZE = 1 << 16
#: The largest messages of the cases (9.1.6 and 9.2.6).
LARGEST = 16 << 20

#: Compression, which is never agreed on.
LEFT_OUT = ["12.*", "13.*"]
#: Cases that have no other verdict than this one.
INFORMATIONAL = {
    "7.1.6": "what a close right behind a message does to it is left open",
    "7.13.1": "close code 5000 is outside the ranges that the RFC speaks of",
    "7.13.2": "close code 65535 is outside them too",
}


class Echo:
    """One connection of the echo server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = FrameParser(LARGEST, max_text=LARGEST)
        self._message = bytearray()

    async def run(self) -> None:
        """Echo until one side says goodbye, or just goes as some cases do."""
        try:
            await self._shake_hands()
            await self._converse()
        except ConnectionError:
            pass
        finally:
            self._writer.close()

    async def _shake_hands(self) -> None:
        protocol = ServerProtocol()
        while not (events := protocol.events_received()):
            data = await self._reader.read(READ_SIZE)
            assert data, "gone before the handshake"
            protocol.receive_data(data)
        (request,) = events
        assert isinstance(request, Request)
        protocol.send_response(protocol.accept(request))
        self._writer.write(b"".join(protocol.data_to_send()))

    async def _converse(self) -> None:
        try:
            while not self._parser.is_over and (data := await self._reader.read(READ_SIZE)):
                await self._echo(data)
        except RemoteProtocolError as error:
            self._writer.write(close_frame(error.close_code, str(error)))
            # Closing at once would reset the connection and lose the frame while the peer still sends.
            self._writer.write_eof()
            while await self._reader.read(READ_SIZE):
                pass

    async def _echo(self, data: bytes) -> None:
        for event in self._parser.feed(data):
            self._writer.write(self._answer(event))
        await self._writer.drain()

    def _answer(self, event: Event) -> bytes:
        match event:
            case Binary(data, end):
                self._message += data
                if end:
                    whole, self._message = bytes(self._message), bytearray()
                    return encode_frame(OP_BINARY, whole)
            case Text(text):
                return encode_frame(OP_TEXT, text.encode())
            case Ping(payload):
                return encode_frame(OP_PONG, payload)
            case Close(code):
                return close_frame(code)
            case _:
                pass
        return b""


@asynccontextmanager
async def echo_server() -> AsyncIterator[str]:
    """Serve on a free port and give the address; at the end every connection is over."""
    over: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        over.append(asyncio.current_task())
        await Echo(reader, writer).run()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"ws://{host}:{port}"
    await asyncio.gather(*(task for task in over if task))


async def test_every_case_is_ok() -> None:
    """Each Autobahn case without compression ends with the strict verdict OK, message and close alike."""
    async with echo_server() as url:
        results = await kosoku.run_fuzzingclient(url, exclude_cases=LEFT_OUT, concurrency=2)
    verdicts = {result.case_id: (result.behavior.value, result.behavior_close.value) for result in results}
    assert dict.fromkeys(INFORMATIONAL, ("INFORMATIONAL", "INFORMATIONAL")) == {
        case: verdict for case, verdict in verdicts.items() if verdict != ("OK", "OK")
    }
    assert 301 == len(verdicts)

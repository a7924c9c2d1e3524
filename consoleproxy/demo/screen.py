"""A virtual machine's screen without the machine: a small VNC server that echoes what is typed.

The demo needs a VM whose screen lives and answers, on any computer and with no further
package. All viewers share one screen. Each has two coroutines: one reads its messages,
one sends what changed since its last update, when it asked for one. So a slow viewer
misses frames and queues nothing, and a screen that nobody watches does no work at all.
"""

from __future__ import annotations

import asyncio
import errno
import hmac
import logging
import os
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress

from consoleproxy.demo.canvas import Encoder, PixelFormat, Rect, Region
from consoleproxy.demo.desktop import HEIGHT, MODIFIERS, PALETTE, TICK_SECONDS, WIDTH, Desktop
from consoleproxy.errors import PeerClosed, RemoteProtocolError
from consoleproxy.net.handshake import converse
from consoleproxy.net.stream import SocketStream
from consoleproxy.net.tasks import Tasks
from consoleproxy.wire import rfb, vnc_auth
from consoleproxy.wire.conversation import Conversation, Read, Send

log = logging.getLogger(__name__)

#: Seconds for a viewer's whole handshake.
HANDSHAKE_SECONDS = 10.0
#: The least seconds between any two frames.
GAP_SECONDS = 0.02
#: Longest clipboard text that is read over; a viewer that sends more is ended.
MAX_CUT_TEXT = 1 << 20


def welcome(name: str, password: str, challenge: bytes) -> Conversation[None]:
    """Greet a viewer up to ServerInit (rfbproto 7.1 to 7.3), as RFB 3.8, 3.7 or 3.3.

    Asks for ``password`` where there is one, with 16 random bytes of ``challenge``.
    Raises ``RemoteProtocolError`` for a viewer that may not come in.
    """
    yield Send(rfb.VERSION_3_8)
    version = rfb.agreed_version((yield Read(rfb.VERSION_SIZE)))
    security = rfb.SECURITY_VNC_AUTH if password else rfb.SECURITY_NONE
    if version == rfb.VERSION_3_3:
        yield Send(security.to_bytes(4, "big"))
    else:
        yield Send(bytes((1, security)))
        if (yield Read(1))[0] != security:
            raise RemoteProtocolError("a security type that was not offered")
    if password:
        yield Send(challenge)
        if not hmac.compare_digest((yield Read(len(challenge))), vnc_auth.answer(password, challenge)):
            reason = rfb.encode_reason("Wrong password.") if version == rfb.VERSION_3_8 else b""
            yield Send(rfb.RESULT_FAILED.to_bytes(4, "big") + reason)
            raise RemoteProtocolError("wrong password")
    if password or version == rfb.VERSION_3_8:
        yield Send(rfb.RESULT_OK.to_bytes(4, "big"))
    yield Read(1)
    yield Send(rfb.ServerInit(WIDTH, HEIGHT, PixelFormat().pack(), name).to_bytes())


class Viewer:
    """One viewer after its handshake: run ``listen`` and ``show`` beside each other."""

    def __init__(self, stream: SocketStream, desktop: Desktop, stir: Callable[[], None]) -> None:
        self._stream = stream
        self._desktop = desktop
        self._stir = stir
        self._encoder = Encoder(PALETTE, PixelFormat())
        self._modifiers: dict[int, str] = {}
        self._wanted: Rect | None = None
        self._unsent = Region()
        self._unsent.add(desktop.canvas.area)
        self._awake = asyncio.Event()

    def mark(self, rect: Rect) -> None:
        """Note that ``rect`` changed; it is sent when the viewer asks."""
        self._unsent.add(rect)
        self._awake.set()

    async def show(self) -> None:
        """Send updates as they are asked for, until cancelled or the viewer is gone."""
        while True:
            await self._awake.wait()
            self._awake.clear()
            if update := self._next_update():
                await self._stream.write(update)
                await asyncio.sleep(GAP_SECONDS)

    def _next_update(self) -> bytes:
        """Return one FramebufferUpdate (rfbproto 7.6.1), or nothing while none is due."""
        rects = self._unsent.take(self._wanted) if self._wanted else []
        if not rects:
            return b""
        self._wanted = None
        encoded = [self._encoder.encode(rect, b"".join(self._desktop.canvas.read_rows(rect))) for rect in rects]
        return struct.pack(">xxH", len(encoded)) + b"".join(encoded)

    async def listen(self) -> None:
        """Take the viewer's messages (rfbproto 7.5) until it goes; raises as the stream does."""
        messages = {
            rfb.SET_PIXEL_FORMAT: (19, self._set_format),
            rfb.SET_ENCODINGS: (3, self._set_encodings),
            rfb.UPDATE_REQUEST: (9, self._request),
            rfb.KEY_EVENT: (7, self._press),
            rfb.POINTER_EVENT: (5, self._point),
            rfb.CLIENT_CUT_TEXT: (7, self._skip_text),
        }
        while True:
            kind = (await self._stream.read(1))[0]
            if kind not in messages:
                raise RemoteProtocolError(f"message type {kind} is not known here")
            size, take = messages[kind]
            await take(await self._stream.read(size))

    async def _set_format(self, body: bytes) -> None:
        self._encoder.pixel_format = PixelFormat.parse(body[3:])
        self._unsent.add(self._desktop.canvas.area)

    async def _set_encodings(self, body: bytes) -> None:
        count = int.from_bytes(body[1:], "big")
        self._encoder.use_encodings(struct.unpack(f">{count}i", await self._stream.read(4 * count)))

    async def _request(self, body: bytes) -> None:
        is_incremental, *area = struct.unpack(">?4H", body)
        wanted = Rect(*area).intersect(self._desktop.canvas.area)
        if not wanted.is_empty:
            self._wanted = self._wanted.union(wanted) if self._wanted else wanted
        if not is_incremental:
            self._unsent.add(wanted)
        self._awake.set()

    async def _press(self, body: bytes) -> None:
        is_down, keysym = struct.unpack(">?xxI", body)
        self._modifiers.pop(keysym, None)
        if is_down and keysym in MODIFIERS:
            self._modifiers[keysym] = MODIFIERS[keysym]
        elif is_down:
            self._desktop.press(keysym, "".join(self._modifiers.values()))
            self._stir()

    async def _point(self, body: bytes) -> None:
        buttons, x, y = struct.unpack(">BHH", body)
        self._desktop.pointer = min(x, WIDTH - 1), min(y, HEIGHT - 1)
        self._desktop.is_pressed = bool(buttons)
        self._stir()

    async def _skip_text(self, body: bytes) -> None:
        size = int.from_bytes(body[3:], "big")
        if size > MAX_CUT_TEXT:
            raise RemoteProtocolError(f"a clipboard text of {size} bytes")
        while size:
            size -= len(await self._stream.read(min(size, 4096)))


class ScreenServer:
    """A machine's screen on a loopback port: ``start`` it, hand out ``port``, ``close`` it.

    ``name`` is shown to people; a ``password`` is asked for as VncAuth. ``now`` is a clock in
    seconds; ``viewers`` are those who look. Whatever one sends, it harms its own connection alone.
    """

    def __init__(self, name: str, *, password: str = "", now: Callable[[], float] = time.monotonic) -> None:
        self.name = rfb.clean_text(name)
        self._password = password
        self._now = now
        self._started = now()
        self._desktop = Desktop(self.name)
        self.viewers: set[Viewer] = set()
        self._tasks = Tasks()
        self._stirred = asyncio.Event()
        self._listener: socket.socket | None = None
        self.port = 0
        self._is_closing = False

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one. Raises ``OSError`` where that cannot be."""
        listener = socket.create_server((host, port))
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._door = self._tasks.spawn(self._accept(listener), name=f"door of {self.name}")
        self._tasks.spawn(self._live(), name=f"life of {self.name}")

    async def close(self) -> None:
        """End every connection and stop listening; closing twice does nothing."""
        if self._listener is not None:
            # Not by cancelling: that would lose a connection that is accepted in the same moment.
            self._is_closing = True
            self._listener.shutdown(socket.SHUT_RDWR)
            await asyncio.wait([self._door])
            self._listener = None
        await self._tasks.close()

    async def _accept(self, listener: socket.socket) -> None:
        """Admit viewers until the listener is shut down."""
        with listener:
            while True:
                try:
                    sock, _ = await asyncio.get_running_loop().sock_accept(listener)
                    self._admit(sock)
                except OSError as error:
                    # Out of descriptors, the end of the listener is not told.
                    if self._is_closing or error.errno == errno.EINVAL:
                        return
                    log.warning("screen %s: no connection: %s", self.name, error)
                    await asyncio.sleep(TICK_SECONDS)

    def _admit(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = SocketStream(sock)
        task = self._tasks.spawn(self._serve(stream), name=f"viewer of {self.name}")
        # Not in the coroutine: one that is cancelled before its first step runs no line of it.
        task.add_done_callback(lambda _: stream.close())

    async def _serve(self, stream: SocketStream) -> None:
        viewer = Viewer(stream, self._desktop, self._stirred.set)
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                await converse(welcome(self.name, self._password, os.urandom(vnc_auth.CHALLENGE_SIZE)), stream)
            self.viewers.add(viewer)
            self._stirred.set()
            async with asyncio.TaskGroup() as group:
                group.create_task(viewer.listen())
                group.create_task(viewer.show())
        except* (PeerClosed, RemoteProtocolError, TimeoutError) as ended:
            log.debug("a viewer of %s ended: %s", self.name, ended.exceptions)
        finally:
            self.viewers.discard(viewer)
            self._stirred.set()

    async def _live(self) -> None:
        """Paint on every tick and every input while anybody looks, and else sleep without a timer."""
        while True:
            await self._stirred.wait()
            while self.viewers:
                self._stirred.clear()
                await self._paint()
            self._stirred.clear()

    async def _paint(self) -> None:
        seconds = self._now() - self._started
        self._desktop.paint(seconds, len(self.viewers))
        for rect in self._desktop.canvas.dirty.take(self._desktop.canvas.area):
            for viewer in self.viewers:
                viewer.mark(rect)
        await asyncio.sleep(GAP_SECONDS)
        with suppress(TimeoutError):
            # Not wait_for: Python 3.11's loses a cancellation that comes together with the event.
            async with asyncio.timeout(TICK_SECONDS - seconds % TICK_SECONDS - GAP_SECONDS):
                await self._stirred.wait()

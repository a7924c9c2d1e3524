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
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from consoleproxy.demo.canvas import Canvas, Colour, Encoder, PixelFormat, Rect, Region, TextArea
from consoleproxy.errors import PeerClosed, RemoteProtocolError
from consoleproxy.net.handshake import converse
from consoleproxy.net.stream import SocketStream
from consoleproxy.net.tasks import Tasks
from consoleproxy.wire import rfb, vnc_auth
from consoleproxy.wire.conversation import Conversation, Read, Send

log = logging.getLogger(__name__)

WIDTH, HEIGHT = 800, 600

#: Seconds for a viewer's whole handshake.
HANDSHAKE_SECONDS = 10.0
#: Seconds between two frames while nothing happens but time, and the least between any two.
TICK_SECONDS, GAP_SECONDS = 0.25, 0.02
#: Longest clipboard text that is read over; a viewer that sends more is ended.
MAX_CUT_TEXT = 1 << 20

#: Colours, as indices of the palette.
NIGHT, PANEL, EDGE, DIM, TEXT, WHITE, ACCENT, GREEN, WARM, ROSE, _FIRST_SHADE = range(11)
_COLOURS = "0b0f1e 141b30 2d3a5e 8090b4 dee6f5 ffffff 4fd1c5 86e28e f6b85c ff6b8b"
#: The header, from top to bottom.
_SHADES = (
    "4c298c 492c8d 472f8e 45328f 423590 403991 3e3c92 3b3f93 394294 374595 344996 324c97 304f99 "
    "2d529a 2b559b 29599c 265c9d 245f9e 22629f 1f65a0 1d69a1 1b6ca2 186fa3 1672a4 1476a6"
)
PALETTE: tuple[Colour, ...] = tuple(tuple(bytes.fromhex(colour)) for colour in f"{_COLOURS} {_SHADES}".split())

#: Keysyms of the X Window System, as RFB sends them (rfbproto 7.5.4).
ENTER_KEYS = frozenset({0xFF0D, 0xFF8D})
BACKSPACE = 0xFF08
LATIN_1 = range(0x20, 0x100)
KEYPAD = range(0xFFAA, 0xFFBA)
UNICODE = range(0x01000100, 0x01110000)
MODIFIERS = {0xFFE3: "Ctrl+", 0xFFE4: "Ctrl+", 0xFFE9: "Alt+", 0xFFEA: "Alt+", 0xFFEB: "Super+", 0xFFEC: "Super+"}
KEY_NAMES = {0xFF09: "Tab", 0xFF1B: "Esc", 0xFF63: "Ins", 0xFFFF: "Del"}
KEY_NAMES |= dict(enumerate(("Home", "Left", "Up", "Right", "Down", "PgUp", "PgDn", "End"), 0xFF50))
KEY_NAMES |= {0xFFBD + number: f"F{number}" for number in range(1, 13)}


def key_text(keysym: int) -> str:
    """Return the character of ``keysym``: Latin-1, keypad and Unicode keysyms have one, others none."""
    if keysym in KEYPAD:
        return chr(keysym - 0xFF80)
    code = keysym - 0x01000000 if keysym in UNICODE else keysym
    return rfb.clean_text(chr(code)) if keysym in UNICODE or keysym in LATIN_1 else ""


# Where things stand on the screen, in dots.
_HEADER_HEIGHT, _TITLE_COLUMNS = 100, 22
_BARS = Rect(608, 22, 160, 56)
_BAR_WIDTH, _BAR_GAP = 6, 2
_PANEL = Rect(24, 116, 752, 424)
_TEXT_AREA = Rect(40, 136, 720, 384)
_STATUS_X, _STATUS_Y, _STATUS_COLUMNS = 32, 558, 61
_ARM = 9

#: Heights of the bars while nobody types: a calm heart.
_BEAT = (4, 5, 4, 6, 4, 4, 12, 30, 9, 4, 6, 4)
_BAR_PER_KEY = 10
#: The caret is on for two beats and off for two.
_CARET_BEATS = 2

_HINT = "Type something: this screen echoes your keys."
_EXPLANATION = (
    ("This machine is built into the demo. It has a screen, a", TEXT),
    ("keyboard and a pointer, and everybody who looks shares them.", TEXT),
    ("", TEXT),
)


def _shade(y: int) -> int:
    return _FIRST_SHADE + y * (len(PALETTE) - _FIRST_SHADE) // _HEADER_HEIGHT


class Desktop:
    """What all viewers of one machine see; ``paint`` draws what changed onto ``canvas``."""

    def __init__(self, name: str) -> None:
        self.canvas = Canvas(WIDTH, HEIGHT)
        self.keys = 0
        self.pointer = (WIDTH // 2, HEIGHT // 2)
        self.is_pressed = False
        self._bars = deque(_BEAT * 2, maxlen=_BARS.width // (_BAR_WIDTH + _BAR_GAP))
        self._beat, self._shown_status, self._keys_in_bars = -1, "", 0
        self._under: tuple[Rect, int, list[bytes]] = (Rect(0, 0, 0, 0), WHITE, [])
        self._draw_frame(name)
        self._text = TextArea(self.canvas, _TEXT_AREA, PANEL, [(">", ACCENT), (" ", TEXT)])
        for line, colour in ((f"Welcome to {name}.", GREEN), *_EXPLANATION):
            self._text.write_line(line, colour)
        self._text.enter()

    def press(self, keysym: int, modifiers: str = "") -> None:
        """Echo one key; ``modifiers`` such as ``Ctrl+`` go before its name."""
        text = key_text(keysym)
        if keysym in KEY_NAMES or (modifiers and text):
            self._text.write(f"<{modifiers}{KEY_NAMES.get(keysym, text)}>", WARM)
        elif keysym in ENTER_KEYS:
            self._text.enter()
        elif keysym == BACKSPACE:
            self._text.erase()
        elif text:
            self._text.write(text, TEXT)
        else:
            return
        self.keys += 1

    def paint(self, seconds: float, viewers: int) -> None:
        """Bring the canvas up to date, ``seconds`` after the machine's start."""
        beat, status = int(seconds / TICK_SECONDS), self._status(int(seconds), viewers)
        rect, _, rows = self._under
        self.canvas.patch(rect.x, rect.y, rows)
        if beat != self._beat or self._text.has_changed:
            self._text.paint(PANEL if beat & _CARET_BEATS else ACCENT)
        if beat != self._beat:
            self._add_bar(_BEAT[beat % len(_BEAT)])
        if status != self._shown_status:
            self.canvas.draw_text(_STATUS_X, _STATUS_Y, status, DIM, NIGHT)
        self._put_pointer()
        self._beat, self._shown_status = beat, status

    def _status(self, seconds: int, viewers: int) -> str:
        x, y = self.pointer
        clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        who = "1 viewer" if viewers == 1 else f"{viewers} viewers"
        return f"up {clock}   {who}   {self.keys} keys   pointer {x},{y}".ljust(_STATUS_COLUMNS)

    def _draw_frame(self, name: str) -> None:
        canvas = self.canvas
        canvas.fill_rect(canvas.area, NIGHT)
        canvas.draw_rows(0, 0, [bytes((_shade(y),)) * WIDTH for y in range(_HEADER_HEIGHT)])
        is_short = len(name) <= _TITLE_COLUMNS
        canvas.draw_text(32, 12 if is_short else 30, name[: 2 * _TITLE_COLUMNS], WHITE, None, 4 if is_short else 2)
        canvas.draw_text(32, 62, _HINT, TEXT, None)
        canvas.fill_rect(_PANEL, EDGE)
        canvas.fill_rect(Rect(_PANEL.x + 2, _PANEL.y + 2, _PANEL.width - 4, _PANEL.height - 4), PANEL)

    def _add_bar(self, height: int) -> None:
        """Move the bars on by one, whose height grows with the keys since the last."""
        self._bars.append(min(_BARS.height, height + _BAR_PER_KEY * (self.keys - self._keys_in_bars)))
        self._keys_in_bars = self.keys
        rows = []
        for y in range(_BARS.height):
            ground = bytes((_shade(_BARS.y + y),))
            inks = (bytes((ACCENT,)) if height >= _BARS.height - y else ground for height in self._bars)
            rows.append(b"".join(ink * _BAR_WIDTH + ground * _BAR_GAP for ink in inks))
        self.canvas.draw_rows(_BARS.x, _BARS.y, rows)

    def _put_pointer(self) -> None:
        """Draw the pointer over everything else; only a pointer that changed makes its place dirty."""
        (x, y), ink, canvas = self.pointer, ROSE if self.is_pressed else WHITE, self.canvas
        around = Rect(x - _ARM, y - _ARM, 2 * _ARM + 1, 2 * _ARM + 1).intersect(canvas.area)
        old, self._under = self._under, (around, ink, canvas.read_rows(around))
        dirty, canvas.dirty = canvas.dirty, Region()
        for colour, width in ((NIGHT, 2), (ink, 1)):
            canvas.fill_rect(Rect(x - _ARM, y - width, 2 * _ARM + 1, 2 * width + 1), colour)
            canvas.fill_rect(Rect(x - width, y - _ARM, 2 * width + 1, 2 * _ARM + 1), colour)
        canvas.dirty = dirty
        if old[:2] != self._under[:2]:
            dirty.add(old[0])
            dirty.add(around)


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

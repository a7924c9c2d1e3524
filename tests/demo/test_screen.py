"""The built-in screen: what it shows, what it answers to viewers, and that none can harm it."""

from __future__ import annotations

import asyncio
import struct
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import asyncvnc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consoleproxy.demo import screen
from consoleproxy.demo.canvas import ENCODING_RAW, ENCODING_TIGHT, PixelFormat, Rect
from consoleproxy.demo.desktop import HEIGHT, TICK_SECONDS, WIDTH, Desktop, key_text
from consoleproxy.demo.screen import ScreenServer, welcome
from consoleproxy.errors import RemoteProtocolError
from consoleproxy.wire import rfb, vnc_auth
from consoleproxy.wire.conversation import Read, Send

WHOLE = Rect(0, 0, WIDTH, HEIGHT)
TYPED = Rect(40, 136, 732, 384)
CHALLENGE = bytes(range(16))
ENTER, BACKSPACE = 0xFF0D, 0xFF08

# --- the handshake, in bytes ----------------------------------------------------------


def greet(password: str, said: bytes) -> bytes:
    """Run the handshake against a viewer that says ``said``; return what it is told."""
    conversation = welcome("vm", password, CHALLENGE)
    told, answer = b"", None
    with suppress(StopIteration):
        while True:
            step = conversation.send(answer) if answer is not None else next(conversation)
            answer = b""
            if isinstance(step, Send):
                told += step.data
            elif isinstance(step, Read):
                if len(said) < step.size:
                    raise EOFError(told)
                answer, said = said[: step.size], said[step.size :]
    assert b"" == said
    return told


INIT = rfb.ServerInit(WIDTH, HEIGHT, PixelFormat().pack(), "vm").to_bytes()
PROOF = vnc_auth.answer("secret12", CHALLENGE)


@pytest.mark.parametrize(
    ("password", "said", "expected"),
    [
        ("", rfb.VERSION_3_8 + b"\1\1", rfb.VERSION_3_8 + b"\1\1" + bytes(4) + INIT),
        ("", rfb.VERSION_3_7 + b"\1\1", rfb.VERSION_3_8 + b"\1\1" + INIT),
        ("", rfb.VERSION_3_3 + b"\1", rfb.VERSION_3_8 + b"\0\0\0\1" + INIT),
        ("secret12", rfb.VERSION_3_8 + b"\2" + PROOF + b"\0", rfb.VERSION_3_8 + b"\1\2" + CHALLENGE + bytes(4) + INIT),
        ("secret12", rfb.VERSION_3_7 + b"\2" + PROOF + b"\0", rfb.VERSION_3_8 + b"\1\2" + CHALLENGE + bytes(4) + INIT),
        ("secret12", rfb.VERSION_3_3 + PROOF + b"\1", rfb.VERSION_3_8 + b"\0\0\0\2" + CHALLENGE + bytes(4) + INIT),
    ],
)
def test_every_version_is_welcomed_in_its_own_way(password: str, said: bytes, expected: bytes) -> None:
    """RFB 3.3, 3.7 and 3.8, without and with a password, differ in lists and results."""
    assert expected == greet(password, said)


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("", b"GET / HTTP/1"),
        ("", rfb.VERSION_3_8 + b"\2"),
        ("secret12", rfb.VERSION_3_8 + b"\1\1"),
        ("secret12", rfb.VERSION_3_8 + b"\2" + bytes(16)),
        ("secret12", rfb.VERSION_3_3 + bytes(16)),
    ],
)
def test_who_may_not_come_in_is_refused(password: str, said: bytes) -> None:
    """No RFB, a security type that was not offered, or a wrong password: the viewer is ended."""
    with pytest.raises(RemoteProtocolError):
        greet(password, said)


@given(st.sampled_from(["", "secret12"]), st.binary(max_size=60))
def test_any_bytes_are_taken_or_refused(password: str, said: bytes) -> None:
    """The handshake waits for more, ends well, or raises ``RemoteProtocolError``, and nothing else."""
    with suppress(RemoteProtocolError, EOFError, AssertionError):
        greet(password, rfb.VERSION_3_8[: len(said) % 13] + said)


# --- the desktop ----------------------------------------------------------------------


def picture(desktop: Desktop) -> bytes:
    """Return all dots."""
    return b"".join(desktop.canvas.read_rows(WHOLE))


def painted(*keys: int, modifiers: str = "", seconds: float = 1.0) -> bytes:
    """Return the picture of a desktop after some keys."""
    desktop = Desktop("vm")
    for key in keys:
        desktop.press(key, modifiers)
    desktop.keys = 0
    desktop.paint(seconds, 1)
    return picture(desktop)


@pytest.mark.parametrize(
    ("keysym", "expected"),
    [
        (0x41, "A"),
        (0xE4, "ä"),
        (0xFFB7, "7"),
        (0xFFAB, "+"),
        (0x010020AC, "€"),
        (0x01004E2D, "中"),
        (0xAD, "\xad"),
        (0x80, ""),
        (0x1F, ""),
        (0xFFE1, ""),
        (0x0100D800, ""),
        (0x0100202E, ""),
        (0x01110000, ""),
        (0xFFFFFFFF, ""),
    ],
)
def test_keysyms_become_characters(keysym: int, expected: str) -> None:
    """Latin-1, keypad and Unicode keysyms are read; control and bidi characters and the rest are not."""
    assert expected == key_text(keysym)


@given(st.lists(st.integers(0, 0xFFFFFFFF) | st.sampled_from([ENTER, BACKSPACE, 0x41, 0xFF1B]), max_size=60))
def test_no_key_breaks_the_desktop(keys: list[int]) -> None:
    """Whatever 32 bits a viewer calls a key."""
    assert WIDTH * HEIGHT == len(painted(*keys))


def test_typing_enter_and_backspace_show() -> None:
    """Keys appear, backspace takes them back, Enter starts a line."""
    empty, letter, line = painted(), painted(0x41), painted(ENTER)
    assert 3 == len({empty, letter, line})
    assert empty == painted(0x41, BACKSPACE)
    assert empty == painted(BACKSPACE)


def test_keys_without_a_character_show_their_names() -> None:
    """Ctrl+Alt+Del and F1 are told in words."""
    shown = painted(0xFFFF, modifiers="Ctrl+Alt+"), painted(0xFFBE), painted(0x63, modifiers="Ctrl+"), painted(0x63)
    assert 4 == len(set(shown))
    assert painted() not in shown
    assert painted() == painted(0xFFE1)


def test_time_alone_changes_little() -> None:
    """A tick redraws the moving parts only; no time, no input: nothing at all."""
    desktop = Desktop("vm")
    desktop.paint(10.0, 1)
    desktop.canvas.dirty.take(WHOLE)
    desktop.paint(10.1, 1)
    assert [] == desktop.canvas.dirty.take(WHOLE)
    desktop.paint(10.25, 1)
    moved = desktop.canvas.dirty.take(WHOLE)
    assert moved
    assert sum(rect.width * rect.height for rect in moved) < WIDTH * HEIGHT // 20


@pytest.mark.parametrize("place", [(0, 0), (WIDTH - 1, HEIGHT - 1), (60, 150), (400, 50)])
def test_the_pointer_leaves_no_trace(place: tuple[int, int]) -> None:
    """Where the pointer was, and what was drawn below it meanwhile, is as if it had never been there."""
    desktop, expected = Desktop("vm"), Desktop("vm")
    desktop.pointer = place
    desktop.paint(1.0, 1)
    desktop.press(0x41)
    desktop.paint(1.0, 1)
    desktop.pointer = expected.pointer
    desktop.paint(2.0, 1)
    expected.paint(1.0, 1)
    expected.press(0x41)
    expected.paint(2.0, 1)
    assert picture(expected) == picture(desktop)


def test_a_pressed_pointer_looks_different() -> None:
    """A button changes the pointer's colour, and its place becomes dirty."""
    desktop = Desktop("vm")
    desktop.paint(1.0, 1)
    before = picture(desktop)
    desktop.canvas.dirty.take(WHOLE)
    desktop.is_pressed = True
    desktop.paint(1.0, 1)
    assert before != picture(desktop)
    assert [Rect(WIDTH // 2 - 9, HEIGHT // 2 - 9, 19, 19)] == desktop.canvas.dirty.take(WHOLE)


@pytest.mark.parametrize("name", ["", "x" * 22, "x" * 23, "x" * 500, "中文"])
def test_any_name_fits(name: str) -> None:
    """Short names are large, long ones small and cut."""
    assert picture(Desktop(name)) != picture(Desktop("vm"))


# --- the server -----------------------------------------------------------------------


class RawViewer:
    """A viewer in plain bytes, with 32 bits a pixel in Raw unless it asked for something else."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.init = b""

    async def enter(self) -> None:
        """Go through the handshake of RFB 3.8 without a password."""
        self.writer.write(rfb.VERSION_3_8 + b"\1\1")
        told = await self.reader.readexactly(12 + 2 + 4 + rfb.SERVER_INIT_SIZE)
        self.init = told[18:] + await self.reader.readexactly(int.from_bytes(told[-4:], "big"))

    def ask(self, area: Rect = WHOLE, *, is_incremental: bool = True) -> None:
        """Ask for an update."""
        self.writer.write(struct.pack(">B?4H", 3, is_incremental, area.x, area.y, area.width, area.height))

    def type(self, *keys: int) -> None:
        """Press and release."""
        self.writer.write(b"".join(struct.pack(">B?xxI", 4, down, key) for key in keys for down in (True, False)))

    async def update(self, pixel_size: int = 4) -> dict[Rect, bytes]:
        """Read one FramebufferUpdate of Raw rectangles."""
        async with asyncio.timeout(20):
            kind, count = struct.unpack(">BxH", await self.reader.readexactly(4))
            assert 0 == kind
            rectangles = {}
            for _ in range(count):
                *place, encoding = struct.unpack(">HHHHi", await self.reader.readexactly(12))
                assert ENCODING_RAW == encoding
                rect = Rect(*place)
                rectangles[rect] = await self.reader.readexactly(rect.width * rect.height * pixel_size)
            return rectangles

    async def changed(self, area: Rect, *, height: int = 0) -> Rect:
        """Ask for updates until something inside ``area`` changed that is so high, and return what."""
        while True:
            self.ask()
            for rect in await self.update():
                if area.contains(rect) and rect.height >= height:
                    return rect

    async def ended(self) -> bool:
        """Wait until the server ends the connection."""
        async with asyncio.timeout(20):
            with suppress(ConnectionError):
                while await self.reader.read(65536):
                    pass
        return True


Enter = Callable[[], Awaitable[RawViewer]]


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[RawViewer]:
    """Connect without a word."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield RawViewer(reader, writer)
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


@pytest.fixture
async def server() -> AsyncIterator[ScreenServer]:
    """A machine without a password."""
    server = ScreenServer("Demo VM")
    await server.start()
    yield server
    await server.close()


@pytest.fixture
async def enter(server: ScreenServer) -> AsyncIterator[Enter]:
    """Let raw viewers in."""
    async with AsyncExitStack() as stack:

        async def come_in() -> RawViewer:
            viewer = await stack.enter_async_context(connection(server.port))
            await viewer.enter()
            return viewer

        yield come_in


async def test_typing_changes_the_pixels(server: ScreenServer) -> None:
    """An independent client sees its own keys on the screen, and nowhere but in the text and the counters."""
    async with asyncio.timeout(20), asyncvnc.connect("127.0.0.1", server.port) as client:
        before = await client.screenshot()
        client.keyboard.write("hello")
        # The five cells after the prompt, but for the columns where the caret blinked.
        while (before == (after := await client.screenshot()))[232:256, 76:124].all():
            pass
        assert "Demo VM" == client.video.name
        assert (before == after)[116:232].all()
        assert (before == after)[256:540].all()


@pytest.mark.usefixtures("no_sockets_left_open")
async def test_the_right_password_is_taken() -> None:
    """VncAuth lets in who knows the password."""
    server = ScreenServer("Demo VM", password="secret12")
    await server.start()
    async with asyncio.timeout(20), asyncvnc.connect("127.0.0.1", server.port, password="secret12") as client:
        assert (HEIGHT, WIDTH, 4) == (await client.screenshot()).shape
    await server.close()


async def test_a_wrong_password_is_refused_in_words() -> None:
    """Result 1 and a reason, then the end."""
    server = ScreenServer("Demo VM", password="secret12")
    await server.start()
    async with connection(server.port) as viewer:
        viewer.writer.write(rfb.VERSION_3_8 + b"\2" + bytes(16))
        told = await viewer.reader.read()
    await server.close()
    assert rfb.VERSION_3_8 + b"\1\2" == told[:14]
    assert b"\0\0\0\1" + rfb.encode_reason("Wrong password.") == told[30:]


async def test_each_challenge_is_new() -> None:
    """A proof that was overheard opens nothing later."""
    server = ScreenServer("Demo VM", password="secret12")
    await server.start()
    challenges = set()
    for _ in range(3):
        async with connection(server.port) as viewer:
            viewer.writer.write(rfb.VERSION_3_8 + b"\2")
            challenges.add((await viewer.reader.readexactly(30))[14:])
    await server.close()
    assert 3 == len(challenges)


async def test_the_first_update_is_the_whole_screen(enter: Enter) -> None:
    """Whatever a viewer asks first, it gets everything, once."""
    viewer = await enter()
    viewer.ask()
    assert WHOLE in await viewer.update()
    viewer.ask()
    assert WHOLE not in await viewer.update()


async def test_the_screen_lives(enter: Enter) -> None:
    """Without any input, parts of it change again and again."""
    viewer = await enter()
    viewer.ask()
    await viewer.update()
    for _ in range(3):
        viewer.ask()
        changed = await viewer.update()
        assert 0 < sum(map(len, changed.values())) < 4 * WIDTH * HEIGHT // 10


async def test_updates_come_only_when_asked_for(enter: Enter) -> None:
    """One request, one update, whatever happens on the screen meanwhile."""
    quiet, busy = await enter(), await enter()
    quiet.ask()
    await quiet.update()
    for _ in range(3):
        await busy.changed(Rect(600, 0, 200, 100))
    quiet.ask(Rect(0, 0, 16, 16), is_incremental=False)
    assert [Rect(0, 0, 16, 16)] == list(await quiet.update())


async def test_only_the_area_asked_for_is_sent(enter: Enter) -> None:
    """What changed elsewhere is kept for a later request."""
    viewer = await enter()
    viewer.ask(Rect(0, 0, 40, 30))
    assert [Rect(0, 0, 40, 30)] == list(await viewer.update())
    viewer.ask(Rect(790, 590, 500, 500))
    assert [Rect(790, 590, 10, 10)] == list(await viewer.update())
    viewer.ask()
    rest = await viewer.update()
    assert WIDTH * HEIGHT - 40 * 30 - 10 * 10 <= sum(rect.width * rect.height for rect in rest)


async def test_all_viewers_share_one_screen(enter: Enter) -> None:
    """What one types, the other sees, and both are counted."""
    one, other = await enter(), await enter()
    other.ask()
    await other.update()
    one.type(*map(ord, "hi"), ENTER)
    # A caret that blinks is lower than a line.
    async with asyncio.timeout(20):
        line = await other.changed(Rect(40, 232, 732, 48), height=24)
    assert 232 == line.y


async def test_pixels_come_in_the_size_asked_for(enter: Enter) -> None:
    """SetPixelFormat holds from the next update on, which is the whole screen."""
    viewer = await enter()
    rgb565 = PixelFormat(bits=16, depth=16, maxima=(31, 63, 31), shifts=(11, 5, 0))
    viewer.writer.write(b"\0\0\0\0" + rgb565.pack())
    viewer.ask()
    pixels = (await viewer.update(pixel_size=2))[WHOLE]
    # The header's first row: one violet.
    assert {pixels[:2]} == {pixels[at : at + 2] for at in range(0, 2 * WIDTH, 2)}
    assert rgb565.pixel((0x4C, 0x29, 0x8C)) == pixels[:2]


async def test_tight_makes_the_picture_small(enter: Enter) -> None:
    """A whole screen costs a viewer that knows Tight less than a fiftieth of Raw."""
    viewer = await enter()
    viewer.writer.write(struct.pack(">BxH2i", 2, 2, ENCODING_TIGHT, ENCODING_RAW))
    viewer.ask()
    head = await viewer.reader.readexactly(16)
    assert struct.pack(">4Hi", 0, 0, WIDTH, HEIGHT, ENCODING_TIGHT) == head[4:]
    palette = 3 * (1 + (await viewer.reader.readexactly(3))[2])
    low, middle, high = (await viewer.reader.readexactly(palette + 3))[palette:]
    # Seven bits a byte, as long as the eighth says that there are more.
    length = (low & 0x7F) + ((middle & 0x7F) << 7) + (high << 14 if middle >= 0x80 else 0)
    assert low >= 0x80
    assert length < 4 * WIDTH * HEIGHT // 50


async def test_clipboard_text_is_read_over(enter: Enter) -> None:
    """A viewer may paste; the machine has no clipboard and goes on."""
    viewer = await enter()
    viewer.writer.write(struct.pack(">BxxxI", 6, 100_000) + bytes(100_000))
    viewer.ask()
    assert WHOLE in await viewer.update()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x99" * 100,
        struct.pack(">BxxxI", 6, 0xFFFFFFFF),
        b"\0\0\0\0" + bytes(16),
        bytes(range(256)) * 40,
        b"\2\0\xff\xff" + bytes(3) + b"\x63" * 300_000,
    ],
)
async def test_garbage_ends_its_viewer_alone(enter: Enter, garbage: bytes) -> None:
    """A viewer that breaks the protocol is ended; another one does not notice."""
    bad, good = await enter(), await enter()
    bad.writer.write(garbage)
    assert await bad.ended()
    good.ask()
    assert WHOLE in await good.update()


async def test_a_viewer_that_goes_is_forgotten(server: ScreenServer, enter: Enter) -> None:
    """The count on the screen follows those who are there."""
    counts: list[int] = []
    for _ in range(2):
        async with connection(server.port) as viewer:
            await viewer.enter()
            viewer.ask()
            await viewer.update()
    watcher = await enter()
    while counts[-1:] != [1]:
        watcher.ask()
        await watcher.update()
        counts.append(len(server.viewers))
        assert len(counts) < 100


async def test_a_slow_viewer_queues_nothing(enter: Enter) -> None:
    """Thousands of requests of a viewer that reads nothing cost one frame, and the others wait for none of them."""
    slow, good = await enter(), await enter()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(30):
            for _ in range(100):
                slow.ask(is_incremental=False)
            good.type(0x41)
            good.ask()
            await good.update()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A frame is 1.9 MB; one is being sent, another being made.
    assert after - before < 6 * WIDTH * HEIGHT * 4


async def test_the_handshake_has_a_deadline(server: ScreenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who connects and says nothing is ended."""
    monkeypatch.setattr(screen, "HANDSHAKE_SECONDS", 0.1)
    async with connection(server.port) as viewer:
        assert await viewer.ended()


async def test_nobody_looks_and_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first viewer and after the last, no frame is painted."""
    frames: list[float] = []

    def now() -> float:
        frames.append(time.monotonic())
        return frames[-1]

    monkeypatch.setattr(screen, "HANDSHAKE_SECONDS", 3 * TICK_SECONDS)
    server = ScreenServer("Demo VM", now=now)
    await server.start()
    # A silent connection ends three ticks later: in that time frames would have been painted.
    async with connection(server.port) as silent:
        assert await silent.ended()
    assert 1 == len(frames)
    async with connection(server.port) as viewer:
        await viewer.enter()
        for _ in range(3):
            viewer.ask()
            await viewer.update()
    while server.viewers:  # noqa: ASYNC110 - the machine tells nobody
        await asyncio.sleep(0)
    painted_frames = len(frames)
    assert 3 <= painted_frames
    async with connection(server.port) as silent:
        assert await silent.ended()
    await server.close()
    assert len(frames) - painted_frames <= 1


@pytest.mark.usefixtures("no_sockets_left_open")
async def test_closing_ends_everything() -> None:
    """Viewers in every state see the end; the port is free again; closing twice does nothing."""
    server = ScreenServer("Demo VM")
    await server.start()
    async with connection(server.port) as silent, connection(server.port) as slow, connection(server.port) as viewer:
        await silent.reader.readexactly(12)
        await slow.enter()
        for _ in range(50):
            slow.ask(is_incremental=False)
        await viewer.enter()
        viewer.ask()
        await viewer.update()
        await server.close()
        assert [True] * 3 == [await each.ended() for each in (silent, slow, viewer)]
    await server.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", server.port)


@pytest.mark.usefixtures("no_sockets_left_open")
async def test_closing_right_after_a_connection_leaves_nothing() -> None:
    """A viewer that was taken in but not served yet is closed too."""
    server = ScreenServer("Demo VM")
    await server.start()
    async with connection(server.port) as viewer:
        await server.close()
        assert await viewer.ended()

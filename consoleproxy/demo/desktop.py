"""What the demo's built-in VM shows: a title, a living header, what was typed, and a status line."""

from __future__ import annotations

from collections import deque

from consoleproxy.demo.canvas import Canvas, Colour, Rect, Region, TextArea
from consoleproxy.wire import rfb

WIDTH, HEIGHT = 800, 600
#: Seconds between two frames while nothing happens but time.
TICK_SECONDS = 0.25

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

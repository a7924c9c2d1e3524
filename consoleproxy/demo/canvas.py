"""A framebuffer of palette indices, and how a viewer's pixel format shows it.

One byte for each dot, whatever the viewer asked for: drawing and scrolling stay cheap,
and a viewer's pixels are made by one ``bytes.translate`` for each byte of its pixel.
Nothing here waits or knows a clock.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, reduce
from itertools import groupby
from operator import itemgetter
from typing import Self, TypeAlias

from consoleproxy.demo import font
from consoleproxy.errors import RemoteProtocolError

#: Red, green and blue, 0 to 255 each.
Colour: TypeAlias = tuple[int, ...]

#: A character and its colour's index.
Cell: TypeAlias = tuple[str, int]

#: Dots of a character as ``TextArea`` writes it, at the font's scale 2.
CELL_WIDTH = 2 * font.CELL_WIDTH
CELL_HEIGHT = 2 * font.CELL_HEIGHT

#: More dirty rectangles than this become one around them all, so that a region stays small.
MAX_RECTANGLES = 16

#: Colours in a palette: what one byte can say.
PALETTE_SIZE = 256

#: Encodings that ``Encoder`` writes (rfbproto 7.7).
ENCODING_RAW = 0
ENCODING_TIGHT = 7

_TIGHT_FILTERED = 0x40
_TIGHT_PALETTE = 1
#: Tight sends less than this many bytes as they are.
_TIGHT_PLAIN_BELOW = 12
#: The cheapest of zlib's levels: flat colours shrink well under any.
_LEVEL = 1

_RECTANGLE = struct.Struct(">HHHHi")
_PIXEL_FORMAT = struct.Struct(">BBBBHHHBBB3x")
_PIXEL_BITS = (8, 16, 32)
_TRUE_COLOUR_DEPTH = 24
_BYTE_BITS = 8
_BYTE_MAX = 255
_FULL = (_BYTE_MAX, _BYTE_MAX, _BYTE_MAX)


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle of dots; empty when a side is not positive."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column that is not inside."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """The first row that is not inside."""
        return self.y + self.height

    @property
    def is_empty(self) -> bool:
        """Say whether it holds no dot."""
        return self.width <= 0 or self.height <= 0

    def contains(self, other: Rect) -> bool:
        """Say whether ``other`` lies inside."""
        return self.intersect(other) == other

    def intersect(self, other: Rect) -> Rect:
        """Return what both hold; maybe empty."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        return Rect(x, y, min(self.right, other.right) - x, min(self.bottom, other.bottom) - y)

    def union(self, other: Rect) -> Rect:
        """Return the smallest rectangle around both."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        return Rect(x, y, max(self.right, other.right) - x, max(self.bottom, other.bottom) - y)

    def minus(self, other: Rect) -> list[Rect]:
        """Return up to four rectangles: this one without ``other``."""
        hole = self.intersect(other)
        if hole.is_empty:
            return [self]
        pieces = (
            Rect(self.x, self.y, self.width, hole.y - self.y),
            Rect(self.x, hole.bottom, self.width, self.bottom - hole.bottom),
            Rect(self.x, hole.y, hole.x - self.x, hole.height),
            Rect(hole.right, hole.y, self.right - hole.right, hole.height),
        )
        return [piece for piece in pieces if not piece.is_empty]


class Region:
    """What changed and was not sent yet: a few rectangles, never more than ``MAX_RECTANGLES``."""

    def __init__(self) -> None:
        self._rects: list[Rect] = []

    def add(self, rect: Rect) -> None:
        """Add ``rect``; what it covers is forgotten."""
        if rect.is_empty or any(known.contains(rect) for known in self._rects):
            return
        self._rects = [known for known in self._rects if not rect.contains(known)]
        self._rects.append(rect)
        if len(self._rects) > MAX_RECTANGLES:
            self._rects = [reduce(Rect.union, self._rects)]

    def take(self, area: Rect) -> list[Rect]:
        """Take out and return what lies inside ``area``."""
        taken = [rect for known in self._rects if not (rect := known.intersect(area)).is_empty]
        left = [piece for known in self._rects for piece in known.minus(area)]
        self._rects = []
        for piece in left:
            self.add(piece)
        return taken


class Canvas:
    """A picture of ``width`` by ``height`` dots; it remembers in ``dirty`` what changed.

    Whatever reaches over the edge is cut off. Colours are indices of the palette.
    """

    def __init__(self, width: int, height: int) -> None:
        self.area = Rect(0, 0, width, height)
        self.dirty = Region()
        self._dots = bytearray(width * height)

    def read_rows(self, rect: Rect) -> list[bytes]:
        """Return the dots of ``rect``, which must lie inside the canvas, a string for each row."""
        stride = self.area.width
        starts = range(rect.y * stride + rect.x, rect.bottom * stride + rect.x, stride)
        return [bytes(self._dots[start : start + rect.width]) for start in starts]

    def draw_rows(self, x: int, y: int, rows: Sequence[bytes]) -> None:
        """Put ``rows`` of equal length down from (``x``, ``y``)."""
        self.dirty.add(self.patch(x, y, rows))

    def patch(self, x: int, y: int, rows: Sequence[bytes]) -> Rect:
        """Do as ``draw_rows`` without marking it dirty, and return the rectangle that it covers."""
        rect = Rect(x, y, len(rows[0]) if rows else 0, len(rows)).intersect(self.area)
        stride = self.area.width
        cut = slice(rect.x - x, rect.right - x)
        if not rect.is_empty:
            for line in range(rect.y, rect.bottom):
                start = line * stride + rect.x
                self._dots[start : start + rect.width] = rows[line - y][cut]
        return rect

    def fill_rect(self, rect: Rect, colour: int) -> None:
        """Fill ``rect`` with one colour."""
        seen = rect.intersect(self.area)
        if not seen.is_empty:
            self.draw_rows(seen.x, seen.y, [bytes((colour,)) * seen.width] * seen.height)

    def draw_text(self, x: int, y: int, text: str, colour: int, ground: int | None, scale: int = 2) -> None:
        """Write ``text`` with its upper left corner at (``x``, ``y``).

        ``ground`` None keeps what lies below, as far as each row has one colour there.
        """
        rows = font.draw(text, scale)
        if ground is None:
            grounds = [self._at(x, y + line) for line in range(len(rows))]
            rows = [row.translate(_ink(colour, below)) for row, below in zip(rows, grounds, strict=True)]
        else:
            rows = [row.translate(_ink(colour, ground)) for row in rows]
        self.draw_rows(x, y, rows)

    def _at(self, x: int, y: int) -> int:
        is_inside = 0 <= x < self.area.width and 0 <= y < self.area.height
        return self._dots[y * self.area.width + x] if is_inside else 0


@cache
def _ink(colour: int, ground: int) -> bytes:
    return bytes.maketrans(b"\x00\x01", bytes((ground, colour)))


class TextArea:
    """Typed text inside ``area``: lines that wrap and scroll, drawn at ``paint`` where they changed.

    ``prompt`` opens each new line and is never erased; a wrapped line is indented as much.
    """

    def __init__(self, canvas: Canvas, area: Rect, ground: int, prompt: Sequence[Cell]) -> None:
        self._canvas = canvas
        self._area = area
        self._ground = ground
        self._prompt = list(prompt)
        self._indent: list[Cell] = [(" ", ground)] * len(prompt)
        self._columns = area.width // CELL_WIDTH
        self._rows = area.height // CELL_HEIGHT
        self._lines: list[list[Cell]] = []
        self._changed: set[int] = set()

    @property
    def has_changed(self) -> bool:
        """Say whether there is anything to paint."""
        return bool(self._changed)

    def write(self, text: str, colour: int) -> None:
        """Append ``text`` at the caret."""
        for letter in text:
            if len(self._lines[-1]) >= self._columns:
                self._start_line(self._indent)
            self._lines[-1].append((letter, colour))
        self._touch()

    def write_line(self, text: str, colour: int) -> None:
        """Append a line without a prompt, cut at the edge."""
        self._start_line([(letter, colour) for letter in text[: self._columns]])

    def enter(self) -> None:
        """Start a new line with a prompt."""
        self._start_line(self._prompt)

    def erase(self) -> None:
        """Take back one character, never a prompt."""
        line = self._lines[-1]
        self._touch()
        if len(line) > len(self._prompt):
            line.pop()
        elif line == self._indent:
            self._lines.pop()
            self.erase()

    def paint(self, caret: int) -> None:
        """Draw what changed, and the caret in the colour ``caret``."""
        for row in self._changed:
            self._paint_line(row)
        self._changed.clear()
        row = len(self._lines) - 1
        x, y = self._area.x + len(self._lines[row]) * CELL_WIDTH, self._area.y + row * CELL_HEIGHT
        self._canvas.fill_rect(Rect(x, y + 2, CELL_WIDTH - 2, CELL_HEIGHT - 4), caret)

    def _paint_line(self, row: int) -> None:
        cells = self._lines[row] if row < len(self._lines) else []
        # One cell more than a line holds, for the caret at its end.
        padded = [*cells, *[(" ", self._ground)] * (self._columns + 1 - len(cells))]
        x, y = self._area.x, self._area.y + row * CELL_HEIGHT
        for colour, run in groupby(padded, key=itemgetter(1)):
            text = "".join(letter for letter, _ in run)
            self._canvas.draw_text(x, y, text, colour, self._ground)
            x += len(text) * CELL_WIDTH

    def _start_line(self, cells: Sequence[Cell]) -> None:
        if self._lines:
            self._touch()
        self._lines.append(list(cells))
        if len(self._lines) > self._rows:
            del self._lines[0]
            self._changed.update(range(self._rows))
        self._touch()

    def _touch(self) -> None:
        self._changed.add(len(self._lines) - 1)


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How a viewer wants its pixels (rfbproto 7.4), true colour only.

    ``bits`` is 8, 16 or 32 a pixel; ``maxima`` and ``shifts`` are red's, green's and blue's.
    """

    bits: int = 32
    depth: int = _TRUE_COLOUR_DEPTH
    is_big_endian: bool = False
    maxima: tuple[int, ...] = _FULL
    shifts: tuple[int, ...] = (16, 8, 0)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read the 16 bytes of SetPixelFormat; raise ``RemoteProtocolError`` for what is not drawn here."""
        bits, depth, is_big_endian, is_true_colour, *colours = _PIXEL_FORMAT.unpack(data)
        wanted = cls(bits, depth, bool(is_big_endian), tuple(colours[:3]), tuple(colours[3:]))
        tops = (top << shift for top, shift in zip(wanted.maxima, wanted.shifts, strict=True))
        if bits not in _PIXEL_BITS or not is_true_colour or max(tops) >= 1 << bits:
            raise RemoteProtocolError(f"no pixels like {wanted} here")
        return wanted

    def pack(self) -> bytes:
        """Return the 16 bytes that ``parse`` reads."""
        return _PIXEL_FORMAT.pack(self.bits, self.depth, self.is_big_endian, True, *self.maxima, *self.shifts)

    def pixel(self, colour: Colour) -> bytes:
        """Return one pixel as the viewer reads it."""
        parts = zip(colour, self.maxima, self.shifts, strict=True)
        value = sum((part * top // _BYTE_MAX) << shift for part, top, shift in parts)
        return value.to_bytes(self.bits // 8, "big" if self.is_big_endian else "little")

    def tight_pixel(self, colour: Colour) -> bytes:
        """Return one TPIXEL (rfbproto 7.7.5): three bytes where Tight packs them."""
        is_packed = (self.bits, self.depth, self.maxima) == (32, _TRUE_COLOUR_DEPTH, _FULL)
        return bytes(colour) if is_packed else self.pixel(colour)


class Encoder:
    """Turns rectangles of a canvas into what one viewer asked for: pixel format and encoding.

    Set ``pixel_format`` at any time. The zlib stream lasts as long as the viewer's
    connection, as Tight demands. ``palette`` has at least three colours: two would make
    Tight pack its bits.
    """

    def __init__(self, palette: tuple[Colour, ...], pixel_format: PixelFormat) -> None:
        self.pixel_format = pixel_format
        self._palette = palette
        self._is_tight = False
        self._deflate = zlib.compressobj(_LEVEL)

    def use_encodings(self, offered: Sequence[int]) -> None:
        """Take Tight where the viewer offers it and does not like Raw better."""
        known = [encoding for encoding in offered if encoding in (ENCODING_RAW, ENCODING_TIGHT)]
        self._is_tight = known[:1] == [ENCODING_TIGHT]

    def encode(self, rect: Rect, dots: bytes) -> bytes:
        """Return ``rect`` as one rectangle of a FramebufferUpdate; ``dots`` are its palette indices."""
        # Tight has no palettes for pixels of 8 bits.
        is_tight = self._is_tight and self.pixel_format.bits > _BYTE_BITS
        head = _RECTANGLE.pack(rect.x, rect.y, rect.width, rect.height, ENCODING_TIGHT if is_tight else ENCODING_RAW)
        return head + (self._tight(dots) if is_tight else self._raw(dots))

    def _raw(self, dots: bytes) -> bytes:
        """Return the pixels one after the other (rfbproto 7.7.1)."""
        planes = _planes(self.pixel_format, self._palette)
        size = len(planes)
        pixels = bytearray(len(dots) * size)
        for offset, plane in enumerate(planes):
            pixels[offset::size] = dots.translate(plane)
        return bytes(pixels)

    def _tight(self, dots: bytes) -> bytes:
        """Return a palette and deflated indices: Tight's basic compression (rfbproto 7.7.5)."""
        colours = b"".join(map(self.pixel_format.tight_pixel, self._palette))
        head = bytes((_TIGHT_FILTERED, _TIGHT_PALETTE, len(self._palette) - 1)) + colours
        if len(dots) < _TIGHT_PLAIN_BELOW:
            return head + dots
        packed = self._deflate.compress(dots) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return head + _compact_length(len(packed)) + packed


@lru_cache(maxsize=16)
def _planes(pixel_format: PixelFormat, palette: tuple[Colour, ...]) -> list[bytes]:
    """Return a table for each byte of a pixel, which tells it from the palette's index."""
    padded = [*palette, *[(0, 0, 0)] * (PALETTE_SIZE - len(palette))]
    return [bytes(plane) for plane in zip(*map(pixel_format.pixel, padded), strict=True)]


def _compact_length(length: int) -> bytes:
    """Return ``length`` as Tight writes it: seven bits a byte, lowest first, eight in the third."""
    low, middle, high = length & 0x7F, length >> 7 & 0x7F, length >> 14
    if high:
        return bytes((low | 0x80, middle | 0x80, high))
    return bytes((low | 0x80, middle)) if middle else bytes((low,))

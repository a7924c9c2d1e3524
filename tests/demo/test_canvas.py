"""The canvas: dirty rectangles, text, and what a viewer's pixel format makes of it."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consoleproxy.demo import font
from consoleproxy.demo.canvas import (
    CELL_HEIGHT,
    CELL_WIDTH,
    ENCODING_RAW,
    ENCODING_TIGHT,
    MAX_RECTANGLES,
    Canvas,
    Encoder,
    PixelFormat,
    Rect,
    Region,
    TextArea,
)
from consoleproxy.errors import RemoteProtocolError

PALETTE = ((0, 0, 0), (255, 255, 255), (255, 0, 0), (16, 32, 64))
RGB565 = PixelFormat(bits=16, depth=16, maxima=(31, 63, 31), shifts=(11, 5, 0))
RGB332 = PixelFormat(bits=8, depth=8, maxima=(7, 7, 3), shifts=(0, 3, 6))

sides = st.integers(-5, 20)
rects = st.builds(Rect, sides, sides, sides, sides)


def dots(rect: Rect) -> set[tuple[int, int]]:
    """List the dots that ``rect`` holds."""
    return {(x, y) for x in range(rect.x, rect.right) for y in range(rect.y, rect.bottom)}


def picture(canvas: Canvas) -> list[bytes]:
    """Return all rows."""
    return canvas.read_rows(canvas.area)


# --- rectangles -----------------------------------------------------------------------


@given(rects, rects)
def test_rectangles_are_sets_of_dots(one: Rect, other: Rect) -> None:
    """Intersection, difference and containment hold what those of the dots hold."""
    assert dots(one) & dots(other) == dots(one.intersect(other))
    pieces = one.minus(other)
    assert dots(one) - dots(other) == set().union(*map(dots, pieces))
    assert sum(len(dots(piece)) for piece in pieces) == len(dots(one) - dots(other))
    if one.contains(other):
        assert dots(other) <= dots(one)


@given(st.lists(rects, max_size=60), rects)
def test_a_region_gives_back_what_it_was_given(added: list[Rect], area: Rect) -> None:
    """Nothing that changed is lost, inside the area asked for or left for later; few rectangles hold it."""
    region = Region()
    for rect in added:
        region.add(rect)
    taken = region.take(area)
    left = region.take(Rect(-100, -100, 300, 300))
    changed = set().union(*map(dots, added))
    assert changed & dots(area) <= set().union(*map(dots, taken)) <= dots(area)
    assert changed - dots(area) <= set().union(*map(dots, left))
    assert max(len(taken), len(left)) <= MAX_RECTANGLES
    assert [] == region.take(Rect(-100, -100, 300, 300))


def test_many_scattered_changes_become_one() -> None:
    """Beyond the limit one rectangle stands for all."""
    region = Region()
    for number in range(MAX_RECTANGLES + 1):
        region.add(Rect(2 * number, 2 * number, 1, 1))
    assert [Rect(0, 0, 2 * MAX_RECTANGLES + 1, 2 * MAX_RECTANGLES + 1)] == region.take(Rect(0, 0, 99, 99))


# --- drawing --------------------------------------------------------------------------


@given(rects, st.integers(0, 255))
def test_filling_touches_its_rectangle_alone(rect: Rect, colour: int) -> None:
    """Dots inside get the colour, dots outside keep theirs, and what lies over the edge is cut off."""
    canvas = Canvas(12, 9)
    canvas.fill_rect(rect, colour)
    inside = dots(rect)
    expected = [bytes(colour if (x, y) in inside else 0 for x in range(12)) for y in range(9)]
    assert expected == picture(canvas)
    assert dots(rect.intersect(canvas.area)) == set().union(*map(dots, canvas.dirty.take(canvas.area)))


def test_patching_is_not_dirty() -> None:
    """What is patched is there, and nobody is told."""
    canvas = Canvas(4, 2)
    assert Rect(1, 0, 2, 2) == canvas.patch(1, 0, [b"\x05\x06", b"\x07\x08"])
    assert [b"\x00\x05\x06\x00", b"\x00\x07\x08\x00"] == picture(canvas)
    assert [] == canvas.dirty.take(canvas.area)


def test_text_is_the_font_in_two_colours() -> None:
    """Ink and ground of the glyphs become the two colours."""
    canvas = Canvas(font.CELL_WIDTH * 4, font.CELL_HEIGHT * 2)
    canvas.draw_text(0, 0, "Ag", 7, 3)
    expected = [bytes(7 if dot else 3 for dot in row) for row in font.draw("Ag", 2)]
    assert expected == picture(canvas)


def test_text_without_ground_keeps_each_rows_colour() -> None:
    """Over a gradient the ground of every row stays what it was."""
    canvas = Canvas(font.CELL_WIDTH, font.CELL_HEIGHT)
    canvas.draw_rows(0, 0, [bytes((10 + y,)) * font.CELL_WIDTH for y in range(font.CELL_HEIGHT)])
    canvas.draw_text(0, 0, "H", 1, None, scale=1)
    expected = [bytes(1 if dot else 10 + y for dot in row) for y, row in enumerate(font.draw("H"))]
    assert expected == picture(canvas)


def test_text_over_the_edge_is_cut() -> None:
    """A text that leaves the canvas on any side is drawn as far as it is inside."""
    canvas = Canvas(30, 30)
    for x, y in ((-500, -500), (-10, -10), (20, 20), (500, 500)):
        canvas.draw_text(x, y, "MMMM", 1, None)
    assert 30 == len(picture(canvas))


# --- typed text -----------------------------------------------------------------------


class Paper:
    """A text area of 6 columns and 3 rows, and what it should look like."""

    def __init__(self) -> None:
        self.canvas = Canvas(CELL_WIDTH * 7, CELL_HEIGHT * 3)
        self.text = TextArea(self.canvas, Rect(0, 0, CELL_WIDTH * 6, CELL_HEIGHT * 3), 0, [(">", 2), (" ", 1)])

    def shows(self, *lines: str) -> bool:
        """Say whether exactly ``lines`` are painted, each prompt in its colour."""
        self.text.paint(0)
        expected = Canvas(self.canvas.area.width, self.canvas.area.height)
        for row, line in enumerate(lines):
            expected.draw_text(0, row * CELL_HEIGHT, line, 1, 0)
            if line.startswith(">"):
                expected.draw_text(0, row * CELL_HEIGHT, ">", 2, 0)
        return picture(expected) == picture(self.canvas)


@pytest.fixture
def paper() -> Paper:
    """A text area after its first prompt."""
    paper = Paper()
    paper.text.enter()
    return paper


def test_typed_text_appears_after_the_prompt(paper: Paper) -> None:
    """What is written stands on the line of the prompt."""
    paper.text.write("ab", 1)
    assert paper.shows("> ab")


def test_long_lines_wrap_under_their_beginning(paper: Paper) -> None:
    """The next line of a long text is indented like the prompt."""
    paper.text.write("abcdef", 1)
    assert paper.shows("> abcd", "  ef")


def test_lines_scroll_at_the_bottom(paper: Paper) -> None:
    """The oldest line makes room."""
    for letter in "abc":
        paper.text.write(letter, 1)
        paper.text.enter()
    assert paper.shows("> b", "> c", ">")


def test_erasing_goes_back_over_a_wrap_and_stops_at_the_prompt(paper: Paper) -> None:
    """Backspace takes back what was typed on one prompt and nothing before it."""
    paper.text.write("x", 1)
    paper.text.enter()
    paper.text.write("abcde", 1)
    assert paper.shows("> x", "> abcd", "  e")
    paper.text.erase()
    paper.text.erase()
    assert paper.shows("> x", "> abc")
    for _ in range(9):
        paper.text.erase()
    assert paper.shows("> x", ">")


def test_a_line_without_prompt_is_cut_at_the_edge() -> None:
    """A greeting is not wrapped."""
    paper = Paper()
    paper.text.write_line("greetings", 1)
    assert paper.shows("greeti")


def test_painting_twice_draws_the_caret_alone(paper: Paper) -> None:
    """Unchanged lines are not drawn again."""
    paper.text.write("ab", 1)
    paper.text.paint(1)
    paper.canvas.dirty.take(paper.canvas.area)
    assert not paper.text.has_changed
    paper.text.paint(0)
    assert [Rect(4 * CELL_WIDTH, 2, CELL_WIDTH - 2, CELL_HEIGHT - 4)] == paper.canvas.dirty.take(paper.canvas.area)


# --- pixels ---------------------------------------------------------------------------


@given(st.binary(min_size=16, max_size=16))
def test_any_pixel_format_parses_or_is_refused(data: bytes) -> None:
    """Whatever a viewer asks for gives pixels of that size or a ``RemoteProtocolError``, nothing else."""
    try:
        wanted = PixelFormat.parse(data)
    except RemoteProtocolError:
        return
    assert {wanted.bits // 8} == {len(wanted.pixel(colour)) for colour in PALETTE}


@pytest.mark.parametrize("wanted", [PixelFormat(), RGB565, RGB332, PixelFormat(is_big_endian=True)])
def test_a_pixel_format_survives_packing(wanted: PixelFormat) -> None:
    """What is packed is parsed to the same."""
    assert wanted == PixelFormat.parse(wanted.pack())


@pytest.mark.parametrize(
    "fields",
    [
        (24, 24, 0, 1, 255, 255, 255, 16, 8, 0),  # a size that RFB does not have
        (8, 8, 0, 0, 0, 0, 0, 0, 0, 0),  # a colour map
        (16, 16, 0, 1, 255, 255, 255, 16, 8, 0),  # red lies outside
        (32, 24, 0, 1, 65535, 255, 255, 24, 8, 0),
        (32, 24, 0, 1, 255, 255, 255, 255, 8, 0),
    ],
)
def test_pixels_that_are_not_drawn_here_are_refused(fields: tuple[int, ...]) -> None:
    """Formats without sense, and colour maps, end the viewer."""
    with pytest.raises(RemoteProtocolError):
        PixelFormat.parse(struct.pack(">BBBBHHHBBB3x", *fields))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (PixelFormat(), "ffffff00 0000ff00 40201000"),
        (PixelFormat(is_big_endian=True), "00ffffff 00ff0000 00102040"),
        (RGB565, "ffff 00f8 e708"),
        (RGB332, "ff 07 00"),
    ],
)
def test_raw_pixels_follow_the_format(wanted: PixelFormat, expected: str) -> None:
    """White, red and a dark blue as each format writes them, after the rectangle's head."""
    encoded = Encoder(PALETTE, wanted).encode(Rect(5, 6, 3, 1), b"\x01\x02\x03")
    assert struct.pack(">HHHHi", 5, 6, 3, 1, ENCODING_RAW) == encoded[:12]
    assert bytes.fromhex(expected) == encoded[12:]


def untight(data: bytes, colour_size: int, size: int, stream: zlib._Decompress) -> list[bytes]:
    """Decode one Tight rectangle with a palette of ``colour_size`` bytes a colour, as a viewer would."""
    assert b"\x40\x01" == data[:2]
    colours = [data[3 + colour_size * i : 3 + colour_size * (i + 1)] for i in range(data[2] + 1)]
    rest = data[3 + colour_size * len(colours) :]
    if size >= 12:
        length = shift = 0
        while True:
            byte, rest = rest[0], rest[1:]
            length |= (byte if shift == 14 else byte & 0x7F) << shift
            shift += 7
            if byte < 0x80 or shift > 14:
                break
        assert length == len(rest)
        rest = stream.decompress(rest)
    assert size == len(rest)
    return [colours[index] for index in rest]


@pytest.mark.parametrize("size", [1, 11, 12, 13, 500, 30_000, 200_000])
def test_tight_says_the_same_as_the_dots(size: int) -> None:
    """Short, plain, and with lengths of one, two and three bytes: every dot comes back in its colour."""
    encoder = Encoder(PALETTE, PixelFormat())
    encoder.use_encodings([-239, ENCODING_TIGHT, ENCODING_RAW])
    stream = zlib.decompressobj()
    width = 100 if size % 100 == 0 else size
    # Hardly compressible, so that the lengths grow with the size.
    noise = b"".join(zlib.crc32(number.to_bytes(4, "big")).to_bytes(4, "big") for number in range(size // 4 + 1))
    sample = bytes(byte & 3 for byte in noise[:size])
    for _ in range(2):  # the second continues the same stream
        encoded = encoder.encode(Rect(0, 0, width, size // width), sample)
        assert ENCODING_TIGHT == int.from_bytes(encoded[8:12], "big")
        assert [bytes(PALETTE[dot]) for dot in sample] == untight(encoded[12:], 3, size, stream)


def test_tight_keeps_the_size_of_small_pixels() -> None:
    """With 16 bits a pixel the palette's colours are such pixels."""
    encoder = Encoder(PALETTE, RGB565)
    encoder.use_encodings([ENCODING_TIGHT])
    expected = [RGB565.pixel(PALETTE[dot]) for dot in b"\x01\x02\x03"]
    assert expected == untight(encoder.encode(Rect(0, 0, 3, 1), b"\x01\x02\x03")[12:], 2, 3, zlib.decompressobj())


@pytest.mark.parametrize(
    ("offered", "wanted", "expected"),
    [
        ([], PixelFormat(), ENCODING_RAW),
        ([16, 5, -223], PixelFormat(), ENCODING_RAW),
        ([ENCODING_RAW, ENCODING_TIGHT], PixelFormat(), ENCODING_RAW),
        ([5, ENCODING_TIGHT, ENCODING_RAW], PixelFormat(), ENCODING_TIGHT),
        ([ENCODING_TIGHT], RGB332, ENCODING_RAW),
    ],
)
def test_the_encoding_is_the_viewers_favourite(offered: list[int], wanted: PixelFormat, expected: int) -> None:
    """The first one that is known here is taken; Raw where none is, and for pixels of 8 bits."""
    encoder = Encoder(PALETTE, wanted)
    encoder.use_encodings(offered)
    assert expected == int.from_bytes(encoder.encode(Rect(0, 0, 4, 1), bytes(4))[8:12], "big", signed=True)

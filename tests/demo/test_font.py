"""The font: every character that a keyboard has is drawn, and enlarging keeps its shape."""

from __future__ import annotations

import string

import pytest

from consoleproxy.demo import font

PRINTABLE = "".join(map(chr, range(32, 127)))


def test_every_ascii_character_has_its_own_glyph() -> None:
    """Each of the 95 printable characters is drawn, and no two of them look alike."""
    assert [] == [character for character in PRINTABLE if not font.has_glyph(character)]
    assert len(PRINTABLE) == len({tuple(font.draw(character)) for character in PRINTABLE})


def test_accented_letters_are_put_together() -> None:
    """A letter with a mark has ink where the letter has it, and more."""
    for letter, accented in zip("aeouAOUncy", "äéôùÅÖÜñçÿ", strict=True):
        plain, marked = b"".join(font.draw(letter)), b"".join(font.draw(accented))
        assert sum(plain) < sum(marked), accented
        assert all(dot <= both for dot, both in zip(plain, marked, strict=True)), accented


def test_the_dot_of_an_i_gives_way_to_its_accent() -> None:
    """An accented i differs from a plain one above the stem, and from its other accents."""
    assert 5 == len({tuple(font.draw(character)) for character in "iìíîï"})
    assert font.draw("i")[4:] == font.draw("í")[4:]


@pytest.mark.parametrize("character", ["中", "\U0001f600", "\ud800", "\x00", "ﬁ"])
def test_a_missing_glyph_is_a_box(character: str) -> None:
    """What the font does not have is drawn, as a box."""
    assert not font.has_glyph(character)
    assert font.draw("日") == font.draw(character)
    assert 0 < sum(b"".join(font.draw(character)))


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_text_is_as_large_as_its_cells(scale: int) -> None:
    """Rows and columns follow from the number of characters and the scale."""
    rows = font.draw("Agx", scale)
    assert font.CELL_HEIGHT * scale == len(rows)
    assert {3 * font.CELL_WIDTH * scale} == {len(row) for row in rows}
    assert set(b"".join(rows)) == {0, 1}


def test_enlarging_keeps_every_dot() -> None:
    """Each inked dot becomes four inked ones; only corners of diagonals are added."""
    for character in PRINTABLE:
        small, large = font.draw(character), font.draw(character, 2)
        for y, row in enumerate(small):
            for x, dot in enumerate(row):
                square = [large[2 * y + down][2 * x + right] for down in (0, 1) for right in (0, 1)]
                assert [1] * 4 == square if dot else 4 > sum(square), character


def test_letters_without_slopes_are_only_doubled() -> None:
    """Rounding leaves straight shapes alone."""
    for character in "HTEFLI-=+_|":
        small, large = font.draw(character), font.draw(character, 2)
        assert 4 * sum(map(sum, small)) == sum(map(sum, large)), character


def test_an_empty_text_has_rows_without_dots() -> None:
    """No characters: as many rows, nothing in them."""
    assert [b""] * font.CELL_HEIGHT == font.draw("")


def test_letters_stand_on_one_line() -> None:
    """Capitals and digits end on the same row."""
    bottoms = {max(y for y, row in enumerate(font.draw(c)) if any(row)) for c in string.ascii_uppercase + string.digits}
    assert {8} == bottoms

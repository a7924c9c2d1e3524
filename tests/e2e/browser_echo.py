"""Reading in a browser's canvas what a machine of the demo has echoed.

No letters are recognised. The text is there when equal letters look equal and others look different:
that needs no picture of the font, and nothing but the right keys in the right order gives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Page

from tests.e2e.browser_town import expect_soon

#: One text a cell: a mark for each dot that has the ink's colour. Empty while the screen has another size.
CELLS = """(canvas, {size, left, top, width, height, ink, count}) => {
    if (canvas.width !== size[0] || canvas.height !== size[1]) {
        return [];
    }
    const context = canvas.getContext('2d');
    return Array.from({ length: count }, (_, column) => {
        const dots = context.getImageData(left + column * width, top, width, height).data;
        return Array.from({ length: width * height }, (_, dot) => (
            ink.every((part, place) => dots[4 * dot + place] === part) ? '#' : '.'
        )).join('');
    });
}"""


@dataclass(frozen=True, slots=True)
class Line:
    """Where a machine echoes, in dots: ``left`` and ``top`` of the first cell, where ``prompt`` stands.

    Only dots of the colour ``ink`` count; a prompt of another colour looks blank.
    """

    size: tuple[int, int]
    left: int
    top: int
    width: int
    height: int
    ink: tuple[int, int, int]
    prompt: str

    async def expect(self, page: Page, text: str) -> None:
        """Wait until the line shows the prompt, ``text`` and a blank."""
        expected = _pattern(f"{self.prompt}{text} ")
        asked: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        canvas = page.locator("#stage canvas")

        async def pattern() -> list[int]:
            return _pattern(await canvas.evaluate(CELLS, asked | {"count": len(expected)}))

        await expect_soon(page, expected, pattern)


#: The QEMU guest: text mode of 80 by 25 cells of 9 by 16 dots. The lower four are left out: the cursor blinks there.
GUEST = Line(size=(720, 400), left=0, top=96, width=9, height=12, ink=(168, 168, 168), prompt="> ")
#: The built-in machine: cells of 12 by 24 dots. Prompt and caret have other colours than the letters.
BUILT_IN = Line(size=(800, 600), left=40, top=232, width=12, height=24, ink=(222, 230, 245), prompt="  ")


async def type_and_see(page: Page, line: Line, text: str) -> None:
    """Type ``text``, each letter once the one before is seen: a PC's keyboard keeps few in mind."""
    for count, letter in enumerate(text, start=1):
        await page.keyboard.press("Space" if letter == " " else letter)
        await line.expect(page, text[:count])


def _pattern(things: Sequence[str]) -> list[int]:
    """Return for each thing where its like stood first."""
    return [things.index(thing) for thing in things]

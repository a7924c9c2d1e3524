"""The boot sector: its shape, and what the little assembler makes of the listing."""

from __future__ import annotations

import pytest

from consoleproxy.demo.boot_sector import FLOPPY_SIZE, SECTOR_SIZE, boot_sector, floppy_image


@pytest.mark.parametrize("name", ["", "x", "demo", "n" * 500, "Köln 中"])
def test_a_sector_is_bootable_whatever_the_name(name: str) -> None:
    """512 bytes that end with the signature that a BIOS looks for."""
    sector = boot_sector(name)
    assert SECTOR_SIZE == len(sector)
    assert b"\x55\xaa" == sector[-2:]


def test_the_floppy_begins_with_the_sector() -> None:
    """An image of 1.44 MB, empty but for its first sector."""
    image = floppy_image("demo")
    assert FLOPPY_SIZE == len(image)
    assert boot_sector("demo") == image[:SECTOR_SIZE]
    assert not any(image[SECTOR_SIZE:])


def test_the_code_finds_its_texts() -> None:
    """Addresses and lengths in the code lead to the name and to the hint."""
    sector = boot_sector("my machine")
    texts = []
    at = 0
    for _ in range(2):
        at = sector.index(b"\xb9", at + 1)
        size = int.from_bytes(sector[at + 1 : at + 3], "little")
        # Three bytes of another instruction lie between the length and the address.
        assert 0xBD == sector[at + 6]
        start = int.from_bytes(sector[at + 7 : at + 9], "little") - 0x7C00
        texts.append(sector[start : start + size])
    assert b"my machine" == texts[0]
    assert texts[1].startswith(b"A real virtual machine")
    assert texts[1].endswith(b"echoes your keys.")


def test_every_call_leads_to_the_print_routine() -> None:
    """The distances of all calls count from their own end to one place."""
    sector = boot_sector("")
    routine = sector.index(bytes.fromhex("b40e bb0700 cd10 c3"))
    code = sector[:routine]
    calls = [at for at, byte in enumerate(code) if byte == 0xE8]
    targets = {at + 3 + int.from_bytes(sector[at + 1 : at + 3], "little", signed=True) for at in calls}
    assert 8 == len(calls)
    assert {routine} == targets

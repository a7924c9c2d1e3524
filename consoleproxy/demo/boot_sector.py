"""The 512 bytes that the demo's QEMU guest boots: a banner, then every key echoed by the BIOS.

Assembled here, so that the demo needs neither an assembler nor a disk image.
"""

from __future__ import annotations

SECTOR_SIZE = 512
#: A floppy of 1.44 MB, the size that every BIOS takes for bootable.
FLOPPY_SIZE = 2880 * SECTOR_SIZE

_SIGNATURE = b"\x55\xaa"
#: Where the BIOS puts the sector.
_ORIGIN = 0x7C00
_HINT = b"A real virtual machine of the consoleproxy demo. Type: it echoes your keys."
_LONGEST_NAME = 64

# Machine code in hex, and what it says. ":x" names a place, ">x" is the one-byte distance to
# it, ">>x" the two-byte one, "=x" a two-byte number: an address, or a length given by the caller.
_PROGRAM = """
          31 C0           | xor ax, ax
          8E D8           | mov ds, ax
          8E C0           | mov es, ax
          8E D0           | mov ss, ax
          BC 00 7C        | mov sp, 7C00h      ; the stack grows down from the code
          FC              | cld
          B8 03 00        | mov ax, 0003h      ; text mode, 80 by 25, cleared
          CD 10           | int 10h
          B8 00 06        | mov ax, 0600h      ; clear a window: the blue bar
          B7 1F           | mov bh, 1Fh
          31 C9           | xor cx, cx         ; from row 0, column 0
          BA 4F 02        | mov dx, 024Fh      ; to row 2, column 79
          CD 10           | int 10h
          B8 00 13        | mov ax, 1300h      ; write a string in a colour
          BB 1F 00        | mov bx, 001Fh      ; page 0, white on blue
          B9 =name_size   | mov cx, name_size
          BA 02 01        | mov dx, 0102h      ; row 1, column 2
          BD =name        | mov bp, name
          CD 10           | int 10h
          B8 00 13        | mov ax, 1300h
          BB 0B 00        | mov bx, 000Bh      ; page 0, light cyan on black
          B9 =hint_size   | mov cx, hint_size
          BA 02 04        | mov dx, 0402h      ; row 4, column 2
          BD =hint        | mov bp, hint
          CD 10           | int 10h
          B4 02           | mov ah, 02h        ; move the cursor
          30 FF           | xor bh, bh
          BA 00 06        | mov dx, 0600h      ; row 6, column 0
          CD 10           | int 10h
:prompt   B0 3E           | mov al, '>'
          E8 >>print      | call print
          B0 20           | mov al, ' '
          E8 >>print      | call print
:next     30 E4           | xor ah, ah         ; wait for a key
          CD 16           | int 16h
          3C 08           | cmp al, 08h        ; Backspace
          74 >back        | je back
          3C 0D           | cmp al, 0Dh        ; Enter
          74 >enter       | je enter
          3C 20           | cmp al, ' '        ; keys without a character
          72 >next        | jb next
          E8 >>print      | call print
          EB >next        | jmp next
:enter    E8 >>print      | call print         ; to the line's start
          B0 0A           | mov al, 0Ah
          E8 >>print      | call print         ; one line down
          EB >prompt      | jmp prompt
:back     B4 03           | mov ah, 03h        ; where is the cursor?
          30 FF           | xor bh, bh
          CD 10           | int 10h
          80 FA 02        | cmp dl, 2          ; the prompt stays
          76 >next        | jbe next
          B0 08           | mov al, 08h
          E8 >>print      | call print
          B0 20           | mov al, ' '
          E8 >>print      | call print
          B0 08           | mov al, 08h
          E8 >>print      | call print
          EB >next        | jmp next
:print    B4 0E           | mov ah, 0Eh        ; write al, move on, scroll at the end
          BB 07 00        | mov bx, 0007h
          CD 10           | int 10h
          C3              | ret
"""


def boot_sector(name: str) -> bytes:
    """Return the 512 bytes that show ``name`` and echo the keyboard; other than ASCII becomes ``?``."""
    title = name.encode("ascii", "replace")[:_LONGEST_NAME]
    words = [word for line in _PROGRAM.splitlines() for word in line.partition("|")[0].split()]
    numbers = _places(words) | {"name_size": len(title), "hint_size": len(_HINT)}
    numbers["name"] = numbers["end"]
    numbers["hint"] = numbers["name"] + len(title)
    code = _assemble(words, numbers) + title + _HINT
    return code.ljust(SECTOR_SIZE - len(_SIGNATURE), b"\0") + _SIGNATURE


def floppy_image(name: str) -> bytes:
    """Return the image of a floppy disk that boots ``boot_sector(name)``."""
    return boot_sector(name).ljust(FLOPPY_SIZE, b"\0")


def _size(word: str) -> int:
    if word.startswith(":"):
        return 0
    return 2 if word.startswith((">>", "=")) else 1


def _places(words: list[str]) -> dict[str, int]:
    """Return the address of each label, and of the ``end``."""
    address, places = _ORIGIN, {}
    for word in words:
        if word.startswith(":"):
            places[word[1:]] = address
        address += _size(word)
    return places | {"end": address}


def _assemble(words: list[str], numbers: dict[str, int]) -> bytes:
    code = b""
    for word in words:
        size, after = _size(word), _ORIGIN + len(code) + _size(word)
        if word.startswith(">"):
            # Distances count from the end of the instruction, which the distance closes.
            code += (numbers[word.lstrip(">")] - after).to_bytes(size, "little", signed=True)
        elif word.startswith("="):
            code += numbers[word[1:]].to_bytes(size, "little")
        elif size:
            code += bytes.fromhex(word)
    return code

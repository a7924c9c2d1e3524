"""RFB as both sides of the proxy know it: numbers, versions and ServerInit.

Source: the community's description of the protocol, "rfbproto", section by section.
All integers are big-endian.
"""

from __future__ import annotations

import re
import struct
import unicodedata
from dataclasses import dataclass
from typing import Final

from consoleproxy.errors import RemoteProtocolError

# --- ProtocolVersion (rfbproto 7.1.1) -------------------------------------------------

VERSION_SIZE: Final = 12
VERSION_3_3: Final = b"RFB 003.003\n"
VERSION_3_7: Final = b"RFB 003.007\n"
VERSION_3_8: Final = b"RFB 003.008\n"

_VERSION = re.compile(rb"RFB ([0-9]{3})\.([0-9]{3})\n")

# --- security (rfbproto 7.1.2, 7.1.3) -------------------------------------------------

SECURITY_INVALID: Final = 0
SECURITY_NONE: Final = 1
SECURITY_VNC_AUTH: Final = 2
SECURITY_VENCRYPT: Final = 19

#: Names for logs; a type that is missing here is shown by its number alone.
SECURITY_NAMES: Final = {
    0: "Invalid",
    1: "None",
    2: "VncAuth",
    5: "RA2",
    6: "RA2ne",
    16: "Tight",
    17: "Ultra",
    18: "TLS",
    19: "VeNCrypt",
    20: "SASL",
    21: "MD5",
    22: "XVP",
    30: "AppleDH",
}

RESULT_OK: Final = 0
RESULT_FAILED: Final = 1
RESULT_TOO_MANY: Final = 2

# --- messages from the client after the handshake (rfbproto 7.5) ----------------------

SET_PIXEL_FORMAT: Final = 0
SET_ENCODINGS: Final = 2
UPDATE_REQUEST: Final = 3
KEY_EVENT: Final = 4
POINTER_EVENT: Final = 5
CLIENT_CUT_TEXT: Final = 6
VMWARE: Final = 127
ENABLE_CONTINUOUS_UPDATES: Final = 150
CLIENT_FENCE: Final = 248
XVP: Final = 250
SET_DESKTOP_SIZE: Final = 251
QEMU: Final = 255

QEMU_KEY: Final = 0
QEMU_AUDIO: Final = 1
AUDIO_ENABLE: Final = 0
AUDIO_DISABLE: Final = 1
AUDIO_SET_FORMAT: Final = 2

#: Pseudo-encoding: the client may send PointerEvents of seven bytes, marked by bit 7 of the mask.
EXTENDED_MOUSE_BUTTONS: Final = -316

# --- ServerInit (rfbproto 7.3.2) ------------------------------------------------------

SERVER_INIT_SIZE: Final = 24
PIXEL_FORMAT_SIZE: Final = 16
MAX_NAME_BYTES: Final = 64 * 1024

_PIXEL_FORMAT_PADDING: Final = 3
_SERVER_INIT = struct.Struct(">HH16sI")
_U32 = struct.Struct(">I")

# --- text -----------------------------------------------------------------------------

DEFAULT_TEXT_LIMIT: Final = 256

# Embeddings, overrides, isolates and marks: with them a name can be shown as another.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Controls, line and paragraph separators, and surrogates, which UTF-8 cannot carry.
_UNPRINTABLE = frozenset({"Cc", "Zl", "Zp", "Cs"})


def clean_text(text: str, limit: int = DEFAULT_TEXT_LIMIT) -> str:
    """Return ``text`` without control and bidi characters, cut to ``limit`` characters.

    For everything that a peer or a user named and a person will read: display names,
    a server's reasons, log lines (contracts, section 10).
    """
    # Cut before as well: a long text that is all dropped must not cost time.
    kept = (c for c in text[: 4 * limit] if c not in _BIDI and unicodedata.category(c) not in _UNPRINTABLE)
    return "".join(kept)[:limit]


def agreed_version(banner: bytes) -> bytes:
    """Return the version to speak with a peer that sent ``banner``: 3.3, 3.7 or 3.8.

    A minor version that was never published counts as the nearest one below it: 3.5 is 3.3
    (rfbproto 7.1.1), 3.889 (Apple) is 3.8. So are 4.x and 5.x, which RealVNC announces and
    which fall back to 3.8. Raises ``RemoteProtocolError`` for anything else.
    """
    match = _VERSION.fullmatch(banner)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    if version >= (3, 8):
        return VERSION_3_8
    if version >= (3, 7):
        return VERSION_3_7
    if version >= (3, 3):
        return VERSION_3_3
    raise RemoteProtocolError(f"not a version of RFB: {banner!r}")


def security_name(security_type: int) -> str:
    """Return number and name of a security type, for the log."""
    name = SECURITY_NAMES.get(security_type)
    return f"{security_type} ({name})" if name else str(security_type)


def encode_reason(text: str) -> bytes:
    """Return a reason string: u32 length, then UTF-8 text (rfbproto 7.1.2)."""
    encoded = text.encode("utf-8", "replace")
    return _U32.pack(len(encoded)) + encoded


@dataclass(frozen=True, slots=True)
class ServerInit:
    """The server's first description of its screen.

    ``width`` and ``height`` in pixels, ``pixel_format`` the 16 bytes of PIXEL_FORMAT as the
    server sent them, ``name`` the name of the desktop.
    """

    width: int
    height: int
    pixel_format: bytes
    name: str

    @staticmethod
    def name_length(head: bytes) -> int:
        """Return how many bytes of name follow the 24 bytes of ``head``.

        Raises ``RemoteProtocolError`` when they are more than ``MAX_NAME_BYTES``.
        """
        length: int = _SERVER_INIT.unpack(head)[3]
        if length > MAX_NAME_BYTES:
            raise RemoteProtocolError(f"ServerInit announces a name of {length} bytes")
        return length

    @classmethod
    def parse(cls, head: bytes, name: bytes) -> ServerInit:
        """Build it from the 24 bytes of ``head`` and the bytes of the name, which is cleaned for display."""
        width, height, pixel_format, _ = _SERVER_INIT.unpack(head)
        return cls(width, height, pixel_format, clean_text(name.decode("utf-8", "replace")))

    def to_bytes(self) -> bytes:
        """Return the message for the browser.

        The three padding bytes become zero: what a server left in them is nobody's business
        (CloudStack fact 1.7). The name is written as it is: clean it before.
        """
        name = self.name.encode("utf-8", "replace")
        pixel_format = self.pixel_format[: PIXEL_FORMAT_SIZE - _PIXEL_FORMAT_PADDING] + bytes(_PIXEL_FORMAT_PADDING)
        return _SERVER_INIT.pack(self.width, self.height, pixel_format, len(name)) + name

"""Versions, ServerInit and text, as both sides of RFB need them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consoleproxy.errors import RemoteProtocolError
from consoleproxy.wire import rfb
from tests.wire.conversations import BOUNDED
from tests.wire.vectors import VECTORS

#: Unicode's classes of characters that change the direction of others.
BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@pytest.mark.parametrize("vector", VECTORS["serverInitRewrite"], ids=lambda v: v["name"])
def test_server_init_is_rewritten_like_cloudstack(vector: dict[str, str]) -> None:
    """Size and pixel format stay, the padding becomes zero, the name is replaced."""
    message = bytes.fromhex(vector["serverInitHex"])
    head, name = message[: rfb.SERVER_INIT_SIZE], message[rfb.SERVER_INIT_SIZE :]
    assert len(name) == rfb.ServerInit.name_length(head)
    parsed = rfb.ServerInit.parse(head, name)
    renamed = rfb.ServerInit(parsed.width, parsed.height, parsed.pixel_format, vector["name"])
    assert vector["rewrittenHex"] == renamed.to_bytes().hex()


def test_server_init_padding_is_zeroed() -> None:
    """What the VM left in the three padding bytes does not reach the browser."""
    message = rfb.ServerInit(1, 2, bytes([9] * 16), "").to_bytes()
    assert bytes([0, 1, 0, 2, *[9] * 13, 0, 0, 0, 0, 0, 0, 0]) == message


@BOUNDED
@given(st.integers(0, 65535), st.integers(0, 65535), st.binary(min_size=13, max_size=13), st.text(max_size=100))
def test_server_init_survives_the_wire(width: int, height: int, colours: bytes, text: str) -> None:
    """A ServerInit with a clean name is parsed as what was written."""
    server_init = rfb.ServerInit(width, height, colours + bytes(3), rfb.clean_text(text))
    message = server_init.to_bytes()
    head, name = message[: rfb.SERVER_INIT_SIZE], message[rfb.SERVER_INIT_SIZE :]
    assert len(name) == rfb.ServerInit.name_length(head)
    assert server_init == rfb.ServerInit.parse(head, name)


def test_a_long_name_is_written_whole() -> None:
    """The name's length is counted in UTF-8 bytes, and nothing is cut when writing."""
    message = rfb.ServerInit(1, 1, bytes(16), "日" * 30000).to_bytes()
    assert 90000 == int.from_bytes(message[20:24], "big")
    assert "日" * 30000 == message[24:].decode()


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("web-01 (TLS backend)", "web-01 (TLS backend)"),
        ("日本 é \N{GRINNING FACE}", "日本 é \N{GRINNING FACE}"),
        ("a\r\nb\tc\0d\x1b[31me\x7f\x85", "abcd[31me"),
        ("gpj\N{RIGHT-TO-LEFT OVERRIDE}exe", "gpjexe"),
        ("\N{RIGHT-TO-LEFT ISOLATE}x\N{POP DIRECTIONAL ISOLATE}\N{ARABIC LETTER MARK}\N{LEFT-TO-RIGHT MARK}", "x"),
        ("a\N{LINE SEPARATOR}b\N{PARAGRAPH SEPARATOR}c", "abc"),
        ("a\ud800b", "ab"),
        ("<b>", "<b>"),
    ],
)
def test_text_is_cleaned(text: str, clean: str) -> None:
    """Control and bidi characters go, everything that can be read stays."""
    assert clean == rfb.clean_text(text)


def test_text_is_cut_to_its_limit() -> None:
    """The limit counts the characters that are kept."""
    assert "abc" == rfb.clean_text("a\nbcd", limit=3)


@BOUNDED
@given(st.text(alphabet=st.characters(), max_size=300))
def test_clean_text_has_nothing_to_clean(text: str) -> None:
    """Cleaned text has no control character, can be written as UTF-8 and is not changed by cleaning again."""
    clean = rfb.clean_text(text)
    assert not [c for c in clean if unicodedata.category(c) in {"Cc", "Cs"} or unicodedata.bidirectional(c) in BIDI]
    assert clean == clean.encode().decode()
    assert clean == rfb.clean_text(clean)


@pytest.mark.parametrize(
    ("banner", "version"),
    [
        (b"RFB 003.003\n", rfb.VERSION_3_3),
        (b"RFB 003.004\n", rfb.VERSION_3_3),
        (b"RFB 003.005\n", rfb.VERSION_3_3),
        (b"RFB 003.006\n", rfb.VERSION_3_3),
        (b"RFB 003.007\n", rfb.VERSION_3_7),
        (b"RFB 003.008\n", rfb.VERSION_3_8),
        (b"RFB 003.009\n", rfb.VERSION_3_8),
        (b"RFB 003.016\n", rfb.VERSION_3_8),
        (b"RFB 003.889\n", rfb.VERSION_3_8),
        (b"RFB 004.000\n", rfb.VERSION_3_8),
        (b"RFB 004.001\n", rfb.VERSION_3_8),
        (b"RFB 005.000\n", rfb.VERSION_3_8),
    ],
)
def test_unpublished_versions_count_as_the_nearest_below(banner: bytes, version: bytes) -> None:
    """Only 3.3, 3.7 and 3.8 are spoken, whatever the peer announces."""
    assert version == rfb.agreed_version(banner)


@pytest.mark.parametrize(
    "banner",
    [b"RFB 003.002\n", b"RFB 000.000\n", b"RFB 002.999\n", b"RFB 003.008\r", b"rfb 003.008\n", b"RFB 3.8\n    ",
     b"RFB +03.008\n", b"HTTP/1.1 400", b"SSH-2.0-Open", b"RFB 003.008", b"\xff" * 12],
)  # fmt: skip
def test_what_is_no_version_is_refused(banner: bytes) -> None:
    """Anything but RFB 3.3 or later is a broken protocol."""
    with pytest.raises(RemoteProtocolError):
        rfb.agreed_version(banner)


def test_security_types_are_named() -> None:
    """A known type is told by number and name, another by number."""
    assert "2 (VncAuth)" == rfb.security_name(2)
    assert "200" == rfb.security_name(200)

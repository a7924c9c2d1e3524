"""The handshake towards the VM, against scripted VNC servers of every kind."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consoleproxy.errors import (
    RemoteProtocolError,
    VMPasswordError,
    VMProtocolError,
    VMRefusedError,
)
from consoleproxy.wire import rfb, rfb_client, vnc_auth
from tests.wire.conversations import BOUNDED, cut_at, every_split, play

V33, V37, V38 = b"RFB 003.003\n", b"RFB 003.007\n", b"RFB 003.008\n"
OK, FAILED, TOO_MANY = bytes(4), b"\0\0\0\1", b"\0\0\0\2"
CHALLENGE = bytes(range(16))
SHARED = b"\1"
PIXEL_FORMAT = bytes.fromhex("2018000100ff00ff00ff100800000000")
SERVER_INIT = rfb.ServerInit(1024, 768, PIXEL_FORMAT, "QEMU")
INIT = SERVER_INIT.to_bytes()
SECRET12 = vnc_auth.answer("secret12", CHALLENGE)


def reason(text: str) -> bytes:
    """Return ``text`` as servers send a reason."""
    return struct.pack(">I", len(text.encode())) + text.encode()


# name: password, what the server says, what we say
ENTERED = {
    "3.8 None": ("", V38 + b"\1\1" + OK, V38 + b"\1"),
    "3.8 VncAuth": ("secret12", V38 + b"\1\2" + CHALLENGE + OK, V38 + b"\2" + SECRET12),
    "3.7 None has no result": ("", V37 + b"\1\1", V37 + b"\1"),
    "3.7 VncAuth": ("secret12", V37 + b"\1\2" + CHALLENGE + OK, V37 + b"\2" + SECRET12),
    "3.3 None": ("", V33 + b"\0\0\0\1", V33),
    "3.3 VncAuth": ("secret12", V33 + b"\0\0\0\2" + CHALLENGE + OK, V33 + SECRET12),
    "3.5 is 3.3": ("", b"RFB 003.005\n\0\0\0\1", V33),
    "Apple 3.889": ("secret12", b"RFB 003.889\n" + b"\4\x1e\x21\x24\2" + CHALLENGE + OK, V38 + b"\2" + SECRET12),
    "RealVNC 4.1": ("", b"RFB 004.001\n" + b"\1\1" + OK, V38 + b"\1"),
    "RealVNC 5.0": ("", b"RFB 005.000\n" + b"\1\1" + OK, V38 + b"\1"),
    "VncAuth before None": ("secret12", V38 + b"\2\1\2" + CHALLENGE + OK, V38 + b"\2" + SECRET12),
    "VncAuth and None": ("secret12", V38 + b"\2\2\1" + CHALLENGE + OK, V38 + b"\2" + SECRET12),
    "[2,1] without a password": ("", V38 + b"\2\2\1" + OK, V38 + b"\1"),
    "[16,5,1]": ("", V38 + b"\3\x10\5\1" + OK, V38 + b"\1"),
    "[19,2,1] with a password": ("secret12", V38 + b"\3\x13\2\1" + CHALLENGE + OK, V38 + b"\2" + SECRET12),
    "unknown types": ("", V38 + b"\4\xfa\xff\1\0" + OK, V38 + b"\1"),
    "255 types": ("", V38 + b"\xff" + b"\x63" * 254 + b"\1" + OK, V38 + b"\1"),
    "only None though a password is set": ("secret12", V38 + b"\1\1" + OK, V38 + b"\1"),
}

# name: password, what the server says, the error, a part of its text
REFUSED: dict[str, tuple[str, bytes, type[Exception], str]] = {
    "3.8 wrong password": (
        "wrong", V38 + b"\1\2" + CHALLENGE + FAILED + reason("Authentication failed"),
        VMPasswordError, "Authentication failed",
    ),
    "3.7 wrong password": ("wrong", V37 + b"\1\2" + CHALLENGE + FAILED, VMPasswordError, "SecurityResult 1"),
    "3.3 wrong password": ("wrong", V33 + b"\0\0\0\2" + CHALLENGE + FAILED, VMPasswordError, "SecurityResult 1"),
    "empty reason": ("wrong", V38 + b"\1\2" + CHALLENGE + FAILED + reason(""), VMPasswordError, "no reason given"),
    "too many attempts": (
        "wrong", V38 + b"\1\2" + CHALLENGE + TOO_MANY + reason("Too many"), VMRefusedError, "Too many",
    ),
    "3.3 too many attempts": ("wrong", V33 + b"\0\0\0\2" + CHALLENGE + TOO_MANY, VMRefusedError, "SecurityResult 2"),
    "None, and yet refused": ("", V38 + b"\1\1" + FAILED + reason("go away"), VMRefusedError, "go away"),
    "3.8 no types": ("", V38 + b"\0" + reason("Too many security failures"), VMRefusedError, "Too many security"),
    "Xtigervnc's blacklist": ("right", V33 + bytes(4) + reason("Too many security failures"), VMRefusedError, "Too"),
    "a reason is cleaned": ("", V38 + b"\0" + reason("a\n\x1b[2J\u202eb"), VMRefusedError, "a[2Jb"),
    "a reason in Latin-1": ("", V38 + b"\0" + b"\0\0\0\4fr\xe9e", VMRefusedError, "fr\ufffde"),
    "no password": ("", V38 + b"\2\2\x13", VMPasswordError, "none is configured"),
    "3.3 no password": ("", V33 + b"\0\0\0\2", VMPasswordError, "none is configured"),
    "no type in common": ("x", V38 + b"\3\x13\x12\xc8", VMProtocolError, "offers 19 (VeNCrypt), 18 (TLS), 200"),
    "3.3 unknown type": ("x", V33 + b"\0\0\0\5", VMProtocolError, "offers 5 (RA2)"),
    "no RFB": ("", b"HTTP/1.0 400", RemoteProtocolError, "HTTP/1.0 400"),
    "endless reason": ("", V38 + b"\0" + b"\0\0\x10\1", RemoteProtocolError, "4097 bytes"),
    "strange result": ("", V38 + b"\1\1" + b"\0\0\0\3", RemoteProtocolError, "SecurityResult is 3"),
    "endless name": (
        "", V38 + b"\1\1" + OK + INIT[:20] + b"\0\1\0\1" + bytes(70000), RemoteProtocolError, "65537 bytes",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("password", "server", "client"), ENTERED.values(), ids=ENTERED)
def test_a_server_is_entered(password: str, server: bytes, client: bytes) -> None:
    """Each kind of server is entered with exactly these bytes, however its own are split."""
    for pieces in every_split(server + INIT + b"later"):
        played = play(rfb_client.connect(password), pieces)
        assert (client + SHARED, b"later", True, SERVER_INIT, "None") == played.outcome


@pytest.mark.parametrize(("password", "server", "error", "text"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_has_its_reason(password: str, server: bytes, error: type[Exception], text: str) -> None:
    """Each way to be refused raises its own error, however the bytes are split, and says why."""
    splits = every_split(server) if len(server) < 1000 else [[server]]
    for pieces in splits:
        played = play(rfb_client.connect(password), pieces)
        assert error is type(played.error)
        assert text in str(played.error)


def test_nothing_is_chosen_when_nothing_fits() -> None:
    """A server whose types are all unknown gets our version and no choice."""
    assert V38 == play(rfb_client.connect("x"), [V38 + b"\1\x13"]).sent


def test_the_longest_reason_is_read() -> None:
    """A reason of exactly 4096 bytes is read, and cut for the log."""
    played = play(rfb_client.connect(""), [V38 + b"\0" + reason("x" * 4096)])
    assert VMRefusedError is type(played.error)
    assert "x" * rfb.DEFAULT_TEXT_LIMIT == str(played.error)


def test_the_longest_name_is_read() -> None:
    """A name of 64 KiB is read to its end, so that the stream stays in step."""
    init = rfb.ServerInit(1, 1, PIXEL_FORMAT, "n" * rfb.MAX_NAME_BYTES).to_bytes()
    played = play(rfb_client.connect(""), [V38 + b"\1\1" + OK + init + b"later"])
    assert b"later" == played.leftover
    assert rfb.ServerInit(1, 1, PIXEL_FORMAT, "n" * rfb.DEFAULT_TEXT_LIMIT) == played.result


def test_a_script_that_ends_early_leaves_the_handshake_waiting() -> None:
    """No prefix of a good handshake ends it: neither with a result nor with an error."""
    server = V38 + b"\1\2" + CHALLENGE + OK + INIT
    for end in range(len(server)):
        played = play(rfb_client.connect("secret12"), [server[:end]])
        assert (False, None) == (played.is_over, played.error)


SCRIPTS = st.lists(
    st.one_of(
        st.sampled_from([V33, V37, V38, b"\1\1", b"\1\2", b"\2\2\1", b"\0", OK, FAILED, TOO_MANY, CHALLENGE, INIT]),
        st.binary(max_size=30),
    ),
    max_size=8,
).map(b"".join)


@BOUNDED
@given(st.text(max_size=10), st.one_of(SCRIPTS, SCRIPTS.map(V38.__add__)), st.lists(st.integers(0, 1000), max_size=5))
def test_any_server_is_entered_refused_or_awaited(password: str, script: bytes, cuts: list[int]) -> None:
    """Whatever a server says, only the documented errors come out, the same for every split."""
    played = play(rfb_client.connect(password), [script])
    documented = (VMPasswordError, VMRefusedError, VMProtocolError, RemoteProtocolError)
    assert played.error is None or isinstance(played.error, documented)
    assert played.outcome == play(rfb_client.connect(password), cut_at(script, cuts)).outcome

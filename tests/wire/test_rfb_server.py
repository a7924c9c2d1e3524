"""The handshake towards the browser, against scripted clients."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consoleproxy.errors import RemoteProtocolError
from consoleproxy.wire import rfb, rfb_client, rfb_server
from tests.wire.conversations import BOUNDED, cut_at, every_split, play

V33, V37, V38 = b"RFB 003.003\n", b"RFB 003.007\n", b"RFB 003.008\n"
OK = bytes(4)
SERVER_INIT = rfb.ServerInit(800, 600, bytes.fromhex("2018000100ff00ff00ff100800000000"), "日本")
INIT = SERVER_INIT.to_bytes()
#: SecurityResult 1 and a reason of 43 bytes.
REFUSAL = b"\0\0\0\1" + b"\0\0\0\x2b" + b"this server offers security type None alone"

# name: what the client says, what we say
ADMITTED = {
    "3.8": (V38 + b"\1\1", V38 + b"\1\1" + OK + INIT),
    "3.8, not shared": (V38 + b"\1\0", V38 + b"\1\1" + OK + INIT),
    "3.7 has no result": (V37 + b"\1\1", V38 + b"\1\1" + INIT),
    "3.3 is told the type": (V33 + b"\1", V38 + b"\0\0\0\1" + INIT),
    "3.5 is 3.3": (b"RFB 003.005\n\1", V38 + b"\0\0\0\1" + INIT),
    "3.889 is 3.8": (b"RFB 003.889\n\1\1", V38 + b"\1\1" + OK + INIT),
}


@pytest.mark.parametrize(("client", "server"), ADMITTED.values(), ids=ADMITTED)
def test_a_client_is_admitted(client: bytes, server: bytes) -> None:
    """Each version gets exactly these bytes, however its own are split, and what follows is left."""
    for pieces in every_split(client + b"\3\1"):
        assert (server, b"\3\1", True, None, "None") == play(rfb_server.accept(SERVER_INIT), pieces).outcome


@pytest.mark.parametrize(
    ("client", "last_words"),
    [
        (V38 + b"\2", b"\1\1" + REFUSAL),
        (V38 + b"\0", b"\1\1" + REFUSAL),
        (V37 + b"\2", b"\1\1"),
        (b"GET / HTTP/1", b""),
    ],
)
def test_a_wrong_answer_ends_the_handshake(client: bytes, last_words: bytes) -> None:
    """A choice that was not offered is refused, in words where the version has words."""
    for pieces in every_split(client):
        played = play(rfb_server.accept(SERVER_INIT), pieces)
        assert RemoteProtocolError is type(played.error)
        assert V38 + last_words == played.sent


@pytest.mark.parametrize("password", ["", "secret12"])
def test_our_own_client_is_admitted(password: str) -> None:
    """What ``rfb_server`` says lets ``rfb_client`` in, with or without a password."""
    server = play(rfb_server.accept(SERVER_INIT), [V38 + b"\1\1"])
    client = play(rfb_client.connect(password), [server.sent])
    assert SERVER_INIT == client.result
    assert V38 + b"\1\1" == client.sent


@BOUNDED
@given(
    st.one_of(st.binary(max_size=30), st.binary(max_size=5).map(V38.__add__), st.binary(max_size=5).map(V37.__add__)),
    st.lists(st.integers(0, 100), max_size=5),
)
def test_any_client_is_admitted_refused_or_awaited(script: bytes, cuts: list[int]) -> None:
    """Whatever a client says, nothing but ``RemoteProtocolError`` comes out, the same for every split."""
    played = play(rfb_server.accept(SERVER_INIT), [script])
    assert played.error is None or isinstance(played.error, RemoteProtocolError)
    assert played.outcome == play(rfb_server.accept(SERVER_INIT), cut_at(script, cuts)).outcome

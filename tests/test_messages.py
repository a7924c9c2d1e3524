"""The messages of the link as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consoleproxy.errors import ExpiredError, LinkRefused, Refused, RemoteProtocolError, UsedError, WrongProxyError
from consoleproxy.messages import (
    AccessAnswer,
    AccessRequest,
    KeysPush,
    LoadReport,
    ProxyDescription,
    Refusal,
    SessionEnd,
    SessionInfo,
    SessionOpened,
    Target,
    Welcome,
)
from consoleproxy.messages.codec import KINDS, MAX_MESSAGE, Message, from_json, from_refusal, to_json, to_refusal

REQUEST = {"kind": "authorise", "session_id": "s", "vm_id": "v", "host": "h", "port": 5900, "viewer_address": "::1"}
LARGE = 2**62
PLAIN: Mapping[object, st.SearchStrategy[Any]] = {
    int: st.integers(-LARGE, LARGE),
    float: st.floats(-LARGE, LARGE),
    str: st.text(),
    bool: st.booleans(),
    Mapping[str, str]: st.dictionaries(st.text(), st.text()),
    Target | None: st.none() | st.builds(Target, host=st.text(), port=st.integers(0, 65535)),
    tuple[SessionOpened, ...]: st.lists(
        st.builds(SessionOpened, st.text(), st.text(), st.text(), st.floats(-LARGE, LARGE))
    ).map(tuple),
    tuple[SessionEnd, ...]: st.lists(
        st.builds(SessionEnd, st.text(), st.text(), st.text(), st.floats(-LARGE, LARGE), st.just(1), st.just(2))
    ).map(tuple),
}


def messages(shape: type[Message]) -> st.SearchStrategy[Message]:
    """Make messages of one shape, every field of which is given."""
    return st.builds(shape, **{name: PLAIN[wanted] for name, wanted in get_type_hints(shape).items()})


@given(st.one_of(*map(messages, KINDS.values())), st.none() | st.integers(-LARGE, LARGE))
def test_a_message_survives_its_json(message: Message, number: int | None) -> None:
    """Every message of every kind is read back as it was written, with its number."""
    envelope = from_json(to_json(message, number))
    assert (number, message) == (envelope.id, envelope.message)
    assert KINDS[envelope.kind] is type(message)


@given(st.text() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_any_text_parses_or_is_refused(text: str) -> None:
    """A text is read or raises ``RemoteProtocolError``, and nothing else."""
    try:
        from_json(text)
    except RemoteProtocolError:
        return


@given(
    st.sampled_from(sorted(KINDS)),
    st.dictionaries(
        st.sampled_from(
            ["id", "seq", "sessions", "opened", "ended", "settings", "interval", "target", "port", "host", "protocol"]
        ),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        ),
    ),
)
def test_any_fields_parse_or_are_refused(kind: str, fields: dict[str, object]) -> None:
    """A known kind with any fields is read or raises ``RemoteProtocolError``, and nothing else."""
    try:
        from_json(json.dumps({"kind": kind} | fields))
    except RemoteProtocolError:
        return


def test_what_nobody_knows_is_let_pass() -> None:
    """Unknown fields are ignored, an unknown kind is named and has no message, absent fields have their defaults."""
    known = from_json(json.dumps(REQUEST | {"colour": "red", "id": 7}))
    assert (7, AccessRequest("s", "v", "h", 5900, "::1")) == (known.id, known.message)
    unknown = from_json('{"kind":"dance","id":8,"port":"x"}')
    assert ("dance", 8, None) == (unknown.kind, unknown.id, unknown.message)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"kind":"ack","seq":NaN}', "not JSON"),
        ("[]", "not an object with a kind"),
        ('{"kind":1}', "not an object with a kind"),
        ('{"kind":"ack","id":"1","seq":1}', "id is not a number"),
        ('{"kind":"ack","id":true,"seq":1}', "id is not a number"),
        ('{"kind":"ack"}', "ack.seq is missing"),
        ('{"kind":"ack","seq":"1"}', "ack.seq has the wrong type"),
        ('{"kind":"ack","seq":true}', "ack.seq has the wrong type"),
        ('{"kind":"ack","seq":1.0}', "ack.seq has the wrong type"),
        ('{"kind":"ack","seq":9223372036854775808}', "ack.seq is too large"),
        ('{"kind":"report","seq":1,"sessions":0,"opened":{}}', "report.opened has the wrong type"),
        ('{"kind":"report","seq":1,"sessions":0,"opened":[{}]}', "report.opened.session_id is missing"),
        ('{"kind":"report","seq":1,"sessions":0,"opened":[1]}', "report.opened has the wrong type"),
        ('{"kind":"decision","target":{"host":"h","port":"1"}}', "decision.target.port has the wrong type"),
        ('{"kind":"settings","settings":{"a":1}}', "settings.settings has the wrong type"),
        ('{"kind":"error","detail":"\\ud800"}', "error.detail holds half a character"),
        (f'{{"kind":"error","detail":"{"x" * MAX_MESSAGE}"}}', "longer than"),
    ],
)
def test_a_damaged_message_is_refused(text: str, fault: str) -> None:
    """The error names what is wrong."""
    with pytest.raises(RemoteProtocolError, match=fault):
        from_json(text)


def test_an_error_holds_no_value() -> None:
    """What is wrong with a message is told without the message's values: they may be secrets."""
    with pytest.raises(RemoteProtocolError) as error:
        from_json(json.dumps(REQUEST | {"password": ["vnc-pw"]}))
    assert "vnc-pw" not in str(error.value)


def test_a_whole_number_is_a_time() -> None:
    """JSON writes 5.0 as 5 where it likes."""
    welcome = from_json('{"kind":"welcome","token_key":"k","interval":5}').message
    assert Welcome("k", interval=5.0) == welcome
    assert isinstance(welcome, Welcome)
    assert float is type(welcome.interval)


def test_a_target_is_read() -> None:
    """What lies inside a message becomes its own shape."""
    answer = AccessAnswer(Target("h", 5900, "pw"), user="ann")
    assert answer == from_json(to_json(answer)).message


def test_a_full_list_fits() -> None:
    """Ten thousand sessions fit into one hello, and into one report."""
    sessions = tuple(
        SessionInfo(f"{n:036}", "v" * 36, "2001:db8:1111:2222:3333:4444:5555:6666", 1e9) for n in range(10_000)
    )
    hello = ProxyDescription("0", "p", "i", "n", "a", 1, 2, is_tls=False, capacity=1, sessions=sessions)
    assert hello == from_json(to_json(hello)).message
    report = LoadReport(1, 10_000, sessions, (SessionEnd("s", "v", "idle", 1.0, 2, 3),), is_full=True)
    assert report == from_json(to_json(report)).message


@pytest.mark.parametrize("error", [ExpiredError("x"), UsedError("x"), WrongProxyError("x"), LinkRefused("x")])
def test_a_refusal_is_the_same_on_the_other_side(error: Refused | LinkRefused) -> None:
    """A no keeps its class and its words."""
    there = from_refusal(to_refusal(error))
    assert (type(error), "x") == (type(there), str(there))


def test_an_unknown_reason_is_a_refusal_all_the_same() -> None:
    """A reason of a newer manager is no yes."""
    assert Refused is type(from_refusal(Refusal("new-word")))


def test_secrets_do_not_show() -> None:
    """Keys stand in no ``repr``."""
    assert "secret" not in repr(Welcome("secret", "secret")) + repr(KeysPush("secret", "secret"))


def test_a_listed_session_is_an_opened_one() -> None:
    """Lists and openings tell the same facts."""
    assert SessionOpened("s", "v", "a", 1.0) == SessionInfo("s", "v", "a", 1.0)

"""The signature of API requests, against what ``cs`` makes and against alterations."""

from __future__ import annotations

import base64
import hmac
from typing import Any

import cs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consoleproxy.manager.signature import SignatureError, expires_at, sign, verify

SECRET = "VDaACYb0LV9eNjTetIOElcVQkvJck_J_QljX_FcHRj87ZKiy0z0ty0ZsYBkoXkY9b7eq1EhwJaw7FF3akA3KBQ"
NOW = 1_900_000_000.0
SOON = "2030-03-17T17:47:40+0000"

#: What CloudStack's own documentation of signing shows: a command and its key.
KNOWN = {
    "apikey": "plgWJfZK4gyS3mOMTVmjUVg-X-jlWlnfaUJ9GAbBbf9EdM-kAYMmAiLqzzq1ElZLYq_u38zCm0bewzGUdP66mg",
    "command": "listUsers",
    "response": "json",
}
KNOWN_SIGNATURE = "TTpdDq/7j/J58XCRHomKoQXEQds="


def by_client(parameters: dict[str, Any]) -> dict[str, str]:
    """Return what ``cs`` sends for these parameters."""
    sent = dict(parameters)
    cs.CloudStack(endpoint="http://localhost", key="k", secret=SECRET)._sign(sent)  # type: ignore[no-untyped-call]  # noqa: SLF001  # its signing alone
    return sent


def is_accepted(parameters: dict[str, str], secret: str = SECRET, now: float = NOW) -> bool:
    """Tell whether the request passes."""
    try:
        verify(parameters.items(), secret, now=now)
    except SignatureError:
        return False
    return True


def test_the_documented_example() -> None:
    """The example of CloudStack's documentation comes out."""
    assert KNOWN_SIGNATURE == sign(KNOWN.items(), SECRET)


@given(
    st.dictionaries(
        st.text("abcXYZ0[].", min_size=1).filter(lambda name: name.lower() not in {"expires", "signatureversion"}),
        st.text(),
        max_size=5,
    )
)
def test_what_the_client_signs_is_accepted(parameters: dict[str, str]) -> None:
    """Whatever names and values there are, the client's signature is ours."""
    assert is_accepted(by_client(parameters))


@given(st.text(), st.text())
def test_no_other_signature_is_accepted(signature: str, value: str) -> None:
    """Any text that is not the signature is refused, and nothing else is raised."""
    assert (signature == by_client({"a": value})["signature"]) == is_accepted({"a": value, "signature": signature})


def test_a_tilde_may_be_escaped_or_not() -> None:
    """Java's clients sign %7E for a tilde, Python's the tilde: both are right, and no third."""
    texts = {"a=x~": True, "a=x%7e": True, "a=x%257e": False, "a=x": False}
    for text, is_right in texts.items():
        signature = base64.b64encode(hmac.digest(SECRET.encode(), text.encode(), "sha1")).decode()
        assert is_right == is_accepted({"a": "x~", "signature": signature}), text


@pytest.mark.parametrize(
    "change",
    [
        {"command": "listAccounts"},
        {"more": ""},
        {"signature": ""},
        {"signature": KNOWN_SIGNATURE[:-2] + "x="},
        {"signature": KNOWN_SIGNATURE.lower()},
        {"signature": "Ünïcode"},
        {"response": "json "},
    ],
)
def test_alterations(change: dict[str, str]) -> None:
    """A changed, added or emptied parameter, or another signature, is refused."""
    sent = {**KNOWN, "signature": KNOWN_SIGNATURE}
    assert is_accepted(sent)
    assert not is_accepted({**sent, **change})


def test_a_missing_signature() -> None:
    """No signature, no entry; also under an empty secret."""
    assert not is_accepted(KNOWN)
    assert not is_accepted(KNOWN, secret="")


def test_the_name_of_the_signature_in_any_case() -> None:
    """The parameter may be called Signature; it is never part of what is signed."""
    assert is_accepted({**KNOWN, "SIGNATURE": KNOWN_SIGNATURE})


@pytest.mark.parametrize(
    ("parameters", "accepted"),
    [
        ({"signatureVersion": "3", "expires": SOON}, True),
        ({"signatureversion": "3", "EXPIRES": SOON}, True),
        ({"signatureVersion": "3", "expires": "2030-03-17T18:47:40+0100"}, True),
        ({"signatureVersion": "3", "expires": "2030-03-17T17:47:40Z"}, True),
        ({"signatureVersion": "3", "expires": "2030-03-17T17:46:40+0000"}, False),
        ({"signatureVersion": "3", "expires": "2030-03-17T17:47:40+0100"}, False),
        ({"expires": "2030-03-17T17:46:39+0000"}, False),
        ({"signatureVersion": "3", "expires": "2030-03-17T17:47:40"}, False),
        ({"signatureVersion": "3", "expires": "soon"}, False),
        ({"signatureVersion": "3", "expires": ""}, False),
        ({"signatureVersion": "3"}, False),
        ({"signatureVersion": "2"}, True),
        ({}, True),
    ],
)
def test_expiry(parameters: dict[str, str], accepted: bool) -> None:  # noqa: FBT001
    """Version 3 needs an expiry that lies ahead; an expiry counts under any version."""
    assert accepted == is_accepted(by_client({**KNOWN, **parameters}))


def test_an_altered_expiry() -> None:
    """The expiry is signed."""
    sent = by_client({**KNOWN, "signatureVersion": "3", "expires": SOON})
    assert is_accepted(sent)
    assert not is_accepted({**sent, "expires": "2030-03-17T17:47:41+0000"})
    assert not is_accepted({name: value for name, value in sent.items() if name != "expires"})


def test_expires_is_unix_time() -> None:
    """One minute after the test's clock."""
    assert NOW + 60 == expires_at(SOON)


def test_errors_hold_no_secret() -> None:
    """The texts, which are logged, hold neither the signature nor a value."""
    sent = by_client({"token": "confidential", "signatureVersion": "3", "expires": "not-a-date"})
    for altered in (sent, {**sent, "token": "other"}):
        with pytest.raises(SignatureError) as caught:
            verify(altered.items(), SECRET, now=NOW)
        assert not any(value in str(caught.value) for value in (*altered.values(), SECRET))

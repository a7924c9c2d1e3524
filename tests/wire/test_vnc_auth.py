"""The answer to a VNC server's challenge."""

from __future__ import annotations

import pytest

from consoleproxy.wire import vnc_auth
from tests.wire.vectors import VECTORS

CHALLENGE = bytes(range(16))


@pytest.mark.parametrize("vector", VECTORS["vncAuth"], ids=lambda v: f"{v['password']}-{v['challengeHex'][:4]}")
def test_answers_are_those_of_cloudstack(vector: dict[str, str]) -> None:
    """Password and challenge give the response that CloudStack's proxy gives."""
    answer = vnc_auth.answer(vector["password"], bytes.fromhex(vector["challengeHex"]))
    assert vector["responseHex"] == answer.hex()


def test_answer_is_that_of_openssl() -> None:
    """The response equals DES-ECB of OpenSSL's legacy provider under the bit-reversed password."""
    assert "adcd997f8e16fee575e973f93c2b62b4" == vnc_auth.answer("secret12", CHALLENGE).hex()


@pytest.mark.parametrize("password", ["pässwörd", "p\N{GRINNING FACE}ssw\N{GRINNING FACE}rd", "p\ud800ssw\ud800rd"])
def test_characters_outside_ascii_count_as_question_marks(password: str) -> None:
    """A character that ASCII lacks becomes one ``?``, whatever its length in UTF-8."""
    assert vnc_auth.answer("p?ssw?rd", CHALLENGE) == vnc_auth.answer(password, CHALLENGE)

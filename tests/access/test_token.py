"""The token's encryption, against tokens that CloudStack's own classes made."""

import base64
import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from consoleproxy.access.token import MAX_TOKEN, TokenKey, TokenKeys, decode, encode
from consoleproxy.errors import BadTokenError, ConfigError

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors.json").read_text("utf-8"))["tokens"]
IDS = [vector["name"] for vector in VECTORS]
KEY = TokenKey(bytes(range(16)), bytes(range(16, 32)))
OTHER_KEY = TokenKey(bytes(16), bytes(16))
NONCE = bytes(12)


def keys_of(vector: dict[str, Any]) -> TokenKeys:
    """The keys under which a vector's token opens."""
    return TokenKeys(TokenKey.from_json(vector["encryptorPassword"]))


def sealed(plaintext: bytes) -> str:
    """A token that decrypts to anything, also to what ``encode`` would never write."""
    cipher = AESGCM(hashlib.sha256(KEY.key).digest())
    return base64.b64encode(NONCE + cipher.encrypt(NONCE, plaintext, KEY.iv)).decode()


@pytest.mark.parametrize("vector", VECTORS, ids=IDS)
def test_decode_opens_cloudstacks_tokens(vector: dict[str, Any]) -> None:
    """Every token that CloudStack made decrypts to the JSON that went in."""
    assert json.loads(vector["plaintextJson"]) == decode(vector["token"], keys_of(vector))


@pytest.mark.parametrize("vector", VECTORS, ids=IDS)
def test_decode_takes_tokens_without_padding(vector: dict[str, Any]) -> None:
    """Padding may be missing, since CloudStack's own query parser loses it."""
    assert json.loads(vector["plaintextJson"]) == decode(vector["token"].rstrip("="), keys_of(vector))


@pytest.mark.parametrize("vector", VECTORS, ids=IDS)
def test_decode_takes_percent_encoded_tokens(vector: dict[str, Any]) -> None:
    """A token may be percent-encoded, as a careful client sends it."""
    encoded = vector["token"].replace("+", "%2B").replace("/", "%2f").replace("=", "%3D")
    assert json.loads(vector["plaintextJson"]) == decode(encoded, keys_of(vector))


@pytest.mark.parametrize("vector", VECTORS, ids=IDS)
def test_encode_gives_cloudstacks_bytes(vector: dict[str, Any]) -> None:
    """Under the same nonce, key and plaintext the token is CloudStack's, but for Gson's escapes in the plaintext."""
    fields = json.loads(vector["plaintextJson"])
    token = encode(fields, keys_of(vector).current, bytes.fromhex(vector["nonceHex"]))
    if "\\u" not in vector["plaintextJson"]:
        assert vector["token"] == token
    assert fields == decode(token, keys_of(vector))


def test_some_vector_has_no_escapes() -> None:
    """At least one vector is compared byte by byte, so that the test above can fail."""
    assert any("\\u" not in vector["plaintextJson"] for vector in VECTORS)


def test_encode_leaves_out_none() -> None:
    """A field that is None is not written, as with CloudStack."""
    assert {"a": 1} == decode(encode({"a": 1, "b": None}, KEY, NONCE), TokenKeys(KEY))


def test_encode_refuses_a_nonce_of_another_size() -> None:
    """The nonce has twelve bytes, no other number."""
    with pytest.raises(ValueError, match="12 bytes, not 11"):
        encode({}, KEY, bytes(11))


def test_decode_takes_the_previous_key() -> None:
    """During a rotation tokens of the previous key still open."""
    token = encode({"a": 1}, OTHER_KEY, NONCE)
    assert {"a": 1} == decode(token, TokenKeys(KEY, previous=OTHER_KEY))


def test_decode_refuses_another_key() -> None:
    """A token of an unknown key is refused."""
    with pytest.raises(BadTokenError, match="does not decrypt"):
        decode(encode({"a": 1}, OTHER_KEY, NONCE), TokenKeys(KEY))


def test_decode_refuses_another_iv() -> None:
    """The IV bytes count too: they are authenticated with the token."""
    with pytest.raises(BadTokenError, match="does not decrypt"):
        decode(encode({"a": 1}, TokenKey(KEY.key, bytes(16)), NONCE), TokenKeys(KEY))


@pytest.mark.parametrize("padding", range(3))
def test_decode_refuses_a_change_anywhere(padding: int) -> None:
    """No character of a token can be changed, not even the bits that base64 leaves unused."""
    token = encode({"a": "b" * padding}, KEY, NONCE)
    for position, character in enumerate(token):
        for other in "AQgw/+z=":
            changed = token[:position] + other + token[position + 1 :]
            if other != character and changed.rstrip("=") != token.rstrip("="):
                with pytest.raises(BadTokenError):
                    decode(changed, TokenKeys(KEY))


def test_decode_refuses_a_token_cut_short() -> None:
    """No beginning of a token opens."""
    token = encode({"a": 1}, KEY, NONCE)
    for length in range(len(token.rstrip("="))):
        with pytest.raises(BadTokenError):
            decode(token[:length], TokenKeys(KEY))


@pytest.mark.parametrize(
    "plaintext",
    [b"", b"no json", b"[]", b'"text"', b"null", b"\xff", b"[" * 10000, b'{"a":' * 1900, b"1" * 5000],
    ids=lambda plaintext: repr(plaintext[:8]),
)
def test_decode_refuses_what_is_no_object(plaintext: bytes) -> None:
    """A token that decrypts to anything but a JSON object is refused."""
    with pytest.raises(BadTokenError, match="JSON"):
        decode(sealed(plaintext), TokenKeys(KEY))


def test_decode_looks_at_no_endless_token() -> None:
    """A token longer than the limit is refused for its length."""
    with pytest.raises(BadTokenError, match="longer"):
        decode("A" * (MAX_TOKEN + 1), TokenKeys(KEY))


def test_decode_opens_a_token_as_long_as_the_limit() -> None:
    """A token of exactly the limit opens."""
    token = sealed(b"{" + b" " * (MAX_TOKEN * 3 // 4 - 12 - 16 - 2) + b"}")
    assert MAX_TOKEN == len(token)
    assert {} == decode(token, TokenKeys(KEY))


def test_decode_refuses_the_other_alphabet() -> None:
    """The token's alphabet is the standard one: ``-`` and ``_`` are not taken."""
    token = next(vector["token"] for vector in VECTORS if "+" in vector["token"])
    with pytest.raises(BadTokenError, match="not base64"):
        decode(token.replace("+", "-"), TokenKeys(KEY))


@given(st.text())
def test_decode_of_any_text_is_refused(text: str) -> None:
    """Any text is refused with ``BadTokenError`` and no other error."""
    with pytest.raises(BadTokenError):
        decode(text, TokenKeys(KEY, OTHER_KEY))


@given(st.binary())
def test_decode_of_any_plaintext_is_fields_or_refused(plaintext: bytes) -> None:
    """Whatever a token decrypts to, the outcome is its fields or ``BadTokenError``."""
    with contextlib.suppress(BadTokenError):
        assert isinstance(decode(sealed(plaintext), TokenKeys(KEY)), dict)


@given(
    st.dictionaries(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")) | st.integers()),
    st.binary(min_size=12, max_size=12),
)
def test_decode_undoes_encode(fields: dict[str, object], nonce: bytes) -> None:
    """What went into a token comes out of it."""
    assert fields == decode(encode(fields, KEY, nonce), TokenKeys(KEY))


@pytest.mark.parametrize("vector", VECTORS, ids=IDS)
def test_key_is_read_as_cloudstack_hands_it_out(vector: dict[str, Any]) -> None:
    """The key's JSON gives the bytes that CloudStack encrypts with."""
    key = TokenKey.from_json(vector["encryptorPassword"])
    assert (vector["keyHex"], vector["ivHexUsedAsAad"]) == (key.key.hex(), key.iv.hex())
    assert vector["aes256KeyHex_sha256OfKey"] == hashlib.sha256(key.key).hexdigest()


@pytest.mark.parametrize("encode64", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("strip", [b"", b"="])
def test_key_may_be_in_either_alphabet(encode64: Callable[[bytes], bytes], strip: bytes) -> None:
    """Both base64 alphabets are read, padded or not."""
    raw = b"\xfb\xff\xfe" * 5 + b"\xff"
    text = encode64(raw).rstrip(strip).decode()
    key = TokenKey.from_json(json.dumps({"base64EncodedKeyBytes": text, "base64EncodedIvBytes": text}))
    assert TokenKey(raw, raw) == key


def test_key_survives_its_own_json() -> None:
    """``from_json`` reads what ``to_json`` writes, which is CloudStack's URL-safe form without padding."""
    assert KEY == TokenKey.from_json(KEY.to_json())
    assert '{"base64EncodedKeyBytes": "AAECAwQFBgcICQoLDA0ODw", "base64EncodedIvBytes": "EBESExQVFhcYGRobHB0eHw"}' == (
        KEY.to_json()
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not JSON"),
        ("[]", "not JSON"),
        ("Dummy", "not JSON"),
        ("{}", "no text base64EncodedKeyBytes"),
        ('{"base64EncodedKeyBytes": 1}', "no text base64EncodedKeyBytes"),
        ('{"base64EncodedKeyBytes": "AAECAwQFBgcICQoLDA0ODw"}', "no text base64EncodedIvBytes"),
        ('{"base64EncodedKeyBytes": "AAECAwQF"}', "is 6 bytes, not 16"),
        ('{"base64EncodedKeyBytes": "secret!"}', "is not base64"),
        ('{"base64EncodedKeyBytes": "gehé"}', "is not base64"),
    ],
)
def test_key_that_cannot_be_read_is_named(text: str, complaint: str) -> None:
    """A wrong key is a ``ConfigError`` that says what is wrong without quoting the key."""
    with pytest.raises(ConfigError, match=complaint) as caught:
        TokenKey.from_json(text)
    assert "secret!" not in str(caught.value)


def test_key_of_another_size_cannot_be_made() -> None:
    """A key is sixteen and sixteen bytes."""
    with pytest.raises(ConfigError, match="16 key bytes"):
        TokenKey(bytes(15), bytes(16))


def test_key_is_generated_from_the_given_randomness() -> None:
    """A new key takes twice sixteen bytes from the source that it is given."""
    source = iter([b"k" * 16, b"i" * 16])
    assert TokenKey(b"k" * 16, b"i" * 16) == TokenKey.generate(lambda _: next(source))


def test_key_does_not_show_itself() -> None:
    """No ``repr`` holds a key."""
    assert "TokenKeys(current=TokenKey(), previous=TokenKey())" == repr(TokenKeys(KEY, KEY))

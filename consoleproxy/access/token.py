"""The encrypted token of a console link, exactly as CloudStack makes it (facts 2.1 and 2.2).

A token is standard base64 of nonce (12 bytes), ciphertext and tag (16 bytes): AES-256-GCM
over UTF-8 JSON. The AES key is the SHA-256 of 16 key bytes. The 16 "IV" bytes are not the
nonce but the additional authenticated data; the name is older than the method.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from consoleproxy.errors import BadTokenError, ConfigError

#: The longest token text that is looked at, in characters; CloudStack's are under 1500.
MAX_TOKEN = 16 * 1024

KEY_SIZE = 16
NONCE_SIZE = 12
TAG_SIZE = 16

_KEY_FIELD = "base64EncodedKeyBytes"
_IV_FIELD = "base64EncodedIvBytes"


@dataclass(frozen=True, slots=True)
class TokenKey:
    """The secret that makes and opens tokens: 16 key bytes and 16 "IV" bytes."""

    key: bytes = field(repr=False)
    iv: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) != KEY_SIZE or len(self.iv) != KEY_SIZE:
            raise ConfigError(f"the token key needs {KEY_SIZE} key bytes and {KEY_SIZE} IV bytes")

    @classmethod
    def from_json(cls, text: str) -> TokenKey:
        """Read the key as CloudStack hands it out (fact 2.1).

        ``text`` is ``{"base64EncodedKeyBytes": "...", "base64EncodedIvBytes": "..."}``, in
        either base64 alphabet, padded or not. Raises ``ConfigError``, never naming the key.
        """
        try:
            parts = json.loads(text)
        except (ValueError, RecursionError):
            parts = None
        if not isinstance(parts, dict):
            raise ConfigError(f'the token key is not JSON like {{"{_KEY_FIELD}": "...", "{_IV_FIELD}": "..."}}')
        return cls(_key_bytes(parts, _KEY_FIELD), _key_bytes(parts, _IV_FIELD))

    @classmethod
    def generate(cls, random_bytes: Callable[[int], bytes]) -> TokenKey:
        """Make a new key; ``random_bytes`` must be fit for secrets, such as ``secrets.token_bytes``."""
        return cls(random_bytes(KEY_SIZE), random_bytes(KEY_SIZE))

    def to_json(self) -> str:
        """Write the key as ``from_json`` and CloudStack's own proxy read it. The text is a secret."""
        return json.dumps({_KEY_FIELD: _urlsafe(self.key), _IV_FIELD: _urlsafe(self.iv)})


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """The keys that open tokens now; during a rotation the previous one still does."""

    current: TokenKey
    previous: TokenKey | None = None

    @classmethod
    def from_json(cls, current: str, previous: str = "") -> TokenKeys:
        """Read both as ``TokenKey.from_json`` does; an empty ``previous`` is none."""
        return cls(TokenKey.from_json(current), TokenKey.from_json(previous) if previous else None)


def encode(fields: Mapping[str, object], key: TokenKey, nonce: bytes) -> str:
    """Return the token that holds ``fields``; those that are None are left out, as CloudStack does.

    ``nonce`` is 12 random bytes, never used twice under one key: a repeat gives the key
    away. The token is not percent-encoded; CloudStack puts it into URLs as it is.
    """
    if len(nonce) != NONCE_SIZE:
        raise ValueError(f"a token needs a nonce of {NONCE_SIZE} bytes, not {len(nonce)}")
    present = {name: value for name, value in fields.items() if value is not None}
    plaintext = json.dumps(present, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return base64.b64encode(nonce + _cipher(key).encrypt(nonce, plaintext, key.iv)).decode()


def decode(token: str, keys: TokenKeys) -> dict[str, object]:
    """Return the fields of ``token``; hand them to ``Grant.from_fields`` to make sense of them.

    ``token`` may be padded or not, raw or percent-encoded; a ``+`` is a ``+``. Raises
    ``BadTokenError`` for everything that is wrong with it, and nothing else.
    """
    sealed = _sealed_bytes(token)
    for key in (keys.current, keys.previous):
        if key is not None and (plaintext := _open(sealed, key)) is not None:
            return _fields(plaintext)
    raise BadTokenError("the token does not decrypt: made with another key, or damaged")


def _cipher(key: TokenKey) -> AESGCM:
    return AESGCM(hashlib.sha256(key.key).digest())


def _open(sealed: bytes, key: TokenKey) -> bytes | None:
    try:
        return _cipher(key).decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], key.iv)
    except InvalidTag:
        return None


def _sealed_bytes(token: str) -> bytes:
    if not token:
        raise BadTokenError("there is no token")
    if len(token) > MAX_TOKEN:
        raise BadTokenError(f"the token is longer than {MAX_TOKEN} characters")
    text = unquote(token).rstrip("=")
    try:
        sealed = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise BadTokenError("the token is not base64") from None
    # Base64 leaves up to four bits unused; one token has one text, so they must be zero.
    if base64.b64encode(sealed).rstrip(b"=") != text.encode():
        raise BadTokenError("the token is not canonical base64")
    if len(sealed) < NONCE_SIZE + TAG_SIZE:
        raise BadTokenError("the token is too short")
    return sealed


def _fields(plaintext: bytes) -> dict[str, object]:
    try:
        fields = json.loads(plaintext.decode())
    except (ValueError, RecursionError):
        raise BadTokenError("the token decrypts to something that is not JSON") from None
    if not isinstance(fields, dict):
        raise BadTokenError("the token decrypts to JSON that is not an object")
    return fields


def _key_bytes(parts: Mapping[str, object], name: str) -> bytes:
    text = parts.get(name)
    if not isinstance(text, str):
        raise ConfigError(f"the token key has no text {name}")
    standard = text.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        decoded = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except ValueError:
        raise ConfigError(f"the token key's {name} is not base64") from None
    if len(decoded) != KEY_SIZE:
        raise ConfigError(f"the token key's {name} is {len(decoded)} bytes, not {KEY_SIZE}")
    return decoded


def _urlsafe(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")

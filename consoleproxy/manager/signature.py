"""PURE: the signature that CloudStack's clients put on an API request.

HMAC-SHA1 under the account's secret key, in base64, over the parameters as they were
sent: sorted by name, ``name=value`` with the value percent-encoded (a space is ``%20``,
``*`` stays), joined by ``&``, all in lower case, without ``signature`` itself.
SHA-1 is the protocol's choice; as the hash inside an HMAC it still holds.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable
from datetime import datetime
from urllib.parse import quote

_EXPIRING_VERSION = "3"


class SignatureError(Exception):
    """The request is not signed, or no longer; the text is for the log and holds no secret."""


def sign(parameters: Iterable[tuple[str, str]], secret_key: str) -> str:
    """Return the signature of the parameters, which may hold an old one, as base64."""
    return _signature(_canonical(parameters), secret_key)


def verify(parameters: Iterable[tuple[str, str]], secret_key: str, *, now: float) -> None:
    """Return if the request was signed with ``secret_key`` and has not expired; else raise ``SignatureError``.

    ``parameters`` are the names and values as they were sent, ``now`` is in Unix seconds.
    Version 3 must say when it expires; where ``expires`` is given it always counts.
    """
    sent = list(parameters)
    given = {name.lower(): value for name, value in sent}
    # Java's encoder escapes the tilde, Python's does not: both kinds of client are right.
    texts = (_canonical(sent), _canonical(sent, tilde="%7e"))
    fits = [_is_same(_signature(text, secret_key), given.get("signature", "")) for text in texts]
    if not any(fits):
        raise SignatureError("signature differs")
    if given.get("expires"):
        _check_expiry(given["expires"], now)
    elif given.get("signatureversion") == _EXPIRING_VERSION:
        raise SignatureError("signature version 3 without expires")


def expires_at(text: str) -> float:
    """Return the Unix time of ``2030-12-31T23:59:59+0000`` (or ``+00:00``, ``Z``); ``ValueError`` for other texts."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z").timestamp()


def _check_expiry(text: str, now: float) -> None:
    try:
        moment = expires_at(text)
    except ValueError:
        raise SignatureError("expires is no date") from None
    if moment <= now:
        raise SignatureError("signature expired")


def _canonical(parameters: Iterable[tuple[str, str]], *, tilde: str = "~") -> str:
    signed = sorted((name, value) for name, value in parameters if name.lower() != "signature")
    return "&".join(f"{name}={quote(value, safe='*').replace('~', tilde)}" for name, value in signed).lower()


def _signature(text: str, secret_key: str) -> str:
    return base64.b64encode(hmac.digest(secret_key.encode(), text.encode(), "sha1")).decode()


def _is_same(mine: str, theirs: str) -> bool:
    return hmac.compare_digest(mine.encode(), theirs.encode())

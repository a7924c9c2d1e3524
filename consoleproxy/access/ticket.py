"""The ticket inside a token: for two minutes, this session may open this VM's screen (fact 2.4).

A ticket is HMAC-SHA512 over what the token says of the VM and the session, with the
minute at the end. The token itself never expires; its ticket does. Whoever holds the
hash key checks it, which is the control plane: a proxy does not hold it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from consoleproxy.errors import ExpiredError


def minute_of(unix_seconds: float) -> int:
    """Return the minute that tickets made at ``unix_seconds`` bear."""
    return int(unix_seconds // 60)


def make_ticket(hash_key: str, host: str, port: int, sid: str, tag: str, session: str, minute: int) -> str:
    """Return the ticket of one session: 88 characters of padded standard base64.

    ``hash_key`` is used as the text it is, not decoded, although it looks like base64.
    ``sid`` is the VNC password, ``tag`` the VM's UUID, ``session`` the session's UUID.
    ``host`` and ``port`` (-1 for XenServer) are those of the token.
    """
    facts = f"host={host}&port={port}&sid={sid}&tag={tag}&session={session}{minute}"
    return base64.b64encode(hmac.digest(hash_key.encode(), facts.encode(), hashlib.sha512)).decode()


def check_ticket(  # noqa: PLR0913 - the ticket, and all that it was made of
    ticket: str, hash_key: str, host: str, port: int, sid: str, tag: str, session: str, *, now_minute: int
) -> None:
    """Raise ``ExpiredError`` unless ``ticket`` was made in this minute or the one before.

    So a ticket lives 60 to 120 seconds. One that never was right cannot be told from one
    whose time is over, and both are answered alike. Takes the same time either way.
    """
    given = ticket.encode(errors="surrogatepass")
    matches = [
        hmac.compare_digest(make_ticket(hash_key, host, port, sid, tag, session, minute).encode(), given)
        for minute in (now_minute, now_minute - 1)
    ]
    if not any(matches):
        raise ExpiredError("the ticket matches neither this minute nor the one before")

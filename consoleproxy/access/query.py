"""What is taken from a console link's URL: the token and the extra token, nothing else.

CloudStack's Java proxy removes some parameters of the URL before it adds the token's, and
keeps others, so that ``sourceIP``, ``sessionUuid``, ``sessionRequiresNewViewer``,
``extraSecurityToken`` and ``displayname`` can be forged whenever the token lacks them:
a viewer passes the address check by naming its own address (fact 1.3, point 6). Here the
URL has no say in any of them, because nobody looks for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote


@dataclass(frozen=True, slots=True)
class Query:
    """The two texts of the URL; empty where absent. Both are secrets.

    ``token`` and ``extra`` are percent-decoded once. ``extra_as_sent`` is the extra token's
    text before that, which is what CloudStack compares (fact 2.5).
    """

    token: str = field(default="", repr=False)
    extra: str = field(default="", repr=False)
    extra_as_sent: str = field(default="", repr=False)


def parse_query(raw: str) -> Query:
    """Return the token and the extra token in ``raw``, the query string as it was sent.

    Hand the result to ``checks.admit``, which refuses an absent token. The last of several
    wins, an empty one does not count, and a ``+`` stays a ``+``, as in CloudStack (fact
    1.3). Unlike there, padding is kept and percent-encoding undone (checklist 8.2).
    """
    found: dict[str, str] = {}
    for piece in raw.split("&"):
        name, _, value = piece.partition("=")
        if value and name in {"token", "extra"}:
            found[name] = value
    extra = found.get("extra", "")
    return Query(unquote(found.get("token", "")), _decoded(extra), extra)


def _decoded(text: str) -> str:
    # Bytes that are no UTF-8 stay apart from each other, so that two extra tokens never look alike.
    return unquote(text, errors="surrogateescape")

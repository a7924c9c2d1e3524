"""The questions about a request that need no control plane, asked in one fixed order.

They come first because they cost nothing and burn nothing: a request that fails here has
not consumed its one-time session, so the right viewer can still use it.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Collection

from consoleproxy.access.grant import Grant
from consoleproxy.access.query import Query
from consoleproxy.access.token import TokenKeys, decode
from consoleproxy.errors import ExtraTokenError, OriginError, SourceAddressError

# RFC 6454 section 6.2: scheme, host and port, never a path; a user name would only be there to mislead.
_ORIGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[0-9a-f:.]+\]|[^\s\[\]/?#@:]+)(?P<port>:[0-9]{1,5})?")
_HOST = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[^\s\[\]/?#@:]+)(?::[0-9]{0,5})?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def admit(  # noqa: PLR0913 - everything that is known of a request at the door
    query: Query,
    keys: TokenKeys,
    *,
    peer: str,
    origin: str,
    host: str,
    check_source: bool,
    allowed_origins: Collection[str],
    forwarded_host: str = "",
) -> Grant:
    """Return what the request's token allows, or raise the first ``Refused`` error.

    The order is fixed: the token decrypts, its fields make sense, the extra token, the
    source address, the origin. Next, reserve a slot and ask the control link, which
    checks the ticket and consumes the session.

    ``peer`` is the viewer's address; where a trusted proxy stands in front, the one that
    it names. ``origin`` and ``host`` are the request's headers, empty where absent. The
    others are explained at ``check_source_address`` and ``check_origin``.
    """
    grant = Grant.from_fields(decode(query.token, keys))
    check_extra_token(grant, query.extra, query.extra_as_sent)
    check_source_address(grant, peer, enabled=check_source)
    check_origin(origin, host, allowed_origins, forwarded_host)
    return grant


def check_extra_token(grant: Grant, provided: str, as_sent: str = "") -> None:
    """Raise ``ExtraTokenError`` unless the URL's extra token is the one the link was made with.

    ``provided`` is percent-decoded, ``as_sent`` the same before that: CloudStack compares
    that one and places the text into its URLs unchanged (fact 2.5), so either may match.

    A link made without an extra token is refused when the URL brings one. CloudStack's
    proxy ignores it then; but somebody who sends one believes that this console is
    protected by it, and is better told than left in the belief.
    """
    if not grant.extra_token.strip():
        if provided or as_sent:
            raise ExtraTokenError("the URL brings an extra token, and the token holds none")
        return
    original = grant.extra_token.encode()
    matches = [hmac.compare_digest(original, text.encode(errors="surrogatepass")) for text in (provided, as_sent)]
    if not any(matches):
        raise ExtraTokenError("the extra token is missing or differs")


def check_source_address(grant: Grant, peer: str, *, enabled: bool) -> None:
    """Raise ``SourceAddressError`` unless ``peer`` is the address that asked for the link.

    They are compared as addresses, not as texts (CloudStack's proxy compares texts, fact
    1.4): every way to write an IPv6 address is the same, ``::ffff:192.0.2.1`` is
    ``192.0.2.1``, and a zone (``%eth0``) says only which of our own links it came by. When
    ``enabled``, a token without an address is refused.
    """
    if not enabled:
        return
    expected, actual = _address(grant.source_address), _address(peer)
    if expected is None or actual is None or expected != actual:
        raise SourceAddressError(f"the link was made for {grant.source_address or 'no address'!r}, not for {peer!r}")


def check_origin(origin: str, host: str, allowed: Collection[str], forwarded_host: str = "") -> None:
    """Raise ``OriginError`` unless the page that opened the websocket may do so.

    Allowed are: no origin at all (not a browser), the request's own host on any port,
    and what is listed in ``allowed``: an origin such as ``https://cloud.example.test``,
    whose port counts, or a bare host name, on any scheme and port. ``null`` (a file, a
    sandboxed frame) is refused unless listed. ``forwarded_host`` is what a *trusted* proxy
    in front says that the browser asked for: leave it empty for anybody else.
    """
    if not origin:
        return
    text = origin.strip().lower()
    listed = {entry.strip().lower().rstrip("/") for entry in allowed}
    parts = _ORIGIN.fullmatch(text)
    if parts is None:
        if text == "null" and "null" in listed:
            return
        raise OriginError(f"the origin {origin[:200]!r} is none, or not listed")
    name = _bare(parts["host"])
    own = {_host_of(host), _host_of(forwarded_host)}
    if name not in own and name not in listed and _without_default_port(text) not in map(_without_default_port, listed):
        raise OriginError(f"the origin {origin[:200]!r} is neither the host {host[:200]!r} nor listed")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _host_of(header: str) -> str | None:
    parts = _HOST.fullmatch(header.strip().lower())
    return _bare(parts["host"]) if parts else None


def _bare(host: str) -> str:
    return host.removesuffix(".")


def _without_default_port(origin: str) -> str:
    parts = _ORIGIN.fullmatch(origin)
    if parts is None:
        return origin
    port = "" if parts["port"] == _DEFAULT_PORTS.get(parts["scheme"]) else parts["port"] or ""
    return f"{parts['scheme']}://{_bare(parts['host'])}{port}"

"""The checks at the door, one by one and in their order."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consoleproxy.access.checks import admit, check_extra_token, check_origin, check_source_address
from consoleproxy.access.grant import Grant
from consoleproxy.access.query import Query, parse_query
from consoleproxy.access.token import TokenKey, TokenKeys, encode
from consoleproxy.errors import BadTokenError, ExtraTokenError, OriginError, Refused, SourceAddressError

KEYS = TokenKeys(TokenKey(bytes(16), bytes(16)))
GRANT = Grant("10.1.2.3", 5901, source_address="203.0.113.7", extra_token="pass%41 word")


def query(grant: Grant = GRANT, extra: str = "pass%2541%20word") -> Query:
    """The query of a link to ``grant``."""
    return parse_query(f"token={encode(grant.to_fields(), KEYS.current, bytes(12))}&extra={extra}")


def enter(
    asked: Query, *, peer: str = "203.0.113.7", origin: str = "https://proxy.example.test", check_source: bool = True
) -> Grant:
    """Ask ``admit`` with what an honest browser sends."""
    host = "proxy.example.test:8443"
    return admit(
        asked, KEYS, peer=peer, origin=origin, host=host, check_source=check_source, allowed_origins=["http://ok.test"]
    )


def test_honest_request_is_admitted() -> None:
    """A request that is right in everything gets the token's grant."""
    assert GRANT == enter(query())


def test_checks_have_an_order() -> None:
    """Of several faults the first in the contract's order is told: token, fields, extra, address, origin."""
    wrong = {"peer": "192.0.2.1", "origin": "https://evil.test"}
    with pytest.raises(BadTokenError, match="no token"):
        enter(Query(), **wrong)  # type: ignore[arg-type]
    with pytest.raises(BadTokenError, match="clientHostAddress"):
        enter(query(Grant("")), **wrong)  # type: ignore[arg-type]
    with pytest.raises(ExtraTokenError):
        enter(query(extra="wrong"), **wrong)  # type: ignore[arg-type]
    with pytest.raises(SourceAddressError):
        enter(query(), **wrong)  # type: ignore[arg-type]
    with pytest.raises(OriginError):
        enter(query(), origin="https://evil.test")


def test_source_address_is_checked_only_when_asked() -> None:
    """With the check off, any address may enter."""
    assert GRANT == enter(query(), peer="192.0.2.1", check_source=False)


def test_forged_parameters_change_nothing() -> None:
    """The URL's own ``sourceIP`` does not help, which it does with CloudStack's proxy when the token has none."""
    grant = Grant("h", 1)
    forged = parse_query(f"token={encode(grant.to_fields(), KEYS.current, bytes(12))}&sourceIP=203.0.113.7&host=evil")
    with pytest.raises(SourceAddressError):
        enter(forged)
    assert grant == enter(forged, check_source=False)


@given(st.text(), st.text(), st.text())
def test_any_request_is_answered_by_a_refusal(raw: str, peer: str, origin: str) -> None:
    """Whatever comes to the door without a token is refused in words, never by another error."""
    with pytest.raises(Refused):
        enter(parse_query(f"token=x&{raw}"), peer=peer, origin=origin)


@pytest.mark.parametrize(
    ("held", "sent"), [("x", "x"), ("é", "%C3%A9"), ("é", "é"), ("a b", "a%20b"), ("a%20b", "a%20b"), ("a+b", "a+b")]
)
def test_extra_token_may_be_encoded_or_not(held: str, sent: str) -> None:
    """The extra token is compared decoded, or as it was sent, which is what CloudStack compares."""
    asked = parse_query(f"extra={sent}")
    check_extra_token(Grant("h", 1, extra_token=held), asked.extra, asked.extra_as_sent)


@pytest.mark.parametrize("sent", ["", "X", "x ", "xx", "é", "\ud800"])
def test_extra_token_must_be_the_same(sent: str) -> None:
    """A missing or different extra token is refused; letter case counts."""
    with pytest.raises(ExtraTokenError):
        check_extra_token(Grant("h", 1, extra_token="x"), sent)


@pytest.mark.parametrize("held", ["", " "])
def test_extra_token_that_nobody_asked_for_is_refused(held: str) -> None:
    """A link without an extra token opens without one only."""
    check_extra_token(Grant("h", 1, extra_token=held), "")
    with pytest.raises(ExtraTokenError, match="holds none"):
        check_extra_token(Grant("h", 1, extra_token=held), "x")


@pytest.mark.parametrize(
    ("expected", "peer"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7", "::ffff:203.0.113.7"),
        ("::FFFF:cb00:7107", "203.0.113.7"),
        ("2001:db8:0:0:0:0:0:7", "2001:db8::7"),
        ("2001:DB8::7", "2001:0db8:0000::0007"),
        ("fe80:0:0:0:0:0:0:1%eth0", "fe80::1%3"),
        ("fe80::1", "fe80::1%eth0"),
    ],
)
def test_same_address_in_another_form_may_enter(expected: str, peer: str) -> None:
    """Addresses are compared, not texts."""
    check_source_address(Grant("h", 1, source_address=expected), peer, enabled=True)


@pytest.mark.parametrize(
    ("expected", "peer"),
    [
        ("203.0.113.7", "203.0.113.8"),
        ("203.0.113.7", ""),
        ("", "203.0.113.7"),
        ("", ""),
        ("unknown", "unknown"),
        ("203.0.113.7", "2001:db8::7"),
        ("::203.0.113.7", "203.0.113.7"),
        ("203.0.113.07", "203.0.113.7"),
    ],
)
def test_other_or_no_address_is_refused(expected: str, peer: str) -> None:
    """Another address is refused, and so is what is no address, even when both are the same text."""
    with pytest.raises(SourceAddressError):
        check_source_address(Grant("h", 1, source_address=expected), peer, enabled=True)


@pytest.mark.parametrize(
    ("origin", "host", "allowed", "forwarded_host"),
    [
        ("", "proxy.test", [], ""),
        ("https://proxy.test", "proxy.test", [], ""),
        ("https://PROXY.test", "proxy.TEST:8443", [], ""),
        ("http://proxy.test:6080", "proxy.test:8080", [], ""),
        ("http://proxy.test", "proxy.test.", [], ""),
        ("http://[::1]:6080", "[::1]:8080", [], ""),
        ("http://127.0.0.1", "127.0.0.1:6080", [], ""),
        ("https://cloud.test", "inner:80", [], "cloud.test"),
        ("https://cloud.test", "proxy.test", ["https://cloud.test"], ""),
        ("https://cloud.test", "proxy.test", ["https://Cloud.test:443/"], ""),
        ("https://cloud.test:443", "proxy.test", ["https://cloud.test"], ""),
        ("https://cloud.test:9443", "proxy.test", ["https://a.test", "https://cloud.test:9443"], ""),
        ("http://cloud.test:9443", "proxy.test", ["cloud.test"], ""),
        ("null", "proxy.test", ["null"], ""),
    ],
)
def test_origin_may_enter(origin: str, host: str, allowed: Sequence[str], forwarded_host: str) -> None:
    """No origin, the request's own host on any port, and what is listed may enter."""
    check_origin(origin, host, allowed, forwarded_host)


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("https://evil.test", "proxy.test", []),
        ("https://proxy.test.evil.test", "proxy.test", []),
        ("https://evilproxy.test", "proxy.test", []),
        ("https://proxy.test@evil.test", "proxy.test", []),
        ("https://evil.test#proxy.test", "proxy.test", []),
        ("https://proxy.test/path", "proxy.test", []),
        ("proxy.test", "proxy.test", []),
        ("null", "proxy.test", ["https://cloud.test"]),
        ("null", "null", []),
        ("https://evil.test", "", []),
        ("https://evil.test", "evil.test/", []),
        ("http://cloud.test", "proxy.test", ["https://cloud.test"]),
        ("https://cloud.test:9443", "proxy.test", ["https://cloud.test"]),
        ("https://sub.cloud.test", "proxy.test", ["cloud.test", "https://cloud.test"]),
        ("https://", "proxy.test", [""]),
        ("*", "proxy.test", ["*"]),
        (" ", "proxy.test", []),
    ],
)
def test_other_origin_is_refused(origin: str, host: str, allowed: Sequence[str]) -> None:
    """Another page is refused, and so is what only looks like the right one."""
    with pytest.raises(OriginError):
        check_origin(origin, host, allowed)

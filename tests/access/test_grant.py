"""What a token's fields mean."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consoleproxy.access.grant import Grant
from consoleproxy.errors import BadTokenError

VECTORS: dict[str, dict[str, Any]] = {
    vector["name"]: vector
    for vector in json.loads((Path(__file__).parents[1] / "vectors.json").read_text("utf-8"))["tokens"]
}
OPENABLE = sorted(VECTORS.keys() - {"all-null"})
PIN = "0123456789abcdefABCDEF".ljust(64, "0")


def fields_of(name: str) -> dict[str, object]:
    """The fields of one of CloudStack's tokens."""
    fields: dict[str, object] = json.loads(VECTORS[name]["plaintextJson"])
    return fields


@pytest.mark.parametrize("name", OPENABLE)
def test_grant_says_what_cloudstacks_proxy_reads(name: str) -> None:
    """A grant holds what CloudStack's proxy takes from the same token, where the URL did not forge it."""
    vector = VECTORS[name]
    seen, fields = vector["queryMapResult"], fields_of(name)
    grant = Grant.from_fields(fields)
    assert (seen["host"], int(seen["port"])) == (grant.host, grant.port)
    assert seen.get("sid", "") == grant.password
    assert seen.get("tag", "") == grant.vm_id
    assert seen.get("ticket", "") == grant.ticket
    assert seen.get("sessionUuid", "") == grant.session_id
    assert seen.get("locale", "") == grant.locale
    assert seen.get("consoleurl", "") == grant.tunnel_url
    assert seen.get("sessionref", "") == grant.tunnel_session
    assert seen.get("websocketUrl", "") == grant.websocket_url
    assert fields.get("clientDisplayName", "") == grant.display_name
    assert fields.get("sourceIP", "") == grant.source_address
    assert fields.get("extraSecurityToken", "") == grant.extra_token


@pytest.mark.parametrize("name", OPENABLE)
def test_viewer_key_is_cloudstacks(name: str) -> None:
    """Viewers of one VM meet under the key that CloudStack uses."""
    assert VECTORS[name]["clientMapKey"] == Grant.from_fields(fields_of(name)).viewer_key


def test_viewer_key_of_one_time_passwords_is_the_session() -> None:
    """Viewers who cannot replace each other have a key of their own, if there is a session to name it by."""
    grant = Grant("h", 1, vm_id="vm", session_id="s", requires_new_viewer=True)
    assert "s" == grant.viewer_key
    assert "vm" == dataclasses.replace(grant, session_id=" ").viewer_key


def test_grant_needs_a_host() -> None:
    """CloudStack's token of nothing decrypts, but allows nothing."""
    with pytest.raises(BadTokenError, match="clientHostAddress is missing"):
        Grant.from_fields(fields_of("all-null"))


@pytest.mark.parametrize("port", [-2, -1, 0, 65536])
def test_grant_needs_a_port(port: int) -> None:
    """A direct connection needs a port from 1 to 65535."""
    with pytest.raises(BadTokenError, match="clientHostPort"):
        Grant.from_fields({"clientHostAddress": "h", "clientHostPort": port})


@pytest.mark.parametrize("port", [1, 65535])
def test_grant_takes_every_port(port: int) -> None:
    """The first and the last port are ports."""
    assert port == Grant.from_fields({"clientHostAddress": "h", "clientHostPort": port}).port


@pytest.mark.parametrize(
    "way", [{"clientTunnelUrl": "https://x/", "clientTunnelSession": "s"}, {"websocketUrl": "wss://x/"}]
)
def test_port_says_nothing_beside_another_way(way: dict[str, object]) -> None:
    """Where a tunnel or a websocket leads to the VM, the port may be -1, as CloudStack has it."""
    assert -1 == Grant.from_fields({"clientHostAddress": "h", "clientHostPort": -1, **way}).port
    with pytest.raises(BadTokenError, match="clientHostPort"):
        Grant.from_fields({"clientHostAddress": "h", "clientHostPort": -2, **way})


def test_half_a_tunnel_is_none() -> None:
    """A tunnel needs both its URL and its session; with one of them the port is needed."""
    with pytest.raises(BadTokenError, match="clientHostPort"):
        Grant.from_fields({"clientHostAddress": "h", "clientHostPort": -1, "clientTunnelUrl": "https://x/"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clientHostAddress", 1),
        ("clientHostPort", "5901"),
        ("clientHostPort", True),
        ("clientHostPort", 5901.0),
        ("clientTag", ["x"]),
        ("sessionRequiresNewViewer", "true"),
        ("sessionRequiresNewViewer", 1),
        ("viewOnly", "no"),
    ],
)
def test_field_of_another_type_is_named(name: str, value: object) -> None:
    """A field of the wrong type is refused by name; nothing is guessed."""
    with pytest.raises(BadTokenError, match=name):
        Grant.from_fields({"clientHostAddress": "h", "clientHostPort": 1, name: value})


@pytest.mark.parametrize("value", ["a\r\nCookie: b", "a\0", "a\x7f", "a\x85", "\ud800"])
@pytest.mark.parametrize("name", ["clientHostAddress", "clientTunnelSession", "sessionUuid", "locale"])
def test_text_that_could_break_a_protocol_is_refused(name: str, value: str) -> None:
    """Line ends, other control characters and half characters do not pass."""
    with pytest.raises(BadTokenError, match=name):
        Grant.from_fields({"clientHostAddress": "h", "clientHostPort": 1, name: value})


def test_display_name_is_kept_as_it_was_typed() -> None:
    """Markup, other scripts and even control characters come through; who shows the name cleans it."""
    name = "web\u202egnp.exe\x1b[31m <b>日本</b>"
    grant = Grant.from_fields({"clientHostAddress": "h", "clientHostPort": 1, "clientDisplayName": name})
    assert name == grant.display_name


def test_null_and_unknown_fields_are_as_if_absent() -> None:
    """Null is absent, and what nobody knows is ignored."""
    fields = {"clientHostAddress": "h", "clientHostPort": 1, "clientTag": None, "hypervHost": 3, "new": []}
    assert Grant("h", 1) == Grant.from_fields(fields)


def test_url_names_of_fields_mean_nothing() -> None:
    """The names that CloudStack's query map uses are no names of token fields."""
    with pytest.raises(BadTokenError, match="clientHostAddress is missing"):
        Grant.from_fields({"host": "h", "port": 1})


def test_unknown_tls_word_is_refused() -> None:
    """A TLS word that is not known never ends as a connection without TLS."""
    for word in ("none", "required", ""):
        assert word == Grant.from_fields({"clientHostAddress": "h", "clientHostPort": 1, "tls": word}).tls
    with pytest.raises(BadTokenError, match="tls is 'off'"):
        Grant.from_fields({"clientHostAddress": "h", "clientHostPort": 1, "tls": "off"})


def test_pinned_tls_needs_a_pin() -> None:
    """Pinned TLS comes with the SHA-256 that it is pinned to."""
    fields = {"clientHostAddress": "h", "clientHostPort": 1, "tls": "pinned"}
    assert PIN == Grant.from_fields({**fields, "tlsPin": PIN}).tls_pin
    for pin in ("", "00", PIN + "0", "g" * 64):
        with pytest.raises(BadTokenError, match="tlsPin"):
            Grant.from_fields({**fields, "tlsPin": pin})


def test_to_fields_writes_what_cloudstack_writes() -> None:
    """The port and the flag are always there, the rest only when it says something."""
    expected = {"clientHostAddress": "h", "clientHostPort": 0, "sessionRequiresNewViewer": False}
    assert expected == Grant("h").to_fields()


def test_to_fields_names_every_field() -> None:
    """Every field has its own name in the token, and comes back from it."""
    values: dict[str, Any] = {spec.name: spec.name for spec in dataclasses.fields(Grant) if spec.type == "str"}
    grant = Grant(**{**values, "tls": "pinned", "tls_pin": PIN}, port=5, requires_new_viewer=True, view_only=True)
    grant = dataclasses.replace(grant, sticky=True)
    fields = grant.to_fields()
    assert len(dataclasses.fields(Grant)) == len(fields)
    assert grant == Grant.from_fields(fields)
    own = {"viewerPolicy", "viewOnly", "backend", "tls", "tlsPin", "vncUser", "sticky"}
    assert own < fields.keys()


def test_grant_does_not_show_its_secrets() -> None:
    """No password, ticket, extra token, tunnel session or websocket URL stands in a ``repr``."""
    grant = Grant(
        "h", 1, "SECRET", ticket="SECRET", extra_token="SECRET", tunnel_session="SECRET", websocket_url="wss://SECRET"
    )
    assert "SECRET" not in repr(grant)


TOKEN_NAMES = [spec.metadata["name"] for spec in dataclasses.fields(Grant)]
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(), max_size=2)


@given(st.dictionaries(st.sampled_from(TOKEN_NAMES) | st.text(), VALUES))
def test_any_fields_make_a_grant_or_are_refused(fields: dict[str, object]) -> None:
    """Any JSON object gives a grant that survives its own fields, or ``BadTokenError``, and nothing else."""
    try:
        grant = Grant.from_fields(fields)
    except BadTokenError:
        return
    assert grant == Grant.from_fields(grant.to_fields())


CLEAN = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Zl", "Zp"]))


@given(st.builds(Grant, host=CLEAN.filter(str.strip), port=st.integers(1, 65535), display_name=CLEAN, vm_id=CLEAN))
def test_from_fields_undoes_to_fields(grant: Grant) -> None:
    """A grant comes back from its fields unchanged."""
    assert grant == Grant.from_fields(grant.to_fields())

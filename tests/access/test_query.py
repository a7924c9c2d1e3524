"""What is read from the URL, and what is not."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consoleproxy.access.query import Query, parse_query
from consoleproxy.access.token import TokenKey, TokenKeys, decode

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors.json").read_text("utf-8"))["tokens"]
IDS = [vector["name"] for vector in VECTORS]


@pytest.mark.parametrize("vector", VECTORS, ids=IDS)
def test_cloudstacks_query_is_read(vector: dict[str, Any]) -> None:
    """The token and the extra token of CloudStack's URLs are found between the parameters that mean nothing."""
    query = parse_query(vector["queryString"])
    assert Query(vector["token"], *[vector["queryMapResult"].get("extra", "")] * 2) == query


@pytest.mark.parametrize("vector", VECTORS, ids=IDS)
def test_percent_encoded_query_opens(vector: dict[str, Any]) -> None:
    """A percent-encoded token opens like a raw one."""
    encoded = vector["token"].replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    keys = TokenKeys(TokenKey.from_json(vector["encryptorPassword"]))
    assert json.loads(vector["plaintextJson"]) == decode(parse_query(f"token={encoded}").token, keys)


@pytest.mark.parametrize(
    ("raw", "token", "extra"),
    [
        ("", "", ""),
        ("token", "", ""),
        ("token=", "", ""),
        ("token=a", "a", ""),
        ("token=a+b/c==", "a+b/c==", ""),
        ("token=a%2Bb%2Fc%3D%3d", "a+b/c==", ""),
        ("token=a&token=b", "b", ""),
        ("token=a&token=", "a", ""),
        ("extra=x&token=a", "a", "x"),
        ("token=a&extra=x&extra=y", "a", "y"),
        ("token=a&extra=x+y", "a", "x+y"),
        ("token=a&extra=x%20y%26z", "a", "x y&z"),
        ("token=a&extra=x%2520y", "a", "x%20y"),
        ("Token=a&TOKEN=b&%74oken=c& token=d", "", ""),
        ("token=a;extra=x", "a;extra=x", ""),
        ("&&token=a&&", "a", ""),
    ],
)
def test_query_forms(raw: str, token: str, extra: str) -> None:
    """Last one wins, empty ones do not count, ``+`` stays, percent-decoding happens once."""
    query = parse_query(raw)
    assert (token, extra) == (query.token, query.extra)


def test_extra_is_kept_as_it_was_sent() -> None:
    """The extra token's text before decoding is kept too, because CloudStack compares that."""
    assert Query("", "a+b", "a%2Bb") == parse_query("extra=a%2Bb")


def test_extra_tokens_of_different_bytes_stay_different() -> None:
    """Bytes that are no UTF-8 are not folded into one replacement character."""
    assert parse_query("extra=%ff").extra != parse_query("extra=%fe").extra


def test_query_does_not_show_its_secrets() -> None:
    """No token stands in a ``repr``."""
    assert "Query()" == repr(parse_query("token=SECRET&extra=SECRET"))


@given(st.text())
def test_any_text_is_a_query(raw: str) -> None:
    """Every text can be read; what is not there is empty."""
    query = parse_query(raw)
    assert "token=" in raw or query.token == ""
    assert "extra=" in raw or query.extra == ""

"""The addresses of a console: ports, host names, and what stands in between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from consoleproxy.manager.endpoint import ProxyAddress, console_host, console_ports, endpoint, reached_at, root_url

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent.parent / "vectors.json").read_text())["proxyUrls"]
DOMAIN = "*.example.test"


@pytest.mark.parametrize(
    ("ssl", "domain", "certificate", "root", "websocket_port", "listens"),
    [
        (True, True, True, "https://192-0-2-1.example.test", 8443, (443, 8443, True)),
        (True, True, False, "https://192-0-2-1.example.test", 8080, (80, 8080, False)),
        (True, False, True, "http://192.0.2.1", 8080, (80, 8080, False)),
        (True, False, False, "http://192.0.2.1", 8080, (80, 8080, False)),
        (False, True, True, "http://192-0-2-1.example.test", 8080, (80, 8080, False)),
        (False, True, False, "http://192-0-2-1.example.test", 8080, (80, 8080, False)),
        (False, False, True, "http://192.0.2.1", 8080, (80, 8080, False)),
        (False, False, False, "http://192.0.2.1", 8080, (80, 8080, False)),
    ],
)
def test_each_combination_has_its_ports(
    ssl: bool,  # noqa: FBT001 - a column
    domain: bool,  # noqa: FBT001 - a column
    certificate: bool,  # noqa: FBT001 - a column
    root: str,
    websocket_port: int,
    listens: tuple[int, int, bool],
) -> None:
    """SSL, domain and certificate give the page's URL, the websocket's port, and what the proxy listens on."""
    name = DOMAIN if domain else ""
    ports = console_ports(ssl=ssl, domain=name, has_certificate=certificate)
    assert listens == (ports.page_port, ports.websocket_port, ports.is_tls)
    assert (root.startswith("https"), 443 if root.startswith("https") else 80) == (ports.is_https, ports.url_port)
    told = ProxyAddress("192.0.2.1", *listens)
    for proxy in (told, ProxyAddress("192.0.2.1", 0, 0, told.is_tls)):
        reached = reached_at(proxy, ssl=ssl, domain=name)
        assert (root, websocket_port) == (root_url(reached), reached.websocket_port)
        assert endpoint(reached, "t").url.startswith(
            f"{root}/resource/noVNC/vnc.html?autoconnect=true&port={websocket_port}&token="
        )


@pytest.mark.parametrize("vector", VECTORS)
def test_the_host_is_cloudstacks(vector: dict[str, Any]) -> None:
    """The domain's three forms give the address that CloudStack's own code gave."""
    assert vector["address"] == console_host(vector["ip"], vector["domain"])
    reached = ProxyAddress(vector["address"], vector["urlPort"], 8080, vector["ssl"])
    assert vector["imageUrl"] == root_url(reached).removeprefix("http:")


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("2001:db8::1", "2001-db8--1.example.test"),
        ("::1", "0--1.example.test"),
        ("2001:db8::", "2001-db8--0.example.test"),
    ],
)
def test_an_ipv6_address_fits_into_a_label(address: str, host: str) -> None:
    """Colons become dashes too, and no label starts or ends with one."""
    assert host == console_host(address, DOMAIN)


def test_other_ports_stand_in_the_url() -> None:
    """A proxy on ports of its own is found there."""
    reached = reached_at(ProxyAddress("::1", 41080, 41081), ssl=False, domain="")
    assert ("http://[::1]:41080", 41081) == (root_url(reached), reached.websocket_port)

"""PURE: the addresses of a console: a page for a person, a websocket for a program."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote

#: The path that CloudStack's pages use, and its websocket path, without a slash.
PAGE_PATH = "/resource/noVNC/vnc.html"
WEBSOCKET_PATH = "websockify"

HTTP_PORT, HTTPS_PORT = 80, 443
WS_PORT, WSS_PORT = 8080, 8443


@dataclass(frozen=True, slots=True)
class ConsolePorts:
    """The ports that the settings lead to.

    ``page_port``, ``websocket_port`` and ``is_tls`` are what the proxy listens on;
    ``is_https`` and ``url_port`` are what stands in the page's address.
    """

    is_https: bool
    url_port: int
    page_port: int
    websocket_port: int
    is_tls: bool


@dataclass(frozen=True, slots=True)
class ProxyAddress:
    """Where browsers find a proxy: ``page_port`` and ``websocket_port`` may be the same."""

    host: str
    page_port: int
    websocket_port: int
    is_tls: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What ``createConsoleEndpoint`` answers (CloudStack fact 3.2). ``url`` and ``token`` are secrets."""

    url: str = field(repr=False)
    host: str
    port: int
    path: str
    token: str = field(repr=False)
    extra: str = field(default="", repr=False)


def endpoint(proxy: ProxyAddress, token: str, extra: str = "") -> Endpoint:
    """Return the addresses that open the console of ``token`` on ``proxy``."""
    query = f"autoconnect=true&port={proxy.websocket_port}&token={quote(token, safe='')}"
    if extra:
        query += f"&extra={quote(extra, safe='')}"
    url = f"{root_url(proxy)}{PAGE_PATH}?{query}"
    return Endpoint(url, proxy.host, proxy.websocket_port, WEBSOCKET_PATH, token, extra)


def console_ports(*, ssl: bool, domain: str, has_certificate: bool) -> ConsolePorts:
    """Return the ports for the three things that decide them (CloudStack facts 3.6 and 3.8).

    SSL counts as on only with a domain. Without a certificate somebody in front of the
    proxy ends TLS: the address is https, and the proxy stays plain on 80 and 8080.
    """
    is_on = ssl and bool(domain)
    is_tls = is_on and has_certificate
    return ConsolePorts(
        is_https=is_on,
        url_port=HTTPS_PORT if is_on else HTTP_PORT,
        page_port=HTTPS_PORT if is_tls else HTTP_PORT,
        websocket_port=WSS_PORT if is_tls else WS_PORT,
        is_tls=is_tls,
    )


def console_host(address: str, domain: str) -> str:
    """Return the host name in a proxy's addresses (CloudStack fact 3.6).

    Without a ``domain`` it is the proxy's own ``address``; ``*.example.com`` puts the address
    in front, with dashes (``192-0-2-1.example.com``, ``2001-db8--1.example.com``); any other
    domain stands for every proxy.
    """
    if not domain.startswith("*"):
        return domain or address
    label = address.replace(".", "-").replace(":", "-")
    # No label starts or ends with a dash; for an IPv6 address a zero there changes nothing.
    label = f"0{label}" if label.startswith("-") else label
    return f"{label}0{domain[1:]}" if label.endswith("-") else f"{label}{domain[1:]}"


def reached_at(proxy: ProxyAddress, *, ssl: bool, domain: str) -> ProxyAddress:
    """Return where browsers find ``proxy``, which is given as it says that it listens.

    A port of 0 (not opened yet) is the one that the settings lead to. A plain proxy under an
    https address has somebody in front who ends TLS on 443.
    """
    ports = console_ports(ssl=ssl, domain=domain, has_certificate=proxy.is_tls)
    is_offloaded = ports.is_https and not proxy.is_tls
    return ProxyAddress(
        console_host(proxy.host, domain),
        ports.url_port if is_offloaded else proxy.page_port or ports.page_port,
        proxy.websocket_port or ports.websocket_port,
        proxy.is_tls or is_offloaded,
    )


def root_url(proxy: ProxyAddress) -> str:
    """Return the address of the proxy's pages, without the port where the scheme implies it."""
    scheme, default_port = ("https", 443) if proxy.is_tls else ("http", 80)
    host = f"[{proxy.host}]" if ":" in proxy.host else proxy.host
    return f"{scheme}://{host}" if proxy.page_port == default_port else f"{scheme}://{host}:{proxy.page_port}"

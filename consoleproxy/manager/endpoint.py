"""PURE: the addresses of a console: a page for a person, a websocket for a program."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote

#: The path that CloudStack's pages use, and its websocket path, without a slash.
PAGE_PATH = "/resource/noVNC/vnc.html"
WEBSOCKET_PATH = "websockify"


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


def root_url(proxy: ProxyAddress) -> str:
    """Return the address of the proxy's pages, without the port where the scheme implies it."""
    scheme, default_port = ("https", 443) if proxy.is_tls else ("http", 80)
    host = f"[{proxy.host}]" if ":" in proxy.host else proxy.host
    return f"{scheme}://{host}" if proxy.page_port == default_port else f"{scheme}://{host}:{proxy.page_port}"

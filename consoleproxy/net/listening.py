"""Listening sockets, and who can reach them."""

from __future__ import annotations

import ipaddress
import socket

from consoleproxy.errors import ConfigError

#: Connections that the kernel keeps for us while the loop is busy.
BACKLOG = 1024


def listen(host: str, port: int) -> socket.socket:
    """Return a listening, non-blocking socket; raise ``ConfigError`` when it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.create_server((host.strip("[]"), port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"cannot listen on {host}:{port}: {reason}; choose another address or port") from error
    sock.setblocking(False)
    return sock


def listen_at(address_and_port: str) -> socket.socket:
    """Listen at a text such as ``127.0.0.1:9180`` or ``[::1]:9180``; raise ``ConfigError``."""
    host, _, port = address_and_port.rpartition(":")
    return listen(host, int(port))


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach ``host``."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"

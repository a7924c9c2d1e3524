"""Listening sockets, and who can reach them."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from consoleproxy.errors import ConfigError

#: Connections that the kernel keeps for us while the loop is busy.
BACKLOG = 1024


def listen(host: str, port: int, *, is_shared: bool = False) -> socket.socket:
    """Return a listening, non-blocking socket; raise ``ConfigError`` when it cannot be had.

    Several that are ``is_shared`` listen on one port (SO_REUSEPORT): the kernel deals connections out to
    them. Closing one drops the connections that wait in it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.create_server((host.strip("[]"), port), family=family, backlog=BACKLOG, reuse_port=is_shared)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"cannot listen on {host}:{port}: {reason}; choose another address or port") from error
    sock.setblocking(False)
    return sock


def listen_together(host: str, ports: Sequence[int], count: int) -> list[list[socket.socket]]:
    """Return ``count`` times a shared socket for each of ``ports``; raise ``ConfigError`` naming the one that is taken.

    Sockets that share do not see that somebody else of the same user shares with them, so the
    ports are taken for a moment first.
    """
    alone = []
    try:
        for port in ports:
            alone.append(listen(host, port))  # noqa: PERF401 - those before one that fails have to be closed
        numbers = [sock.getsockname()[1] for sock in alone]
    finally:
        for sock in alone:
            sock.close()
    return [[listen(host, number, is_shared=True) for number in numbers] for _ in range(count)]


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

"""A VM's VNC server behind plain TCP, as QEMU and libvirt offer it."""

from __future__ import annotations

import asyncio
import errno
import socket

import aiohappyeyeballs

from consoleproxy.errors import VMRefusedError, VMTimeoutError, VMUnreachableError
from consoleproxy.net.stream import SocketStream

#: Seconds before the next address of a name is tried beside the first (RFC 8305 section 5).
HAPPY_EYEBALLS_DELAY = 0.25


async def connect(host: str, port: int) -> SocketStream:
    """Connect to ``host`` (a name or an address) and return the stream.

    Raises ``VMUnreachableError``, ``VMRefusedError`` or ``VMTimeoutError``; has no
    deadline of its own.
    """
    loop = asyncio.get_running_loop()
    try:
        addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        sock = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY, loop=loop)
    except OSError as error:
        raise _translated(error, host, port) from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return SocketStream(sock)


def _translated(error: OSError, host: str, port: int) -> VMUnreachableError | VMRefusedError | VMTimeoutError:
    text = f"{host}:{port}: {error}"
    if isinstance(error, ConnectionRefusedError) or error.errno == errno.ECONNREFUSED:
        return VMRefusedError(text)
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return VMTimeoutError(text)
    return VMUnreachableError(text)

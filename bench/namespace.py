"""A network of our own: nothing outside is reached or disturbed, and all relays have the same kernel settings.

The program runs itself again in a new network namespace, in which it may set what it needs:
a congestion control that suits loopback (the default of some kernels, bbr, paces every relay to
half its speed there), and enough ports for thousands of connections.
"""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import socket
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.errors import BenchError

CONGESTION_CONTROL = "reno"
#: Where our servers listen; below the ports that the kernel gives to outgoing connections.
FIRST_PORT = 6100

_MARK = "BENCH_OUTER_NETWORK"
_IPV4 = Path("/proc/sys/net/ipv4")
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


class NamespaceError(BenchError):
    """There is no network of our own to be had."""


def enter(arguments: Sequence[str]) -> None:
    """Run ``python -m bench`` with these arguments in a new network; return where it already runs in it."""
    if os.environ.get(_MARK, "") not in {"", _network()}:
        _prepare()
        return
    unshare = shutil.which("unshare")
    if unshare is None:
        raise NamespaceError("unshare is missing: it is in Debian's package util-linux")
    os.environ[_MARK] = _network()
    # Who is not root may make a network as the root of a user namespace, where the kernel allows it.
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = [unshare, "--net", *as_root, "--", sys.executable, "-m", "bench", *arguments]
    os.execv(unshare, command)  # noqa: S606  # no shell is wanted


def use_this() -> None:
    """Stay in the network that is there, for relays that listen in it already."""
    _raise_file_limit()


def congestion_control() -> str:
    """Return the congestion control of new connections."""
    return (_IPV4 / "tcp_congestion_control").read_text().strip()


def _network() -> str:
    return str(Path("/proc/self/ns/net").readlink())


def _prepare() -> None:
    try:
        _bring_up("lo")
        (_IPV4 / "tcp_congestion_control").write_text(CONGESTION_CONTROL)
        (_IPV4 / "ip_local_port_range").write_text("10000 65000")
    except OSError as error:
        raise NamespaceError(f"the new network cannot be set up: {error}") from error
    _raise_file_limit()


def _bring_up(interface: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH14x", interface.encode(), 0)
        flags = struct.unpack("16xH14x", fcntl.ioctl(sock, _SIOCGIFFLAGS, request))[0]
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH14x", interface.encode(), flags | _IFF_UP))


def _raise_file_limit() -> None:
    """Let this process and those that it starts open as many files as they may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

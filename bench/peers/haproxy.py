"""HAProxy as a TCP relay: the browser's side speaks RFB to it, over TLS or not, since it terminates no websocket."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from bench.certificate import Certificate, make_certificate
from bench.peers.relay import Place, Relay, started
from bench.processes import tool

_DEFAULT_BUFFERS = 16384
_LARGE_BUFFERS = 262144
_CONNECTIONS = 9000
_SPARE = 200

_CONFIG = """\
global
    nbthread 1
    maxconn {connections}
    tune.bufsize {buffers}
defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
frontend browsers
    bind 127.0.0.1:{port}{tls}
    default_backend vms
backend vms
    server vm 127.0.0.1:{vnc_port}
"""


@contextmanager
def start_default(place: Place) -> Iterator[Relay]:
    """Start it with the buffers that it has by default, 16 KiB."""
    with _start("haproxy", place, _DEFAULT_BUFFERS) as relay:
        yield relay


@contextmanager
def start_large(place: Place) -> Iterator[Relay]:
    """Start it with buffers of 256 KiB."""
    with _start("haproxy-256k", place, _LARGE_BUFFERS) as relay:
        yield relay


@contextmanager
def start_tls(place: Place) -> Iterator[Relay]:
    """Start it with a certificate, to terminate TLS; what is inside goes on as it is."""
    with _start("haproxy", place, _DEFAULT_BUFFERS, make_certificate(place.folder)) as relay:
        yield relay


@contextmanager
def _start(name: str, place: Place, buffers: int, made: Certificate | None = None) -> Iterator[Relay]:
    port = place.next_port()
    config = place.folder / f"{name}.cfg"
    tls = "" if made is None else f" ssl crt {made.both}"
    text = _CONFIG.format(buffers=buffers, connections=_connections(), port=port, vnc_port=place.vnc_port, tls=tls)
    config.write_text(text)
    # Without -D it would stay in the foreground too, and -db says so whatever the file holds.
    command = [tool("haproxy"), "-db", "-q", "-f", str(config)]
    with started(name, command, place, port, versions=_version(), is_raw=True, is_tls=made is not None) as relay:
        yield relay


def _connections() -> int:
    """Return how many connections its descriptors are enough for: two each, and some to spare."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(_CONNECTIONS, (most - _SPARE) // 2)


def _version() -> str:
    done = subprocess.run([tool("haproxy"), "-v"], stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    return " ".join(done.stdout.split()[:3])

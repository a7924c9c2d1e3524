"""Our proxy as it runs in production, with every feature of a session on; its manager says yes to every token."""

from __future__ import annotations

import functools
import json
import resource
import secrets
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import consoleproxy
from bench.certificate import make_certificate
from bench.ops_metrics import is_ready
from bench.peers.relay import Place, Relay
from bench.processes import PLAYERS_CORE, RELAY_CORE, first_line, is_listening, running, wait_for
from consoleproxy.access.grant import Grant
from consoleproxy.access.token import NONCE_SIZE, TokenKey, encode

_MAX_SESSIONS = 20_000
_MAX_PENDING = 4000
#: Part of the open files that may be at the door; the rest is for consoles, two each.
_PENDING_PART = 5


def limits() -> list[str]:
    """Return the proxy's limits: all browsers come from one address, many at once, and that is not to be measured."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    pending = str(min(_MAX_PENDING, files // _PENDING_PART))
    return [
        *("--max-sessions", str(_MAX_SESSIONS)),
        *("--max-pending", pending),
        *("--max-pending-per-address", pending),
    ]


@contextmanager
def start(place: Place) -> Iterator[Relay]:
    """Start it in one process, and otherwise as it is by default."""
    with _start("ours", place) as relay:
        yield relay


@contextmanager
def start_tls(place: Place) -> Iterator[Relay]:
    """Start it with a certificate."""
    made = make_certificate(place.folder)
    with _start("ours", place, ["--tls-cert", str(made.chain), "--tls-key", str(made.key)], is_tls=True) as relay:
        yield relay


@contextmanager
def start_workers(place: Place, *, name: str, count: int) -> Iterator[Relay]:
    """Start it with so many workers; with 0 one process does all."""
    with _start(name, place, ["--workers", str(count)]) as relay:
        yield relay


@contextmanager
def _start(name: str, place: Place, flags: Sequence[str] = (), *, is_tls: bool = False) -> Iterator[Relay]:
    """Start the authority and the proxy, and wait until they are linked."""
    folder = place.folder / "ours"
    folder.mkdir()
    key = TokenKey.generate(secrets.token_bytes)
    secret = write_secret(folder / "link.secret", secrets.token_hex(16))
    key_file = write_secret(folder / "token.key", key.to_json())
    port = place.next_port()
    command = [sys.executable, "-m", "bench.authority", str(port), str(secret), str(key_file)]
    log = folder / "authority.log"
    with running(command, core=PLAYERS_CORE, log=log) as process:
        wait_for(process, lambda: is_listening(port), log)
        with proxy(place, folder, manager_port=port, secret=secret, flags=flags) as said:
            yield Relay(
                name,
                said.port,
                said.pid,
                version(),
                is_tls=is_tls,
                paths=functools.partial(make_paths, key, place.vnc_port),
                ops_url=said.ops_url,
            )


def version() -> str:
    """Return the proxy's name and version."""
    return f"consoleproxy {consoleproxy.__version__}"


def write_secret(path: Path, text: str) -> Path:
    """Write a file that nobody else may read."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path


@dataclass(frozen=True, slots=True)
class Said:
    """What a proxy told of itself."""

    port: int
    pid: int
    ops_url: str


@contextmanager
def proxy(
    place: Place, folder: Path, *, manager_port: int, secret: Path, name: str = "bench", flags: Sequence[str] = ()
) -> Iterator[Said]:
    """Run ``consoleproxy proxy`` on any manager of this machine, and wait until it is ready for consoles."""
    where = ("--single-port", str(place.next_port()), "--ops-listen", f"127.0.0.1:{place.next_port()}")
    link = ("--manager-url", f"http://127.0.0.1:{manager_port}", "--link-secret", f"@{secret}")
    # One process, as the relay that it is compared with; a scenario about workers says otherwise.
    own = ("--state-folder", str(folder / name), "--proxy-name", name, "--workers", "0", "--json")
    command = [sys.executable, "-m", "consoleproxy", "proxy", *where, *link, *own, *limits(), *flags]
    log = folder / f"{name}.log"
    with running(command, core=RELAY_CORE, log=log) as process:
        told: dict[str, Any] = json.loads(first_line(process, log))
        wait_for(process, lambda: is_ready(told["ops_url"]), log)
        yield Said(int(told["http_url"].rpartition(":")[2]), process.pid, told["ops_url"])


def make_paths(key: TokenKey, vnc_port: int, count: int) -> list[str]:
    """Return the paths of so many consoles, each of a VM of its own, as a manager's links have them."""
    return [console_path(_token(key, vnc_port, number)) for number in range(count)]


def console_path(token: str) -> str:
    """Return what a browser asks for with this token."""
    return f"/websockify?token={quote(token, safe='')}"


def _token(key: TokenKey, vnc_port: int, number: int) -> str:
    grant = Grant(
        host="127.0.0.1",
        port=vnc_port,
        vm_id=f"vm-{number}",
        display_name="load",
        ticket="any",
        session_id=str(uuid.uuid4()),
        source_address="127.0.0.1",
    )
    return encode(grant.to_fields(), key, secrets.token_bytes(NONCE_SIZE))

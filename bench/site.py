"""A real manager with its store and a real proxy, and the API as its clients call it."""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from bench.errors import BenchError
from bench.ops_metrics import is_ready
from bench.peers import Place
from bench.peers.ours import proxy, version, write_secret
from bench.processes import PLAYERS_CORE, running, wait_for
from consoleproxy.manager.signature import sign

_API_KEY, _SECRET_KEY = "bench-api-key", secrets.token_urlsafe(16)
#: Seconds for which a signed request is good, and for which it may take.
_EXPIRES = 600
_TIMEOUT = 60.0
#: More than any run opens: the manager's limit of sessions on a proxy.
_SESSION_MAX = "20000"


@dataclass(frozen=True, slots=True)
class Site:
    """The programs that run: the process ids are the roots of their trees."""

    api_url: str
    manager_pid: int
    proxy_pid: int
    proxy_port: int
    versions: str

    @property
    def proxy_address(self) -> str:
        """Where the consoles are."""
        return f"127.0.0.1:{self.proxy_port}"


@dataclass(frozen=True, slots=True)
class Made:
    """A console that was made: its token, and the seconds that the call took."""

    token: str
    seconds: float


@contextmanager
def site(place: Place, vms: int) -> Iterator[Site]:
    """Run a manager that knows so many VMs, all at the place's VNC port, and a proxy of it."""
    folder = place.folder / f"site-{time.monotonic_ns()}"
    folder.mkdir()
    inventory = _write_inventory(folder / "inventory.yaml", vms, place.vnc_port)
    secret = write_secret(folder / "link.secret", secrets.token_hex(16))
    port, ops_port = place.next_port(), place.next_port()
    where = ("--manager-listen", f"127.0.0.1:{port}", "--ops-listen", f"127.0.0.1:{ops_port}")
    own = ("--inventory", str(inventory), "--link-secret", f"@{secret}", "--state-folder", str(folder / "manager"))
    log = folder / "manager.log"
    command = [sys.executable, "-m", "consoleproxy", "manager", *where, *own]
    with running(command, core=PLAYERS_CORE, log=log) as process:
        wait_for(process, lambda: is_ready(f"http://127.0.0.1:{ops_port}"), log)
        with proxy(place, folder, manager_port=port, secret=secret) as said:
            yield Site(f"http://127.0.0.1:{port}/client/api", process.pid, said.pid, said.port, version())


class Api:
    """The manager's API, over kept-alive connections."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def call(self, command: str, **parameters: str) -> dict[str, Any]:
        """Run a command and return the object inside its answer."""
        expires = datetime.fromtimestamp(time.time() + _EXPIRES, UTC).strftime("%Y-%m-%dT%H:%M:%S%z")
        fixed = {"apiKey": _API_KEY, "command": command, "response": "json", "signatureVersion": "3"}
        query = {**fixed, "expires": expires, **parameters}
        query["signature"] = sign(query.items(), _SECRET_KEY)
        # What was signed is what must arrive, character by character.
        url = URL(f"{self._url}?{urlencode(query)}", encoded=True)
        async with self._session.get(url) as answer:
            body: dict[str, Any] = await answer.json()
        inside: dict[str, Any] = body[f"{command.lower()}response"]
        return inside

    async def make_console(self, vm: int) -> Made:
        """Call ``createConsoleEndpoint`` for a VM."""
        begin = time.perf_counter()
        answer = (await self.call("createConsoleEndpoint", virtualmachineid=_vm_id(vm)))["consoleendpoint"]
        seconds = time.perf_counter() - begin
        if not answer["success"]:
            raise BenchError(f"the manager makes no console: {answer['details']}")
        return Made(answer["websocket"]["token"], seconds)


@asynccontextmanager
async def api_of(place: Site, connections: int) -> AsyncIterator[Api]:
    """Open the API with so many connections at most, and let the proxy have as many sessions as come."""
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        api = Api(place.api_url, session)
        await api.call("updateConfiguration", name="consoleproxy.session.max", value=_SESSION_MAX)
        yield api


def _write_inventory(path: Path, vms: int, vnc_port: int) -> Path:
    """Write an inventory; JSON is YAML."""
    account = {"name": "bench", "api_key": _API_KEY, "secret_key": _SECRET_KEY, "admin": True}
    rows = [
        {"id": _vm_id(number), "name": f"vm-{number}", "account": "bench", "host": "127.0.0.1", "port": vnc_port}
        for number in range(vms)
    ]
    return write_secret(path, json.dumps({"accounts": [account], "instances": rows}))


def _vm_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"

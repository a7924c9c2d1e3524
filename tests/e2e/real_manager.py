"""The manager as its clients meet it: by ``cs`` from PyPI, unchanged; and as a program that can be killed."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import cs
import yaml
from prometheus_client.parser import text_string_to_metric_families

from consoleproxy.config import ENVIRONMENT_PREFIX
from tests.e2e.real_parts import PATIENCE, ROOT, first_line, running
from tests.helpers.viewer import Viewer

#: Seconds between two questions, where nothing tells when the answer changes.
PAUSE = 0.02
#: The whole of a small corner of a screen, whatever was sent before: the answer shows that the VM is there.
LOOK = b"\x03\x00" + bytes(4) + b"\x00\x10\x00\x10"
#: Below what the kernel gives to outgoing connections: none of those may take the port of a manager that is away.
FIXED_PORTS = range(20_000, 30_000)

API_KEY, SECRET_KEY, LINK_SECRET = "test-api-key", "test-secret-key", "test-link-secret"


class Api:
    """The manager's API. ``cs`` blocks, and so has a thread."""

    def __init__(self, client: cs.CloudStack) -> None:
        self._client = client

    async def call(self, command: str, **parameters: str) -> Any:  # noqa: ANN401  # JSON
        """Run a command and return what it answers."""
        return await asyncio.to_thread(getattr(self._client, command), **parameters)

    async def change(self, name: str, value: str) -> None:
        """Change a live setting."""
        await self.call("updateConfiguration", name=name, value=value)

    async def endpoint(self, vm_id: str) -> dict[str, Any]:
        """Ask for a console, and return the answer whether it is one or not."""
        answer = await self.call("createConsoleEndpoint", virtualmachineid=vm_id)
        return dict(answer["consoleendpoint"])

    async def link(self, vm_id: str) -> Link:
        """Return a console's one-time link."""
        made = await self.endpoint(vm_id)
        assert made["success"], made
        return Link(made["url"], int(made["websocket"]["port"]), made["websocket"]["token"])

    async def view(self, vm_id: str) -> tuple[Viewer, Link]:
        """Open a console where its link leads."""
        link = await self.link(vm_id)
        viewer = await Viewer.open(link.port, link.token)
        await viewer.enter()
        return viewer, link

    async def proxies(self) -> dict[str, dict[str, Any]]:
        """Return the proxies by name, in the manager's order."""
        answer = await self.call("listSystemVms", systemvmtype="consoleproxy")
        return {row["name"]: row for row in answer["systemvm"]}

    async def viewers(self) -> dict[str, int]:
        """Return how many sessions run, by the proxies' names."""
        return {name: row["activeviewersessions"] for name, row in (await self.proxies()).items()}

    async def states(self) -> dict[str, str]:
        """Return the proxies' states by name."""
        return {name: row["state"] for name, row in (await self.proxies()).items()}

    async def endings(self, vm_id: str) -> list[bool]:
        """Return whether each session of a VM is listed as ended, the newest first."""
        answer = await self.call("listConsoleSessions", virtualmachineid=vm_id, activeonly="false")
        return ["removed" in row for row in answer.get("consolesession", [])]


@dataclass(frozen=True, slots=True)
class Link:
    """A one-time link: the page, and the console's port and token."""

    url: str
    port: int
    token: str


@contextmanager
def api_of(told: Mapping[str, Any]) -> Iterator[Api]:
    """Open the API that the demo, or a ``Site``, tells of."""
    client = cs.CloudStack(endpoint=told["api_url"], key=told["api_key"], secret=told["secret_key"])
    try:
        yield Api(client)
    finally:
        client.session.close()


def websocket_ports(told: Mapping[str, Any]) -> dict[int, str]:
    """Return the proxies' names by the ports that consoles are on."""
    return {urlsplit(proxy["websocket_url"]).port or 0: proxy["name"] for proxy in told["proxies"]}


async def expect_answer(expected: object, ask: Callable[[], Awaitable[object]], seconds: float = PATIENCE) -> None:
    """Ask until the answer is the expected one."""
    clock = asyncio.get_running_loop().time
    end = clock() + seconds
    while (answer := await ask()) != expected:
        assert clock() < end, f"after {seconds} s it is still {answer!r}, not {expected!r}"
        await asyncio.sleep(PAUSE)


async def expect_alive(viewer: Viewer) -> None:
    """Make sure that the VM answers a viewer: its screen's corner, asked for once in each viewer's life."""
    await viewer.websocket.send(LOOK)
    assert b"\x00" == await viewer.read(1)


async def ended_sessions(ops_url: str) -> dict[str, int]:
    """Count ended sessions by reason, as the manager's metrics do."""
    async with aiohttp.ClientSession() as session, session.get(f"{ops_url}/metrics") as answer:
        text = await answer.text()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    ended = [sample for sample in samples if sample.labels.get("state") == "ended"]
    return {sample.labels["reason"]: int(sample.value) for sample in ended}


# --- programs of their own ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Site:
    """Where a manager and its proxies live: they come back with the same folders, the manager on its port."""

    folder: Path
    port: int
    ops_port: int

    @property
    def told(self) -> dict[str, str]:
        """What clients have to know."""
        return {"api_url": f"{self.url}/client/api", "api_key": API_KEY, "secret_key": SECRET_KEY}

    @property
    def url(self) -> str:
        """The manager's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ops_url(self) -> str:
        """The address of the manager's metrics."""
        return f"http://127.0.0.1:{self.ops_port}"

    @asynccontextmanager
    async def manager(self) -> AsyncIterator[Process]:
        """Run ``consoleproxy manager``; it is ready. A test that kills it also waits for its end."""
        where = ("--manager-listen", f"127.0.0.1:{self.port}", "--ops-listen", f"127.0.0.1:{self.ops_port}")
        inventory = ("--inventory", str(self.folder / "inventory.yaml"))
        async with self._program("manager", "manager", *where, *inventory) as process:

            async def is_ready() -> bool:
                assert process.returncode is None, "the manager ended before it was ready"
                return await _answers(f"{self.url}/readyz")

            await expect_answer(expected=True, ask=is_ready)
            yield process

    @asynccontextmanager
    async def proxy(self, name: str) -> AsyncIterator[dict[str, Any]]:
        """Run ``consoleproxy proxy`` and yield what it says."""
        ports = ("--single-port", "0", "--ops-listen", "127.0.0.1:0")
        flags = ("--json", "--manager-url", self.url, "--proxy-name", name, *ports)
        async with self._program("proxy", name, *flags) as process:
            yield json.loads(await first_line(process))

    @asynccontextmanager
    async def _program(self, command: str, name: str, *flags: str) -> AsyncIterator[Process]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(ENVIRONMENT_PREFIX)}
        common = ("--link-secret", f"@{self.folder / 'secret'}", "--state-folder", str(self.folder / name))
        whole = (sys.executable, "-m", "consoleproxy", command, *common, *flags)
        async with running(whole, env=environment, cwd=ROOT) as process:
            yield process


def new_site(folder: Path, instances: list[dict[str, Any]]) -> Site:
    """Prepare a site; each instance has an ``id``, a ``name``, a ``port`` on 127.0.0.1, maybe a ``password``."""
    account = {"name": "admin", "api_key": API_KEY, "secret_key": SECRET_KEY, "admin": True}
    rows = [{"account": "admin", "host": "127.0.0.1", **instance} for instance in instances]
    (folder / "inventory.yaml").write_text(yaml.safe_dump({"accounts": [account], "instances": rows}))
    secret = folder / "secret"
    secret.touch(mode=0o600)
    secret.write_text(LINK_SECRET)
    port = _free_port(FIXED_PORTS.start)
    return Site(folder, port, _free_port(port + 1))


def _free_port(first: int) -> int:
    # Test runs side by side begin in different places.
    numbers = [first + (os.getpid() + step) % (FIXED_PORTS.stop - first) for step in range(1000)]
    return next(number for number in numbers if _is_free(number))


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


async def _answers(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False

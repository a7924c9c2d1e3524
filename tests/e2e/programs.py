"""``consoleproxy manager`` and ``consoleproxy proxy`` as operators run them: processes with logs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import cs
import pytest
from prometheus_client.parser import text_string_to_metric_families

from consoleproxy.access.grant import Grant
from consoleproxy.access.token import TokenKeys, decode
from consoleproxy.config import ENVIRONMENT_PREFIX
from consoleproxy.manager.masterkey import MasterKey
from consoleproxy.manager.model import Account, Instance
from consoleproxy.manager.program import MASTER_KEY, STORE
from consoleproxy.manager.store import Store
from tests.e2e.real_parts import PATIENCE, ROOT, running
from tests.helpers.viewer import Viewer
from tests.manager.api_world import client

SECRET = "link-secret-of-the-tests"
#: What each program is run as, with its log in a file of its own.
_LOGGED = ("sh", "-c", 'exec "$@" 2>"$0"')


@dataclass(frozen=True, slots=True)
class Program:
    """A program that runs, and the file of its log. ``said`` is what it told when it was ready."""

    process: Process
    log: Path
    said: dict[str, Any]

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The whole lines of its log so far."""
        *lines, _ = self.log.read_text().split("\n")
        return [json.loads(line) if line.startswith("{") else {"message": line} for line in lines]

    async def logged(self, message: str) -> dict[str, Any]:
        """Wait for a log line of this message and return the first."""
        found: list[dict[str, Any]] = []

        async def is_there() -> bool:
            found[:] = [line for line in self.lines if line["message"] == message]
            assert found or self.process.returncode is None, self.log.read_text()
            return bool(found)

        await until(is_there)
        return found[0]

    async def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """Ask it to end as a service manager does, and return its exit status."""
        self.process.terminate()
        return await self.ended()

    async def ended(self) -> int:
        """Wait for its end and return its exit status."""
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()

    async def metric(self, name: str, **labels: str) -> float | None:
        """Return a number from its metrics, ``None`` where it is not there."""
        text = (await fetch(f"{self.said['ops_url']}/metrics"))[1]
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return next((each.value for each in samples if each.name == name and each.labels == labels), None)

    async def is_ready(self) -> bool:
        """Say whether ``/readyz`` answers 200."""
        return (await fetch(f"{self.said['ops_url']}/readyz"))[0] == 200


class Site:
    """A folder with everything that the programs need, and those that were started in it."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._logs = 0
        self.inventory = folder / "inventory.yaml"
        self.secret = folder / "link.secret"
        self.secret.write_text(SECRET)

    def write_inventory(self, accounts: Sequence[Account], instances: Sequence[Instance]) -> None:
        """Write the inventory file; JSON is YAML."""
        names = {account.id: account.name for account in accounts}
        rows = [
            {
                "id": vm.id,
                "name": vm.name,
                "display_name": vm.display_name,
                "description": vm.description,
                "account": names[vm.account_id],
                "state": vm.state,
                "host": vm.host,
                "port": vm.port,
                "password": vm.password,
            }
            for vm in instances
        ]
        people = [
            {"id": a.id, "name": a.name, "api_key": a.api_key, "secret_key": a.secret_key, "admin": a.is_admin}
            for a in accounts
        ]
        self.inventory.write_text(json.dumps({"accounts": people, "instances": rows}))

    async def run(self, *arguments: str) -> Program:
        """Start ``consoleproxy`` with these arguments."""
        self._logs += 1
        log = self.folder / f"{arguments[0]}-{self._logs}.log"
        log.touch()
        command = (*_LOGGED, str(log), sys.executable, "-m", "consoleproxy", *arguments)
        process = await self._stack.enter_async_context(running(command, env=environment(), cwd=ROOT))
        return Program(process, log, {})

    async def manager(self, *flags: str, listen: str = "127.0.0.1:0") -> Program:
        """Start the manager and wait until it is ready; ``said`` has ``api``, ``url``, ``port`` and ``ops_url``."""
        program = await self.run(
            *("manager", "--inventory", str(self.inventory), "--link-secret", f"@{self.secret}"),
            *("--state-folder", str(self.folder / "manager"), "--manager-listen", listen),
            *("--ops-listen", "127.0.0.1:0", "--log-format", "json", *flags),
        )
        ready = await program.logged("manager ready")
        where = urlsplit(ready["api"])
        program.said.update(
            api=ready["api"],
            url=f"{where.scheme}://{where.netloc}",
            port=where.port,
            ops_url=f"http://127.0.0.1:{ready['ops_port']}",
        )
        return program

    async def proxy(self, name: str, manager_url: str, *flags: str, port: int = 0) -> Program:
        """Start a proxy and wait until it has told its addresses; it may not be linked yet."""
        program = await self.run(
            *("proxy", "--json", "--manager-url", manager_url, "--link-secret", f"@{self.secret}"),
            *("--proxy-name", name, "--state-folder", str(self.folder / name), "--single-port", str(port)),
            *("--ops-listen", "127.0.0.1:0", "--log-format", "json", *flags),
        )
        assert program.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await program.process.stdout.readline()
        assert line, program.log.read_text()
        program.said.update(json.loads(line))
        return program

    async def linked_proxy(self, name: str, manager_url: str, *flags: str, port: int = 0) -> Program:
        """Start a proxy and wait until it may be given consoles."""
        program = await self.proxy(name, manager_url, *flags, port=port)
        await until(program.is_ready)
        return program

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        """Look into the manager's store from outside."""
        folder = self.folder / "manager"
        store = await Store.open(folder / STORE, MasterKey.load(folder / MASTER_KEY))
        try:
            yield store
        finally:
            await store.close()


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    """Give the programs a folder; at the end those that still run are asked to go, and must."""
    async with AsyncExitStack() as stack:
        yield Site(folder, stack)


def environment() -> dict[str, str]:
    """Return our environment without the program's own settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)}


async def once(*arguments: str) -> tuple[int, str, str]:
    """Run ``consoleproxy`` to its end and return its status, its output and its complaints."""
    command = (sys.executable, "-m", "consoleproxy", *arguments)
    process = await asyncio.create_subprocess_exec(*command, env=environment(), cwd=ROOT, stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(PATIENCE):
            output, complaints = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return process.returncode, output.decode(), complaints.decode()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until ``condition`` holds: what other programs do, nobody tells."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.05)


async def fetch(url: str) -> tuple[int, str]:
    """Return the status and the text at ``url``."""
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def call(manager: Program, account: Account, command: str, /, **parameters: Any) -> Any:  # noqa: ANN401  # JSON
    """Have ``cs`` run a command; it raises ``CloudStackApiException`` for errors."""
    with client(manager.said["api"], account) as api:
        api.verify = manager.said.get("ca", True)
        return await asyncio.to_thread(getattr(api, command), **parameters)


async def refusal(manager: Program, account: Account, command: str, /, **parameters: Any) -> int:  # noqa: ANN401  # JSON
    """Return the status of the error that ``cs`` meets."""
    with pytest.raises(cs.CloudStackApiException) as caught:
        await call(manager, account, command, **parameters)
    error = caught.value
    assert error.response.status_code == error.error["errorcode"]
    return int(error.error["errorcode"])


async def console(manager: Program, account: Account, vm_id: str, /, **parameters: Any) -> Any:  # noqa: ANN401  # JSON
    """Make a console and return the object, a failure too."""
    return (await call(manager, account, "createConsoleEndpoint", virtualmachineid=vm_id, **parameters))[
        "consoleendpoint"
    ]


async def view(made: dict[str, Any], *, origin: str | None = None) -> Viewer:
    """Open what was made, as a browser that follows the URL does."""
    query = parse_qs(urlsplit(made["url"]).query)
    return await Viewer.open(
        int(made["websocket"]["port"]), query["token"][0], extra=query.get("extra", [""])[0], origin=origin
    )


def session_id(token: str, keys: TokenKeys) -> str:
    """Return which session a link opens."""
    return Grant.from_fields(decode(token, keys)).session_id

"""Many callers at once while programs are killed: what was answered is kept, and nothing is used twice.

Run with ``-s`` to see the rates.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.exceptions import WebSocketException

from consoleproxy.manager.consoles import NO_PROXY
from consoleproxy.manager.model import Instance
from consoleproxy.manager.store_sessions import SessionFilter
from tests.e2e.programs import Program, Site, call, console, session_id, site, until, view
from tests.helpers.fake_vm import FakeVM
from tests.manager.api_world import ALICE, ROOT, expires, signed

CLIENTS = 50
#: Calls of each client.
CALLS = 40
#: Of its endpoints, each client has every tenth opened, by two viewers at once.
OPENED = 10
#: How many answers there are when the proxies are killed, or the manager.
PROXIES_DIE_AFTER = 700
MANAGER_DIES_AFTER = 200
WRITERS = 10
WRITES = 50
#: Seconds before a client that was told that no proxy is there asks again.
PATIENCE_WITHOUT_PROXY = 0.25


@dataclass(slots=True)
class Tally:
    """What the clients have met."""

    made: list[dict[str, Any]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    turned_away: int = 0
    wins: Counter[str] = field(default_factory=Counter)
    #: Links that were made and opened while every proxy ran.
    undisturbed: set[str] = field(default_factory=set)

    @property
    def tokens(self) -> list[str]:
        """The tokens of what was made."""
        return [made["websocket"]["token"] for made in self.made]

    def after(self, answers: int) -> Any:  # noqa: ANN401  # a condition for ``until``
        """Return the condition that there are so many answers."""

        async def is_reached() -> bool:
            return len(self.made) >= answers

        return is_reached


@dataclass(slots=True)
class Caller:
    """One client: it makes consoles of a VM of its own, one after the other, signing as ``cs`` does."""

    session: aiohttp.ClientSession
    api: str
    vm_id: str
    tally: Tally

    async def endpoint(self) -> dict[str, Any]:
        """Make a console; while there is no proxy, ask again."""
        while True:
            made = await self.ask()
            if made["success"]:
                self.tally.made.append(made)
                return made
            assert NO_PROXY.sentence == made["details"]
            self.tally.turned_away += 1
            await asyncio.sleep(PATIENCE_WITHOUT_PROXY)

    async def ask(self) -> dict[str, Any]:
        """Call createConsoleEndpoint once."""
        parameters = {
            "apiKey": ALICE.api_key,
            "command": "createConsoleEndpoint",
            "virtualmachineid": self.vm_id,
            "response": "json",
            "signatureVersion": "3",
            "expires": expires(600),
        }
        begin = time.perf_counter()
        async with self.session.get(f"{self.api}?{signed(ALICE, parameters)}") as answer:
            made: dict[str, Any] = (await answer.json())["createconsoleendpointresponse"]["consoleendpoint"]
        self.tally.seconds.append(time.perf_counter() - begin)
        return made


@asynccontextmanager
async def callers(count: int, api: str, tally: Tally) -> AsyncIterator[list[Caller]]:
    """Make clients that share one pool of connections, one for each."""
    connector = aiohttp.TCPConnector(limit=count)
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield [Caller(session, api, f"vm-{number}", tally) for number in range(count)]


@asynccontextmanager
async def prepared(folder: Path) -> AsyncIterator[tuple[Site, Program]]:
    """Run a VNC server, and a manager that knows it under many names and has room for all calls."""
    vm = await FakeVM().start()
    try:
        async with site(folder) as made:
            vms = [
                Instance(f"vm-{number}", f"vm-{number}", "VM", "", ALICE.id, "Running", "127.0.0.1", vm.port, "")
                for number in range(CLIENTS)
            ]
            made.write_inventory([ALICE, ROOT], vms)
            manager = await made.manager()
            await call(manager, ROOT, "updateConfiguration", name="consoleproxy.session.max", value="5000")
            yield made, manager
    finally:
        await vm.close()


async def proxy(place: Site, name: str, manager: Program, port: int = 0) -> Program:
    """Start a proxy with room for all calls."""
    return await place.linked_proxy(name, manager.said["url"], "--max-sessions", "5000", port=port)


async def gets_in(made: dict[str, Any]) -> bool:
    """Say whether a viewer gets as far as the VM's screen."""
    try:
        viewer = await view(made)
    except (OSError, EOFError, WebSocketException):
        return False
    try:
        await viewer.enter()
    except WebSocketException:
        return False
    finally:
        await viewer.close()
    return True


async def open_twice(made: dict[str, Any], tally: Tally) -> None:
    """Open a link by two viewers at the same moment."""
    wins = await asyncio.gather(gets_in(made), gets_in(made))
    tally.wins[made["websocket"]["token"]] += sum(wins)


def port_of(program: Program) -> int:
    """Return a proxy's public port."""
    return int(program.said["http_url"].rpartition(":")[2])


def percentile(seconds: list[float], part: float) -> float:
    """Return what this part of the times does not exceed."""
    return sorted(seconds)[math.ceil(part * len(seconds)) - 1]


def say(text: str) -> None:
    """Write numbers for a person."""
    sys.stdout.write(f"\n{text}\n")


@pytest.mark.slow
async def test_two_thousand_calls_while_both_proxies_are_killed_and_come_back(tmp_path: Path) -> None:
    """Each endpoint that 50 clients were answered is in the store, no session twice, none opened by two viewers."""
    tally = Tally()
    async with prepared(tmp_path) as (place, manager):
        proxies = [await proxy(place, name, manager) for name in ("one", "two")]
        killings = 0  # 1 while proxies are away, 2 afterwards

        async def work(caller: Caller) -> None:
            for number in range(CALLS):
                made = await caller.endpoint()
                if number % OPENED == 0:
                    before = killings
                    await open_twice(made, tally)
                    if before == killings != 1:
                        tally.undisturbed.add(made["websocket"]["token"])

        async def disturb() -> None:
            nonlocal killings
            await until(tally.after(PROXIES_DIE_AFTER))
            killings = 1
            ports = [port_of(each) for each in proxies]
            await asyncio.gather(*(each.kill() for each in proxies))
            again = (proxy(place, name, manager, port) for name, port in zip(("one", "two"), ports, strict=True))
            proxies[:] = await asyncio.gather(*again)
            assert len(tally.made) < CLIENTS * CALLS
            killings = 2

        begin = time.perf_counter()
        async with callers(CLIENTS, manager.said["api"], tally) as many, asyncio.TaskGroup() as tasks:
            for caller in many:
                tasks.create_task(work(caller))
            tasks.create_task(disturb())
        spent = time.perf_counter() - begin
        for each in (*proxies, manager):
            assert 0 == await each.stop()
        async with place.store() as store:
            stored = {session.id: session for session in await store.list_sessions(SessionFilter())}
            answered = [session_id(token, store.token_keys) for token in tally.tokens]
            opened = {session_id(token, store.token_keys) for token, wins in tally.wins.items() if wins}
    rate, slowest = len(tally.seconds) / spent, percentile(tally.seconds, 0.99)
    say(
        f"{len(answered)} endpoints ({tally.turned_away} times no proxy) and {tally.wins.total()} consoles "
        f"in {spent:.1f} s, proxies killed included: {rate:.0f} calls/s, p99 {slowest * 1000:.0f} ms"
    )
    assert CLIENTS * CALLS == len(answered) == len(set(answered))
    assert set() == set(answered) - stored.keys()
    assert {0, 1} >= set(tally.wins.values())
    assert {1} == {tally.wins[token] for token in tally.undisturbed}
    assert opened <= {key for key, session in stored.items() if session.acquired is not None}
    assert {"one", "two"} == await names_used(stored, place)


async def names_used(stored: dict[str, Any], place: Site) -> set[str]:
    """Return the names of the proxies that got sessions."""
    async with place.store() as store:
        names = {record.proxy_id: record.name for record in await store.list_proxies()}
    return {names[session.proxy_id] for session in stored.values()}


@pytest.mark.slow
async def test_what_a_manager_answered_before_it_was_killed_is_there_after_its_restart(tmp_path: Path) -> None:
    """Of 500 writes, those answered before kill -9 are listed afterwards, and their links open once."""
    tally = Tally()
    async with prepared(tmp_path) as (place, manager):
        only = await proxy(place, "one", manager)

        async def write(caller: Caller) -> None:
            with suppress(aiohttp.ClientError):
                for _ in range(WRITES):
                    await caller.endpoint()

        async def disturb() -> None:
            await until(tally.after(MANAGER_DIES_AFTER))
            await manager.kill()

        async with callers(WRITERS, manager.said["api"], tally) as many, asyncio.TaskGroup() as tasks:
            for caller in many:
                tasks.create_task(write(caller))
            tasks.create_task(disturb())
        kept = tally.made
        assert MANAGER_DIES_AFTER <= len(kept) < WRITERS * WRITES
        restarted = await place.manager(listen=f"127.0.0.1:{manager.said['port']}")
        listed = await listed_sessions(restarted)
        async with place.store() as store:
            answered = {session_id(token, store.token_keys) for token in tally.tokens}
        assert len(kept) == len(answered)
        assert set() == answered - listed
        await until(only.is_ready)
        assert [True, False] == [await gets_in(kept[-1]), await gets_in(kept[-1])]
        assert (await console(restarted, ALICE, "vm-0"))["success"]
    say(f"{len(kept)} of {WRITERS * WRITES} endpoints answered before the kill, {len(listed)} in the store after it")


async def listed_sessions(manager: Program) -> set[str]:
    """Return the ids of all sessions that the API lists, page by page."""
    found: set[str] = set()
    for page in range(1, 3):
        answer = await call(manager, ROOT, "listConsoleSessions", activeonly="false", page=str(page), pagesize="500")
        found |= {row["id"] for row in answer.get("consolesession", [])}
    return found

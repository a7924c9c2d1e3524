"""What every ``ControlLink`` to our own manager must do; ``test_direct`` and ``test_http`` run it."""

from __future__ import annotations

import asyncio
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from consoleproxy.access.grant import Grant
from consoleproxy.access.token import TokenKey, TokenKeys, decode
from consoleproxy.errors import ConsoleError, ExpiredError, LinkRefused, ManagerAwayError, UnknownError, UsedError
from consoleproxy.links import ControlLink
from consoleproxy.links.managed import LinkTimes
from consoleproxy.manager.control import ManagerService
from consoleproxy.manager.inventory import Inventory
from consoleproxy.manager.masterkey import MasterKey
from consoleproxy.manager.model import Account, Instance, Session
from consoleproxy.manager.settings import LiveSettings
from consoleproxy.manager.store import Store
from consoleproxy.messages import (
    AccessAnswer,
    AccessRequest,
    Command,
    KeysPush,
    LoadReport,
    ProxyDescription,
    SessionEnd,
    SessionOpened,
    Welcome,
)

ANN = Account("ann", "Ann", "api-key", "secret-key")
VM = Instance("b2c1a7de-6a53-4c0b-8e11-5d6f2f0f7a10", "vm", "VM", "", ANN.id, "Running", "127.0.0.1", 5900, "vnc-pw")
QUICK = LinkTimes(connect=5, answer=5, reply=5, shortest=0.01, longest=0.05, gather=0.001, goodbye=5)
#: The shortest that the manager allows.
INTERVAL = {"consoleproxy.loadscan.interval": "500"}


async def until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - whoever changes it does not know of us
            await asyncio.sleep(0.005)


class FakeProxy:
    """A ``ProxyControl`` that notes what is done to it."""

    def __init__(self, *, proxy_id: str = "proxy-id", incarnation: str = "first", port: int = 6080) -> None:
        self.description = ProxyDescription(
            "0", proxy_id, incarnation, "proxy-1", "192.0.2.1", port, port, is_tls=False, capacity=1000
        )
        self.is_draining = False
        self.keys: TokenKeys | None = None
        self.settings: dict[str, str] = {}
        self.killed: list[tuple[str, str]] = []
        self.carried: set[str] = set()

    def describe(self) -> ProxyDescription:
        return self.description

    def use_keys(self, keys: TokenKeys) -> None:
        self.keys = keys

    def use_settings(self, settings: Mapping[str, str]) -> None:
        self.settings.update(settings)

    def kill(self, session_id: str, reason: str) -> bool:
        self.killed.append((session_id, reason))
        return session_id in self.carried

    def drain(self) -> None:
        self.is_draining = True


class Gate:
    """Stands before the manager's service, which may be replaced, be away, or be slow to answer."""

    def __init__(self, service: ManagerService) -> None:
        self.service = service
        self.is_down = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.reports: list[LoadReport] = []

    async def register(self, description: ProxyDescription) -> Welcome:
        self._check()
        return await self.service.register(description)

    async def authorise(self, proxy_id: str, request: AccessRequest) -> AccessAnswer:
        self._check()
        answer = await self.service.authorise(proxy_id, request)
        await self.may_answer.wait()
        return answer

    async def report(self, proxy_id: str, incarnation: str, report: LoadReport) -> None:
        self._check()
        await self.service.report(proxy_id, incarnation, report)
        self.reports.append(report)

    async def link_lost(self, proxy_id: str, incarnation: str) -> None:
        self._check()
        await self.service.link_lost(proxy_id, incarnation)

    def _check(self) -> None:
        if self.is_down:
            raise ConnectionError("the manager is away")


class World(ABC):
    """A real manager on a store of its own, and links to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._links: list[ControlLink] = []
        self.later = 0.0
        self.proxy = FakeProxy()

    async def start(self) -> None:
        """Start the manager, and a link that is up."""
        self.gate = Gate(await self._open_service())
        await self.open_manager()
        self.link = await self.add_link(self.proxy)
        await until(lambda: self.link.is_up)

    async def stop(self) -> None:
        """Stop all."""
        for link in self._links:
            await link.close()
        await self.close_manager()
        await self._store.close()

    async def add_link(self, proxy: FakeProxy) -> ControlLink:
        """Start another proxy's link."""
        link = self.make_link()
        self._links.append(link)
        await link.start(proxy)
        return link

    async def restart(self) -> None:
        """Stop the manager, and start it again on what it has stored."""
        await self.close_manager()
        await self._store.close()
        await until(lambda: not self.link.is_up)
        self.gate.service = await self._open_service()
        await self.open_manager()
        await until(lambda: self.link.is_up)

    @property
    def service(self) -> ManagerService:
        """The manager's service of now."""
        return self.gate.service

    @abstractmethod
    def make_link(self) -> ControlLink:
        """Return a new link, not started."""

    @abstractmethod
    async def open_manager(self) -> None:
        """Make the manager reachable, and its commands arrive."""

    @abstractmethod
    async def close_manager(self) -> None:
        """Make the manager unreachable."""

    async def command(self, command: Command) -> bool:
        """Send the first proxy a command."""
        assert self.service.commands is not None
        return await self.service.commands("proxy-id", command)

    async def request(self) -> AccessRequest:
        """Return what a viewer of a new console asks."""
        made = await self.service.create_endpoint(ANN, VM.id, creator_address="192.0.2.9")
        assert made.endpoint is not None, made.details
        grant = Grant.from_fields(decode(made.endpoint.token, self.service.token_keys()))
        return AccessRequest(
            grant.session_id, grant.vm_id, grant.host, grant.port, "192.0.2.9", grant.password, grant.ticket
        )

    async def open(self) -> str:
        """Open a console, and return its session's id."""
        request = await self.request()
        await self.link.authorise(request)
        self.link.opened(SessionOpened(request.session_id, VM.id, "192.0.2.9", time.time()))
        return request.session_id

    async def session(self, session_id: str) -> Session:
        """Return what the manager knows of a session."""
        return (await self.service.list_sessions(session_id=session_id))[0]

    async def until_reported(self) -> None:
        """Wait until everything that has happened until now is reported."""
        seen = len(self.gate.reports)
        self.link.draining()
        # The first of them may have been on its way already.
        await until(lambda: len(self.gate.reports) >= seen + 2)

    async def _open_service(self) -> ManagerService:
        key = MasterKey.load(self._folder / "master-key")
        self._store = await Store.open(self._folder / "manager.sqlite", key, self._now)
        service = ManagerService(self._store, LiveSettings(INTERVAL), self._now)
        await service.load_inventory(Inventory((ANN,), (VM,)))
        return service

    def _now(self) -> float:
        return time.time() + self.later


def end_of(session_id: str, reason: str = "idle") -> SessionEnd:
    """Return the end of a console."""
    return SessionEnd(session_id, VM.id, reason, 2.0, 3, 4)


async def test_a_session_is_consumed_once(world: World) -> None:
    """The first viewer is let in, the second is told that the link was used."""
    request = await world.request()
    assert isinstance(await world.link.authorise(request), AccessAnswer)
    with pytest.raises(UsedError):
        await world.link.authorise(request)


async def test_one_of_many_at_once_wins(world: World) -> None:
    """Of a hundred viewers with one link at the same moment exactly one is let in."""
    request = await world.request()
    tries = (world.link.authorise(request) for _ in range(100))
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert 1 == sum(isinstance(answer, AccessAnswer) for answer in answers)
    assert 99 == sum(isinstance(answer, UsedError) for answer in answers)


async def test_an_unknown_session_is_refused(world: World) -> None:
    """A session that the manager does not know gets its own reason."""
    with pytest.raises(UnknownError):
        await world.link.authorise(AccessRequest(str(uuid.uuid4()), VM.id, VM.host, VM.port, "192.0.2.9"))


async def test_an_expired_link_is_refused(world: World) -> None:
    """After its minutes a link opens nothing."""
    request = await world.request()
    world.later = 180
    with pytest.raises(ExpiredError):
        await world.link.authorise(request)


async def test_sessions_are_counted(world: World) -> None:
    """A console counts from its opening to its end, which keeps its reason."""
    session_id = await world.open()
    await world.until_reported()
    assert [1] == [proxy.active_sessions for proxy in await world.service.list_proxies()]
    world.link.ended(end_of(session_id))
    await world.until_reported()
    assert [0] == [proxy.active_sessions for proxy in await world.service.list_proxies()]
    assert "idle" == (await world.session(session_id)).end_reason


async def test_reports_come_at_the_interval(world: World) -> None:
    """A proxy where nothing happens reports all the same, so that it counts as alive."""
    await world.until_reported()
    seen = len(world.gate.reports)
    await until(lambda: len(world.gate.reports) >= seen + 2)
    assert {(0, ())} == {(report.sessions, report.ended) for report in world.gate.reports[seen:]}


async def test_a_change_is_reported_at_once(world: World) -> None:
    """An end does not wait for the interval."""
    await world.service.update_setting("consoleproxy.loadscan.interval", "100000")
    session_id = await world.open()
    world.link.ended(end_of(session_id))
    await until(lambda: any(report.ended for report in world.gate.reports))


async def test_an_end_while_the_manager_is_away_is_told_later(world: World) -> None:
    """An end that happened without a link arrives with its own reason, once, when the manager is back."""
    session_id = await world.open()
    await world.until_reported()
    await world.close_manager()
    await until(lambda: not world.link.is_up)
    world.link.ended(end_of(session_id))
    await world.open_manager()
    await until(lambda: world.link.is_up)
    await world.until_reported()
    ended = await world.session(session_id)
    assert "idle" == ended.end_reason
    await world.restart()
    await world.until_reported()
    assert ended == await world.session(session_id)


async def test_a_running_session_outlives_the_manager(world: World) -> None:
    """A console that ran before and after a restart of the manager is still active, and ends with its own reason."""
    session_id = await world.open()
    await world.restart()
    await world.until_reported()
    await world.service.sweep()
    assert None is (await world.session(session_id)).removed
    assert [] == world.proxy.killed
    world.link.ended(end_of(session_id))
    await world.until_reported()
    assert "idle" == (await world.session(session_id)).end_reason


async def test_an_open_link_outlives_the_manager(world: World) -> None:
    """A console link that was made before a restart opens after it, once."""
    request = await world.request()
    keys = world.proxy.keys
    await world.restart()
    assert isinstance(await world.link.authorise(request), AccessAnswer)
    with pytest.raises(UsedError):
        await world.link.authorise(request)
    assert keys == world.proxy.keys


async def test_without_a_manager_nobody_enters(world: World) -> None:
    """While the manager is away viewers are told so, and nothing happens to those inside."""
    request = await world.request()
    await world.open()
    await world.close_manager()
    await until(lambda: not world.link.is_up)
    with pytest.raises(ManagerAwayError):
        await world.link.authorise(request)
    assert [] == world.proxy.killed
    await world.open_manager()
    await until(lambda: world.link.is_up)
    assert isinstance(await world.link.authorise(request), AccessAnswer)


async def test_a_viewer_who_left_does_not_stay_counted(world: World) -> None:
    """A yes that comes when nobody waits for it any more has consumed a session, whose end is told."""
    request = await world.request()
    world.gate.may_answer.clear()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await world.link.authorise(request)
    assert (await world.session(request.session_id)).acquired is not None
    world.gate.may_answer.set()
    await until(lambda: any(report.ended for report in world.gate.reports))
    assert ManagerAwayError.reason == (await world.session(request.session_id)).end_reason


async def test_a_question_ends_with_its_link(world: World) -> None:
    """A viewer whose question was under way when the link closed is told that the manager is away."""
    request = await world.request()
    world.gate.may_answer.clear()
    asked = asyncio.gather(world.link.authorise(request), return_exceptions=True)
    await asyncio.sleep(0)
    await world.link.close()
    assert [ManagerAwayError] == [type(answer) for answer in await asked]


async def test_a_session_can_be_killed(world: World) -> None:
    """``kill`` reaches the proxy with its reason; a session that it does not carry gives false."""
    session_id = await world.open()
    world.proxy.carried.add(session_id)
    assert await world.service.kill(session_id)
    world.proxy.carried.clear()
    assert not await world.service.kill(session_id)
    assert [(session_id, "killed")] * 2 == world.proxy.killed


async def test_a_proxy_can_be_drained(world: World) -> None:
    """``drain`` reaches the proxy, whose reports then say so."""
    assert await world.service.drain("proxy-id")
    assert world.proxy.is_draining
    await world.until_reported()
    assert world.gate.reports[-1].is_draining


async def test_a_command_to_somebody_else_is_not_obeyed(world: World) -> None:
    """A proxy that is not linked gets nothing, and the manager knows."""
    assert world.service.commands is not None
    assert not await world.service.commands("another", KeysPush(""))


async def test_settings_are_told(world: World) -> None:
    """A proxy knows the settings from its welcome, and each change from the moment it is made."""
    assert "500" == world.proxy.settings["consoleproxy.loadscan.interval"]
    await world.service.update_setting("novnc.console.sourceip.check.enabled", "true")
    assert "true" == world.proxy.settings["novnc.console.sourceip.check.enabled"]


async def test_keys_are_told(world: World) -> None:
    """A proxy has the token keys from its welcome, and new ones are taken; damaged ones leave the old."""
    assert world.service.token_keys() == world.proxy.keys
    old, new = TokenKey(b"o" * 16, b"o" * 16), TokenKey(b"n" * 16, b"n" * 16)
    assert await world.command(KeysPush(new.to_json(), old.to_json()))
    assert not await world.command(KeysPush("not a key"))
    assert TokenKeys(new, old) == world.proxy.keys


async def test_a_proxy_started_again_has_lost_its_sessions(world: World) -> None:
    """The same id with a new incarnation carries nothing of before: those sessions end, once."""
    session_id = await world.open()
    await world.link.close()
    again = await world.add_link(FakeProxy(incarnation="second"))
    await until(lambda: again.is_up)
    ended = await world.session(session_id)
    assert "proxy-lost" == ended.end_reason


async def test_another_proxy_at_the_same_address_is_refused(world: World) -> None:
    """While a proxy lives, another id at its address and port stays outside."""
    other = FakeProxy(proxy_id="another")
    link = await world.add_link(other)
    with pytest.raises(LinkRefused):
        await world.service.register(other.description)
    with pytest.raises(ManagerAwayError):
        await link.authorise(await world.request())
    assert world.link.is_up


async def test_the_last_ends_are_told_when_closing(world: World) -> None:
    """What ended just before the link closes is still reported."""
    session_id = await world.open()
    world.link.ended(end_of(session_id, "draining"))
    await world.link.close()
    assert "draining" == (await world.session(session_id)).end_reason
    assert not world.link.is_up


async def test_a_closed_link_lets_nobody_in(world: World) -> None:
    """After ``close`` the answer is that the manager is away."""
    request = await world.request()
    await world.link.close()
    with pytest.raises(ConsoleError) as error:
        await world.link.authorise(request)
    assert ManagerAwayError is error.type


async def test_no_end_is_lost_or_counted_twice(world: World) -> None:
    """Sessions that open and end while the manager is restarted all end once, with their own reason."""
    requests = [await world.request() for _ in range(200)]
    expected: dict[str, str] = {}
    is_over = False

    async def live(reason: str) -> None:
        while requests and not is_over:
            request = requests.pop()
            try:
                await world.link.authorise(request)
            except ConsoleError:
                await asyncio.sleep(0.05)
                continue
            expected[request.session_id] = reason
            world.link.opened(SessionOpened(request.session_id, VM.id, "192.0.2.9", time.time()))
            await asyncio.sleep(0.02)
            world.link.ended(end_of(request.session_id, reason))

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(live(f"reason-{number}"))
        for _ in range(3):
            await asyncio.sleep(0.1)
            await world.restart()
        is_over = True
    await world.until_reported()
    sessions = await world.service.list_sessions(is_acquired=True)
    ended = {session.id: session.end_reason for session in sessions if session.id in expected}
    assert expected == ended
    assert len(expected) > 20

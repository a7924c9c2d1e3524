"""The manager's service: links made, sessions consumed, proxies heard."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from consoleproxy.access.token import TokenKey
from consoleproxy.errors import ConfigError, ExpiredError, LinkRefused, UnknownError, UsedError, WrongProxyError
from consoleproxy.manager.control import ManagerService
from consoleproxy.manager.inventory import Inventory
from consoleproxy.messages import AccessAnswer, Command, Drain, Kill, LoadReport, SessionEnd, Target
from tests.manager.managers import (
    ADMIN,
    ALICE,
    BOB,
    INVENTORY,
    Clock,
    hello,
    instance,
    link,
    opened,
    request,
    running_manager,
    running_store,
)


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
async def service(tmp_path: Path, clock: Clock) -> AsyncIterator[ManagerService]:
    """A manager with one proxy, p1."""
    async with running_manager(tmp_path, clock) as made:
        await made.register(hello("p1"))
        yield made


def end(session_id: str, reason: str = "browser-closed") -> SessionEnd:
    """Return what a proxy tells of an end."""
    return SessionEnd(session_id, "vm-0", reason, 1.0, 2, 3)


async def loads(service: ManagerService) -> dict[str, tuple[int, int]]:
    """Return active and reserved sessions by proxy."""
    return {proxy.name: (proxy.active_sessions, proxy.reserved_sessions) for proxy in await service.list_proxies()}


async def session_state(service: ManagerService, session_id: str) -> tuple[bool, str]:
    """Return whether a session is active, and its end reason."""
    (session,) = await service.list_sessions(session_id=session_id)
    return session.is_active, session.end_reason


# --- createConsoleEndpoint ------------------------------------------------------------


async def test_a_link_leads_to_the_vm_on_the_proxy(service: ManagerService) -> None:
    """The URL names the proxy; the token holds the VM, the extra token and who asked."""
    made = await service.create_endpoint(ALICE, "vm-0", extra="x y", creator_address="192.0.2.1")
    assert made.success
    assert made.endpoint is not None
    assert ("p1.example.test", 8080, "x y") == (made.endpoint.host, made.endpoint.port, made.endpoint.extra)
    assert made.endpoint.url.startswith("http://p1.example.test/resource/noVNC/vnc.html?")
    grant = await link(service, extra="x y")
    assert ("198.51.100.7", 5901, "secret12", "vm-0") == (grant.host, grant.port, grant.password, grant.vm_id)
    assert ("x y", "192.0.2.1") == (grant.extra_token, grant.source_address)


@pytest.mark.parametrize(
    ("vm", "word"),
    [("bobs", "somebody else"), ("nowhere", "no such"), ("off", "Stopped")],
)
async def test_a_vm_that_cannot_be_shown_is_told(service: ManagerService, vm: str, word: str) -> None:
    """Another account's VM, an unknown one and a stopped one are refused with a sentence, not an error."""
    made = await service.create_endpoint(ALICE, vm)
    assert (False, None) == (made.success, made.endpoint)
    assert word in made.details


async def test_another_accounts_vm_cannot_be_told_from_an_unknown_one(service: ManagerService) -> None:
    """Nobody learns which ids exist."""
    assert await service.create_endpoint(ALICE, "bobs") == await service.create_endpoint(ALICE, "nowhere")


async def test_an_admin_may_open_every_vm(service: ManagerService) -> None:
    """A root admin's console of another account's VM works."""
    assert (await service.create_endpoint(ADMIN, "bobs")).success


async def test_an_extra_token_can_be_required(service: ManagerService) -> None:
    """With the validation switched on, a link without an extra token is refused."""
    await service.update_setting("consoleproxy.extra.security.validation.enabled", "true")
    assert not (await service.create_endpoint(ALICE, "vm-0")).success
    assert (await service.create_endpoint(ALICE, "vm-0", extra="x")).success


async def test_without_a_proxy_there_is_no_link(service: ManagerService) -> None:
    """A lost link means no new consoles, until the proxy is back."""
    await service.link_lost("p1", "1")
    assert not (await service.create_endpoint(ALICE, "vm-0")).success
    await service.register(hello("p1"))
    assert (await service.create_endpoint(ALICE, "vm-0")).success


async def test_a_late_loss_of_an_older_start_changes_nothing(service: ManagerService) -> None:
    """Losing the older incarnation's link does not take the newer one down."""
    await service.register(hello("p1", incarnation="2"))
    await service.link_lost("p1", "1")
    assert (await service.create_endpoint(ALICE, "vm-0")).success


async def test_a_proxy_that_takes_none_gets_none(service: ManagerService) -> None:
    """A capacity of zero is no room, for returning VMs too."""
    await link(service)
    await service.register(hello("p1", capacity=0))
    assert not (await service.create_endpoint(ALICE, "vm-0")).success


async def test_a_full_proxy_gets_no_new_vm_but_its_own_back(service: ManagerService, clock: Clock) -> None:
    """Room counts unopened links until their tickets expire; a VM that was there comes back regardless."""
    await service.update_setting("consoleproxy.session.max", "2")
    for vm in ("vm-0", "vm-1"):
        assert (await service.create_endpoint(ALICE, vm)).success
    assert not (await service.create_endpoint(ALICE, "vm-2")).success
    assert (await service.create_endpoint(ALICE, "vm-0")).success
    assert {"p1": (0, 2)} == await loads(service)
    for seconds, reserved in ((119, 2), (1, 0), (60, 0)):
        clock.now += seconds
        assert {"p1": (0, reserved)} == await loads(service)
    assert (await service.create_endpoint(ALICE, "vm-2")).success


async def test_a_vm_lands_on_its_proxy_even_when_that_is_fuller(service: ManagerService) -> None:
    """The second viewer of a VM gets the first one's proxy, a new VM the least loaded one."""
    for vm in ("vm-0", "vm-1", "vm-2"):
        await service.authorise("p1", request(await link(service, vm)))
    await service.register(hello("p2"))
    first = await service.create_endpoint(ALICE, "vm-0")
    new = await service.create_endpoint(ALICE, "vm-9")
    assert first.endpoint is not None
    assert new.endpoint is not None
    assert ("p1.example.test", "p2.example.test") == (first.endpoint.host, new.endpoint.host)
    assert {"least-loaded": 4, "sticky": 1} == service.assignments


async def test_the_first_available_proxy_can_be_asked_for(service: ManagerService) -> None:
    """With first-available, the proxy that was known first is filled first."""
    await service.register(hello("p2"))
    await service.update_setting("consoleproxy.allocation", "first-available")
    await service.update_setting("consoleproxy.session.max", "2")
    for number in range(3):
        await link(service, f"vm-{number}")
    assert {"p1": (0, 2), "p2": (0, 1)} == await loads(service)


async def test_links_made_at_once_never_pass_the_capacity(service: ManagerService) -> None:
    """Ten callers at once for ten VMs and four places: four links."""
    await service.update_setting("consoleproxy.session.max", "4")
    made = await asyncio.gather(*(service.create_endpoint(ALICE, f"vm-{number}") for number in range(10)))
    assert 4 == sum(result.success for result in made)


# --- authorise ------------------------------------------------------------------------


async def test_a_session_is_consumed_once(service: ManagerService) -> None:
    """The first viewer gets the VM and the name of who asked, the second is told "used"."""
    grant = await link(service, caller=ALICE)
    answer = await service.authorise("p1", request(grant))
    assert AccessAnswer(Target("198.51.100.7", 5901, "secret12"), "alice") == answer
    with pytest.raises(UsedError):
        await service.authorise("p1", request(grant))
    assert {"p1": (1, 0)} == await loads(service)


async def test_two_managers_let_one_of_many_in(tmp_path: Path, clock: Clock) -> None:
    """Two managers on one store are asked by many at once for one session, 100 times: one yes each time."""
    async with running_manager(tmp_path, clock) as one, running_manager(tmp_path, clock) as other:
        await one.register(hello("p1"))
        for _ in range(100):
            asked = request(await link(one))
            tries = [manager.authorise("p1", asked) for manager in (one, other, one, other)]
            answers = await asyncio.gather(*tries, return_exceptions=True)
            assert 1 == sum(isinstance(answer, AccessAnswer) for answer in answers)
            assert 3 == sum(isinstance(answer, UsedError) for answer in answers)


async def test_a_hundred_viewers_at_once_are_one(tmp_path: Path, clock: Clock) -> None:
    """Of a hundred who come with one link to two managers at the same moment, one gets in."""
    async with running_manager(tmp_path, clock) as one, running_manager(tmp_path, clock) as other:
        await one.register(hello("p1"))
        asked = request(await link(one))
        tries = [manager.authorise("p1", asked) for manager in (one, other) for _ in range(50)]
        answers = await asyncio.gather(*tries, return_exceptions=True)
        assert [1, 99] == [sum(isinstance(answer, kind) for answer in answers) for kind in (AccessAnswer, UsedError)]


async def test_two_proxies_at_once_let_one_in(service: ManagerService) -> None:
    """A link tried at two proxies at the same moment, 100 times, opens on its own proxy alone."""
    await service.register(hello("p2"))
    for number in range(100):
        grant = await link(service, f"vm-{number % 10}")
        (session,) = await service.list_sessions(session_id=grant.session_id)
        tries = [service.authorise(proxy, request(grant)) for proxy in ("p1", "p2")]
        answers = dict(zip(("p1", "p2"), await asyncio.gather(*tries, return_exceptions=True), strict=True))
        assert isinstance(answers.pop(session.proxy_id), AccessAnswer)
        assert all(isinstance(answer, WrongProxyError | UsedError) for answer in answers.values())


async def test_a_wrong_proxy_does_not_burn_the_session(service: ManagerService) -> None:
    """A refusal at another proxy leaves the link good."""
    grant = await link(service)
    with pytest.raises(WrongProxyError):
        await service.authorise("p2", request(grant))
    await service.authorise("p1", request(grant))


@pytest.mark.parametrize("changed", [{"ticket": "x"}, {"host": "203.0.113.66"}, {"port": 1}, {"password": "other"}])
async def test_an_altered_request_expires_and_burns_nothing(
    service: ManagerService, changed: Mapping[str, str | int]
) -> None:
    """What the ticket does not vouch for is refused; the right request still works after it."""
    right = request(await link(service))
    with pytest.raises(ExpiredError):
        await service.authorise("p1", dataclasses.replace(right, **changed))  # type: ignore[arg-type]  # any field
    await service.authorise("p1", right)


async def test_a_ticket_ends_with_the_next_minute(service: ManagerService, clock: Clock) -> None:
    """A link made at a full minute works after 119 seconds and no more after 120."""
    late, over = await link(service, "vm-0"), await link(service, "vm-1")
    clock.now += 119
    await service.authorise("p1", request(late))
    clock.now += 1
    with pytest.raises(ExpiredError):
        await service.authorise("p1", request(over))


async def test_an_unknown_session_or_vm_is_refused(service: ManagerService) -> None:
    """Neither a session that was never made, nor one of another VM, nor a removed VM opens."""
    right = request(await link(service))
    for session_id, vm_id in (("none", "vm-0"), (right.session_id, "none"), (right.session_id, "vm-1")):
        with pytest.raises(UnknownError):
            await service.authorise("p1", dataclasses.replace(right, session_id=session_id, vm_id=vm_id))
    assert await service.remove_instance("vm-0")
    assert not await service.remove_instance("vm-0")
    with pytest.raises(UnknownError):
        await service.authorise("p1", right)
    assert {"unknown": 4} == service.refusals


async def test_a_vm_that_moved_is_found_where_it_is_now(service: ManagerService) -> None:
    """The answer's target is the VM's present one, though the link was made with the former."""
    grant = await link(service)
    await service.add_instance(instance("vm-0", port=5999))
    answer = await service.authorise("p1", request(grant))
    assert answer.target is not None
    assert 5999 == answer.target.port


async def test_a_changed_password_ends_the_link(service: ManagerService) -> None:
    """A link made with a former VNC password is refused, and not consumed."""
    grant = await link(service)
    await service.add_instance(dataclasses.replace(instance("vm-0"), password="new"))
    with pytest.raises(ExpiredError):
        await service.authorise("p1", request(grant))


# --- proxies --------------------------------------------------------------------------


async def test_the_welcome_brings_keys_settings_and_the_interval(service: ManagerService) -> None:
    """A proxy learns the token key, the settings that concern it, and how often to report."""
    await service.update_setting("consoleproxy.loadscan.interval", "500")
    welcome = await service.register(hello("p2"))
    assert service.token_keys().current == TokenKey.from_json(welcome.token_key)
    assert (0.5, "500") == (welcome.interval, welcome.settings["consoleproxy.loadscan.interval"])
    assert ("false", "8080") == (welcome.settings["premium"], welcome.settings["vncport"])
    assert "consoleproxy.session.max" not in welcome.settings


async def test_a_place_is_taken_while_its_proxy_is_alive(service: ManagerService, clock: Clock) -> None:
    """Another proxy at the same address and port is refused until three intervals have passed without a word."""
    rival = hello("p2", address="p1.example.test")
    clock.now += 15
    with pytest.raises(LinkRefused, match="p1"):
        await service.register(rival)
    clock.now += 0.1
    await service.register(rival)
    assert {"p1": False, "p2": True} == {proxy.name: proxy.is_up for proxy in await service.list_proxies()}


async def test_a_lost_link_frees_the_place(service: ManagerService) -> None:
    """Another proxy may come at once where the former one's link is gone."""
    await service.link_lost("p1", "1")
    await service.register(hello("p2", address="p1.example.test"))


async def test_a_new_start_has_lost_what_it_does_not_list(service: ManagerService) -> None:
    """After kill -9 and a new start, the sessions of the older incarnation are ended as proxy-lost."""
    grant = await link(service)
    await service.authorise("p1", request(grant))
    await service.register(hello("p1", incarnation="2"))
    assert (False, "proxy-lost") == await session_state(service, grant.session_id)
    with pytest.raises(LinkRefused):
        await service.report("p1", "1", LoadReport(1, 1, (opened(grant),)))
    assert {"p1": (0, 0)} == await loads(service)


async def test_a_session_on_its_way_survives_a_reconnect(service: ManagerService, clock: Clock) -> None:
    """A viewer who was just let in need not be in the hello of the same start; a minute later it must."""
    grant = await link(service)
    await service.authorise("p1", request(grant))
    await service.register(hello("p1"))
    assert (True, "") == await session_state(service, grant.session_id)
    clock.now += 61
    await service.report("p1", "1", LoadReport(1, 0, is_full=True))
    assert (False, "proxy-lost") == await session_state(service, grant.session_id)


async def test_an_end_is_told_twice_and_counted_once(service: ManagerService, clock: Clock) -> None:
    """The first end of a session stays, with its time; repeats and unknown sessions change nothing."""
    grant = await link(service)
    await service.authorise("p1", request(grant))
    first = LoadReport(1, 0, (opened(grant),), (end(grant.session_id), end("unknown")))
    await service.report("p1", "1", first)
    ended_at = clock.now
    clock.now += 3
    await service.report("p1", "1", LoadReport(2, 0, (opened(grant),), (end(grant.session_id, "vm-closed"),)))
    (session,) = await service.list_sessions(session_id=grant.session_id)
    assert (ended_at, "browser-closed") == (session.removed, session.end_reason)
    assert {("ended", "browser-closed"): 1, ("active", ""): 0, ("reserved", ""): 0} == await service.session_counts()


async def test_another_proxy_cannot_end_a_session(service: ManagerService) -> None:
    """A proxy's word counts for its own sessions only."""
    grant = await link(service)
    await service.authorise("p1", request(grant))
    await service.register(hello("p2"))
    await service.report("p2", "1", LoadReport(1, 0, (), (end(grant.session_id),), is_full=True))
    assert (True, "") == await session_state(service, grant.session_id)


async def test_ends_kept_during_a_lost_link_keep_their_reason(service: ManagerService) -> None:
    """What ended while the link was down is told in the hello, before anything counts as lost."""
    grant = await link(service)
    await service.authorise("p1", request(grant))
    again = dataclasses.replace(hello("p1"), ended=(end(grant.session_id, "idle"),))
    await service.register(again)
    assert (False, "idle") == await session_state(service, grant.session_id)


async def test_a_silent_proxy_is_down_after_three_intervals(service: ManagerService, clock: Clock) -> None:
    """After three missed reports its sessions are ended once; when it comes back, what still runs is active again."""
    grant = await link(service)
    await service.authorise("p1", request(grant))
    clock.now += 15
    await service.sweep()
    assert (True, "") == await session_state(service, grant.session_id)
    clock.now += 0.1
    await service.sweep()
    (proxy,) = await service.list_proxies()
    assert not proxy.is_up
    assert (False, "proxy-lost") == await session_state(service, grant.session_id)
    # It may have been the manager that was slow. Only a hello lists what runs, so a report is not enough.
    with pytest.raises(LinkRefused):
        await service.report("p1", "1", LoadReport(seq=1, sessions=1))
    await service.register(hello("p1", sessions=(opened(grant),)))
    assert (True, "") == await session_state(service, grant.session_id)


async def test_a_restarted_manager_waits_for_its_proxies(tmp_path: Path, clock: Clock) -> None:
    """After an hour away, the manager gives every proxy three intervals before it calls its sessions lost."""
    async with running_manager(tmp_path, clock) as before:
        await before.register(hello("p1"))
        grant = await link(before)
        await before.authorise("p1", request(grant))
    clock.now += 3600
    async with running_manager(tmp_path, clock) as after:
        await after.sweep()
        assert (True, "") == await session_state(after, grant.session_id)
        clock.now += 15
        await after.sweep()
        assert (False, "proxy-lost") == await session_state(after, grant.session_id)


async def test_open_links_survive_a_restart(tmp_path: Path, clock: Clock) -> None:
    """A link made before a restart opens after it, once; the settings are what they were."""
    async with running_manager(tmp_path, clock) as before:
        await before.register(hello("p1"))
        await before.update_setting("consoleproxy.session.max", "7")
        grant, used = await link(before), await link(before, "vm-1")
        await before.authorise("p1", request(used))
    async with running_manager(tmp_path, clock) as after:
        assert before.token_keys() == after.token_keys()
        assert ["7"] == [s.value for s in after.list_settings() if s.name == "consoleproxy.session.max"]
        await after.authorise("p1", request(grant))
        with pytest.raises(UsedError):
            await after.authorise("p1", request(used))


async def test_old_sessions_are_forgotten(service: ManagerService, clock: Clock) -> None:
    """Sessions that ended, or were never used, go after the retention; active ones stay."""
    ended, active = await link(service, "vm-0"), await link(service, "vm-1")
    await link(service, "vm-2")
    for grant in (ended, active):
        await service.authorise("p1", request(grant))
    await service.report("p1", "1", LoadReport(1, 1, (), (end(ended.session_id),)))
    clock.now += 240 * 3600 + 121
    await service.report("p1", "1", LoadReport(2, 1))
    await service.sweep()
    assert [active.session_id] == [session.id for session in await service.list_sessions()]


# --- administrators -------------------------------------------------------------------


async def test_a_session_is_killed_where_it_runs(service: ManagerService) -> None:
    """Kill goes to the session's proxy; a session that does not run, or no link, is a no."""
    sent: list[tuple[str, Command]] = []

    async def send(proxy_id: str, command: Command) -> bool:
        sent.append((proxy_id, command))
        return True

    grant = await link(service)
    await service.authorise("p1", request(grant))
    assert not await service.kill(grant.session_id)
    service.commands = send
    assert await service.kill(grant.session_id)
    assert not await service.kill("unknown")
    assert [("p1", Kill(grant.session_id))] == sent


async def test_a_draining_proxy_gets_no_console(service: ManagerService) -> None:
    """Neither new VMs nor returning ones go to a draining proxy, until it is started again."""
    sent: list[Command] = []

    async def send(_: str, command: Command) -> bool:
        sent.append(command)
        return True

    service.commands = send
    await link(service)
    assert await service.drain("p1")
    assert not await service.drain("unknown")
    assert [Drain()] == sent
    await service.register(hello("p1"))
    assert not (await service.create_endpoint(ALICE, "vm-0")).success
    await service.register(hello("p1", incarnation="2"))
    assert (await service.create_endpoint(ALICE, "vm-0")).success


@pytest.mark.parametrize("way", ["report", "hello"])
async def test_a_proxy_that_drains_by_itself_gets_no_console(service: ManagerService, way: str) -> None:
    """A proxy that was told to drain by a signal says so, and gets nothing until it is started again."""
    await link(service)
    if way == "report":
        await service.report("p1", "1", LoadReport(seq=1, sessions=0, is_draining=True))
        # Nothing but a new start ends a drain.
        await service.report("p1", "1", LoadReport(seq=2, sessions=0))
    else:
        await service.register(dataclasses.replace(hello("p1"), is_draining=True))
    assert [True] == [proxy.is_draining for proxy in await service.list_proxies()]
    assert not (await service.create_endpoint(ALICE, "vm-0")).success
    await service.register(hello("p1", incarnation="2"))
    assert (await service.create_endpoint(ALICE, "vm-0")).success


async def test_a_changed_setting_is_told(service: ManagerService) -> None:
    """Who listens gets what is pushed to the proxies; a bad value changes and tells nothing."""
    told: list[Mapping[str, str]] = []

    async def listen(settings: Mapping[str, str]) -> None:
        told.append(settings)

    service.on_settings_changed.append(listen)
    with pytest.raises(ConfigError, match="500 or more"):
        await service.update_setting("consoleproxy.loadscan.interval", "499")
    await service.update_setting("consoleproxy.url.domain", "*.example.test")
    assert ["*.example.test"] == [settings["consoleproxy.url.domain"] for settings in told]
    made = await service.create_endpoint(ALICE, "vm-0")
    assert made.endpoint is not None
    assert "p1-example-test.example.test" == made.endpoint.host


async def test_a_listener_that_fails_changes_nothing(service: ManagerService, caplog: pytest.LogCaptureFixture) -> None:
    """A changed setting holds, and reaches the others, though one of those who are told fails."""
    told: list[Mapping[str, str]] = []

    async def fail(_: Mapping[str, str]) -> None:
        raise OSError("broken pipe")

    async def listen(settings: Mapping[str, str]) -> None:
        told.append(settings)

    service.on_settings_changed.extend([fail, listen])
    assert "9" == (await service.update_setting("consoleproxy.session.max", "9")).value
    assert 1 == len(told)
    assert "broken pipe" in caplog.text


async def test_a_stored_setting_of_another_version_is_left_out(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A name or value that this version does not know is logged, and the manager starts."""
    async with running_store(tmp_path, clock) as store:
        await store.write_setting("consoleproxy.of.later", "x")
        await store.write_setting("consoleproxy.session.max", "many")
        await store.write_setting("consoleproxy.url.domain", "a.test")
    async with running_manager(tmp_path, clock) as service:
        kept = {setting.name: setting.value for setting in service.list_settings()}
    assert ("50", "a.test") == (kept["consoleproxy.session.max"], kept["consoleproxy.url.domain"])
    assert 2 == caplog.text.count("a stored setting is left out")


async def test_sessions_are_listed_as_asked_for(service: ManagerService, clock: Clock) -> None:
    """Each filter leaves its sessions; the newest comes first."""
    first = await link(service, "vm-0", caller=ALICE)
    clock.now += 1
    second = await link(service, "bobs", caller=BOB)
    await service.authorise("p1", request(second, viewer="192.0.2.77"))

    async def ids(**wanted: object) -> list[str]:
        return [session.id for session in await service.list_sessions(**wanted)]  # type: ignore[arg-type]  # any

    a, b = first.session_id, second.session_id
    assert [b, a] == await ids()
    assert [a] == await ids(account_id=ALICE.id) == await ids(instance_id="vm-0") == await ids(is_acquired=False)
    assert [b] == await ids(is_active=True) == await ids(client_address="192.0.2.77") == await ids(start=clock.now)
    assert [a] == await ids(end=clock.now - 1) == await ids(is_active=False)
    assert [b, a] == await ids(proxy_id="p1") == await ids(creator_address="192.0.2.1")


async def test_the_inventory_is_what_the_file_says(service: ManagerService) -> None:
    """What the file no longer names goes, what the API added stays."""
    await service.add_instance(instance("added"))
    with pytest.raises(ConfigError, match="not known"):
        await service.add_instance(dataclasses.replace(instance("lost"), account_id="nobody"))
    await service.load_inventory(Inventory((ALICE,), (instance("vm-0"),)))
    assert ["added", "vm-0"] == [vm.name for vm in await service.list_instances()]
    assert instance("vm-0") == (await service.list_instances(ALICE.id))[1]
    assert (ALICE, None) == (await service.account_by_api_key("key-a"), await service.account_by_api_key("key-b"))


async def test_secrets_are_not_shown(service: ManagerService) -> None:
    """Neither an account's nor an instance's text holds its secret."""
    assert "secret" not in repr(await service.list_accounts()) + repr(await service.list_instances())
    assert len(INVENTORY.accounts) == len(await service.list_accounts())

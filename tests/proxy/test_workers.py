"""Workers under a supervisor in the test's process: one table for all, and what becomes of a worker that dies."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from consoleproxy.errors import Killed
from consoleproxy.net.tls import KeyPair
from consoleproxy.proxy.workers import crew as workers
from tests.e2e.crews import IN_TIME, knocking
from tests.helpers.fake_vm import FakeVM
from tests.helpers.leaks import open_sockets
from tests.helpers.tls import made_pair, tls_town
from tests.helpers.town import VM_ID, Town, town
from tests.helpers.viewer import Viewer

pytestmark = pytest.mark.usefixtures("no_sockets_left_open")

#: A number of consoles that both of two workers get some of, but for one time in a million.
MANY = 20


def processes() -> list[psutil.Process]:
    """Return the workers that live."""
    children = psutil.Process().children()
    return [child for child in children if child.status() != psutil.STATUS_ZOMBIE and "worker" in child.cmdline()]


@pytest.fixture
async def made() -> AsyncIterator[Town]:
    """A proxy with two workers; at its end both have gone."""
    async with town(workers=2, close_timeout=1) as running:
        yield running
    assert [] == processes()


async def sessions_by_worker(made: Town) -> Counter[str]:
    """Return how many consoles each worker carries."""
    await made.proxy.crew.refresh()
    return Counter({each: int(made.metric("consoleproxy_worker_sessions", worker=each)) for each in ("0", "1")})


async def view(made: Town, vm_id: str) -> Viewer:
    """Open a console of a VM."""
    viewer = await Viewer.open(made.port, made.token(vm_id=vm_id))
    await viewer.enter()
    return viewer


def add_vms(made: Town, count: int) -> list[str]:
    """Make so many VMs known, all with the same screen, and return their ids."""
    ids = [f"vm-{number}" for number in range(count)]
    for vm_id in ids:
        made.add_vm(made.vm, vm_id=vm_id)
    return ids


async def ready(made: Town, count: int = 2) -> None:
    """Wait until so many workers are ready."""
    await made.vm.until(lambda: made.proxy.crew.parts()[1]["workers"] == f"{count} of 2 ready")


async def test_consoles_spread_over_the_workers_and_are_counted_together(made: Town) -> None:
    """Both workers carry some; the numbers of both are in one place, and add up when they have ended."""
    viewers = [await view(made, vm_id) for vm_id in add_vms(made, MANY)]
    spread = await sessions_by_worker(made)
    assert MANY == len(made.proxy) == spread.total() == made.service.active_sessions
    assert min(spread.values()) > 0
    for viewer in viewers:
        await viewer.close()
    await made.vm.until(lambda: not len(made.proxy))
    await made.proxy.crew.refresh()
    assert MANY == made.metric("consoleproxy_consoles_ended_total", reason="browser-closed", phase="relay")
    assert MANY == made.metric("consoleproxy_setup_seconds_count")
    assert 0 == made.service.active_sessions


async def test_a_newcomer_takes_over_wherever_the_viewer_is(made: Town) -> None:
    """Of a VM there is one viewer, in whichever worker each of them arrives."""
    viewer = await view(made, VM_ID)
    for _ in range(MANY):
        newcomer = await view(made, VM_ID)
        code, reason = await viewer.closed()
        assert (4460, "taken-over") == (code, reason.split()[0])
        assert 1 == len(made.proxy)
        viewer = newcomer
    await made.vm.until(lambda: made.vm.open_connections == 1)
    await made.vm.send(b"still here")
    assert b"still here" == await viewer.read(10)
    await viewer.close()


async def test_the_limit_is_exact_under_a_rush() -> None:
    """Of sixty that come at once to a proxy with room for ten, ten enter, and the others' links are not burnt."""
    async with town(workers=2, max_sessions=10, browser_handshake_timeout=5) as made:
        tokens = [made.token(vm_id=vm_id) for vm_id in add_vms(made, 60)]

        async def rush(token: str) -> tuple[str, Viewer]:
            viewer = await Viewer.open(made.port, token)
            try:
                await viewer.enter()
            except Exception:  # noqa: BLE001 - whatever it is, the close code tells
                return (await viewer.closed())[1].split()[0], viewer
            return "entered", viewer

        outcomes = await asyncio.gather(*(rush(token) for token in tokens))
        assert {"entered": 10, "full": 50} == Counter(word for word, _ in outcomes)
        assert 10 == made.service.active_sessions == len(made.proxy)
        for _, viewer in outcomes:
            await viewer.close()
        await made.vm.until(lambda: not len(made.proxy))
        turned_away = next(token for token, (word, _) in zip(tokens, outcomes, strict=True) if word == "full")
        viewer = await Viewer.open(made.port, turned_away)
        await viewer.enter()
        await viewer.close()


async def test_a_session_is_killed_wherever_it_is(made: Town) -> None:
    """``end_session`` reaches the right worker, and only the one session."""
    viewers = [await view(made, vm_id) for vm_id in add_vms(made, 6)]
    for viewer, session_id in list(zip(viewers, made.service._sessions, strict=True))[::2]:  # noqa: SLF001
        assert made.proxy.end_session(session_id, Killed("by a test"))
        assert 4461 == (await viewer.closed())[0]
    assert not made.proxy.end_session("no such session", Killed())
    assert 3 == len(made.proxy) == made.service.active_sessions
    for viewer in viewers:
        await viewer.close()


async def test_a_drained_proxy_waits_for_the_consoles_of_all_workers(made: Town) -> None:
    """New ones are refused by every worker, and the drain is over with the last console."""
    viewers = [await view(made, vm_id) for vm_id in add_vms(made, 4)]
    token = made.token()
    draining = asyncio.ensure_future(made.proxy.drain(30))  # noqa: TID251 - awaited below
    await asyncio.sleep(0.1)
    for _ in range(4):
        assert 4470 == (await (await Viewer.open(made.port, token)).closed())[0]
    for viewer in viewers:
        assert not draining.done()
        await viewer.close()
    await draining


async def test_a_lost_worker_s_sessions_end_once_and_give_their_slots_back(made: Town) -> None:
    """Each session of a killed worker is reported as lost, the others go on, and a new worker takes its place."""
    viewers = [await view(made, vm_id) for vm_id in add_vms(made, MANY)]
    spread = await sessions_by_worker(made)
    processes()[0].kill()
    await made.vm.until(lambda: made.service.active_sessions < MANY)
    reasons = Counter(record.end_reason for record in made.service._sessions.values())  # noqa: SLF001
    assert reasons["worker-lost"] in spread.values()
    assert MANY - reasons["worker-lost"] == len(made.proxy) == made.service.active_sessions == reasons[""]
    await ready(made)
    assert 2 == len(processes())
    viewers.append(await view(made, VM_ID))
    await made.proxy.crew.refresh()
    lost = made.metric("consoleproxy_consoles_ended_total", reason="worker-lost", phase="relay")
    assert (reasons["worker-lost"], 1) == (lost, made.metric("consoleproxy_worker_restarts_total"))
    for viewer in viewers:
        viewer.reset()


async def test_a_swapped_certificate_is_served_by_every_worker() -> None:
    """Each swap reaches both workers, and one that is born later; consoles go on, a broken pair changes nothing."""
    first, second = made_pair(), made_pair(domain="second.test")
    async with tls_town(first, workers=2) as made:
        viewers = []
        for vm_id in add_vms(made, 6):
            viewers.append(await Viewer.open(made.port, made.token(vm_id=vm_id), tls=made.tls))
            await viewers[-1].enter()
        current = made.proxy.certificate
        assert current is not None
        for pair in (second, first, second):
            assert current.use(pair.pair)
            assert not current.use(KeyPair(pair.pair.chain, b"broken"))
            await asyncio.sleep(0.2)
            assert {current.contexts.current.fingerprint} == {await served(made.port) for _ in range(MANY)}
        processes()[0].kill()
        await made.vm.until(lambda: made.proxy.crew.parts()[1]["workers"] == "1 of 2 ready")
        await ready(made)
        assert {current.contexts.current.fingerprint} == {await served(made.port) for _ in range(MANY)}
        alive = [viewer for viewer in viewers if viewer.websocket.close_code is None]
        await made.vm.until(lambda: made.vm.open_connections == len(made.proxy))
        assert len(alive) == len(made.proxy)
        for viewer in viewers:
            viewer.reset()


async def served(port: int) -> str:
    """Return the fingerprint of the certificate on a new connection."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return hashlib.sha256(certificate).hexdigest()


async def newcomer(made: Town, known: set[psutil.Process]) -> psutil.Process:
    """Wait for a worker that is none of those, and return it."""
    await made.vm.until(lambda: bool(set(processes()) - known))
    return (set(processes()) - known).pop()


async def test_connects_are_answered_while_a_worker_crashes_in_a_loop(made: Town) -> None:
    """The other worker accepts from the crashing one's sockets: nobody waits for a second."""
    kills = 0
    survivor, victim = processes()
    async with knocking(made.port, rate=50) as knocks:
        async with asyncio.timeout(20):
            while kills < 4:
                await asyncio.sleep(0.3)
                victim.kill()
                kills += 1
                victim = await newcomer(made, {survivor, victim})
    assert survivor in processes()
    # What a victim had accepted and not yet answered went with it.
    assert len(knocks.faults) <= kills, knocks.faults
    assert len(knocks.seconds) > 40
    assert knocks.slowest < IN_TIME
    await ready(made)


async def test_a_silent_worker_is_ended(made: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that does not answer its pings is killed and replaced."""
    monkeypatch.setattr(workers, "SILENCE", 2.5)
    victim = processes()[0]
    os.kill(victim.pid, signal.SIGSTOP)
    await made.vm.until(lambda: victim.pid not in [process.pid for process in processes()])
    await ready(made)
    await (await view(made, VM_ID)).close()


async def test_two_hundred_sessions_leave_nothing_in_any_process() -> None:
    """Sockets and open files of supervisor and workers are as before, and no slot is taken."""
    async with town(workers=2, vm=FakeVM()) as made:
        ids = add_vms(made, 10)

        async def ten() -> None:
            for viewer in [await view(made, vm_id) for vm_id in ids]:
                viewer.reset()
            await made.vm.until(lambda: not len(made.proxy) and not made.vm.open_connections)

        for _ in range(3):
            await ten()
        before = (open_sockets(), *(process.num_fds() for process in processes()))
        for _ in range(20):
            await ten()
        await asyncio.sleep(0.1)
        assert before == (open_sockets(), *(process.num_fds() for process in processes()))
        assert 0 == made.service.active_sessions


@pytest.mark.slow
async def test_a_thousand_sessions_spread_evenly() -> None:
    """Of a thousand consoles each of two workers gets half, give or take a fifth."""
    async with town(workers=2, browser_handshake_timeout=10, max_pending_per_address=500) as made:
        viewers = [await view(made, vm_id) for vm_id in add_vms(made, 1000)]
        spread = await sessions_by_worker(made)
        assert 1000 == spread.total()
        assert max(spread.values()) <= 1.2 * 500
        for viewer in viewers:
            viewer.reset()

"""Bandwidth limits: the arithmetic of a bucket, who waits for how long, and real sessions under limits."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from contextlib import AsyncExitStack

import pytest

from consoleproxy.proxy.capacity import consoles_that_fit
from consoleproxy.proxy.throttle import BURST, Bucket, Throttle
from tests.helpers.fake_vm import FakeVM
from tests.helpers.town import QUICK, town
from tests.helpers.viewer import Viewer

RATE = 100_000


class Side:
    """A side of a relay that notes when it may read again."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()

    def wait_allowance(self) -> None:
        self.woken.clear()

    def take_allowance(self) -> None:
        self.woken.set()


def test_a_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    """What is overdrawn has to be waited for; a rest fills the bucket no further than a burst."""
    bucket = Bucket(RATE, 0.0)
    assert bucket.spend(int(RATE * BURST), 0.0) == 0
    assert bucket.spend(RATE, 0.0) == pytest.approx(1.0)
    assert bucket.spend(0, 1.0) == pytest.approx(0.0)
    assert bucket.spend(int(RATE * BURST), 1000.0) == 0
    assert bucket.spend(1000, 1000.0) == pytest.approx(0.01)


def test_a_bucket_without_a_rate_has_no_bottom() -> None:
    """Zero is no limit."""
    assert Bucket(0, 0.0).spend(1 << 40, 0.0) == 0


async def test_those_who_overdraw_the_proxys_bucket_wait_in_order() -> None:
    """The proxy's bytes go round: who came first reads on first, and one timer serves all."""
    throttle = Throttle(session=0, proxy=1_000_000)
    first, second = Side(), Side()
    throttle.spend(first, throttle.allowance("to browser"), 270_000)
    throttle.spend(second, throttle.allowance("to browser"), 20_000)
    async with asyncio.timeout(5):
        await first.woken.wait()
        assert not second.woken.is_set()
        await second.woken.wait()
    throttle.close()


async def test_the_directions_do_not_share_an_allowance() -> None:
    """A stream of pictures does not hold up the keys."""
    throttle = Throttle(session=RATE, proxy=RATE)
    picture, key = Side(), Side()
    key.woken.set()
    throttle.spend(picture, throttle.allowance("to browser"), 10 * RATE)
    throttle.spend(key, throttle.allowance("to vm"), 8)
    assert key.woken.is_set()
    throttle.close()


def test_the_portion_follows_the_lowest_limit() -> None:
    """A slow session reads little at once, a fast one no more than usual."""
    assert Throttle(session=20_000, proxy=1 << 30).portion == 1024
    assert Throttle(session=0, proxy=1_000_000).portion == 50_000
    assert Throttle(session=1 << 30, proxy=0).portion == 65536
    assert not Throttle(session=0, proxy=0).is_on


@pytest.mark.parametrize("limit", ["session_bandwidth", "proxy_bandwidth"])
@pytest.mark.parametrize("direction", ["to browser", "to vm"])
async def test_a_limited_session_carries_its_rate_and_loses_nothing(limit: str, direction: str) -> None:
    """Half a second's worth beyond the burst takes at least half a second, in either direction, byte for byte."""
    size = int(RATE * (BURST + 0.5))
    data = bytes(range(256)) * (size // 256)
    async with town(
        settings=dataclasses.replace(
            QUICK,
            **{limit: RATE},  # type: ignore[arg-type]  # checked by the dataclass
        )
    ) as made:
        viewer = await made.view()
        started = time.monotonic()
        if direction == "to browser":
            await made.vm.send(data)
            assert data == await viewer.read(len(data))
        else:
            await viewer.websocket.send(data)
            await made.vm.until(lambda: len(made.vm.received) >= len(data))
            assert data == bytes(made.vm.received)
        assert time.monotonic() - started > 0.4
        await viewer.close()


async def test_two_sessions_share_what_the_proxy_may_carry() -> None:
    """Under the proxy's limit two streams advance side by side."""
    second_vm = FakeVM()
    async with town(proxy_bandwidth=RATE) as made, AsyncExitStack() as stack:
        await second_vm.start()
        stack.push_async_callback(second_vm.close)
        made.add_vm(second_vm, vm_id="second")
        one, other = await made.view(), await Viewer.open(made.port, made.token(vm_id="second"))
        await other.enter()
        ends: list[float] = []

        async def read(viewer: Viewer) -> None:
            await viewer.read(RATE // 2)
            ends.append(time.monotonic())

        started = time.monotonic()
        await asyncio.gather(made.vm.send(bytes(RATE // 2)), second_vm.send(bytes(RATE // 2)), read(one), read(other))
        first, last = sorted(ends)
        assert last - started > 0.6
        assert first - started > 0.3
        await asyncio.gather(one.close(), other.close())


def test_consoles_that_fit_leave_room_for_the_rest() -> None:
    """Two files a console, after the ones at the door and the proxy's own; never none."""
    assert consoles_that_fit(1024, max_pending=512) == 224
    assert consoles_that_fit(20000, max_pending=512) == 9712
    assert consoles_that_fit(10, max_pending=512) == 1


async def test_a_proxy_tells_how_many_consoles_fit() -> None:
    """The metrics name the slots that there are and the consoles that there are files for."""
    async with town() as made:
        assert made.metric("consoleproxy_sessions_max") == made.proxy.capacity
        assert made.metric("consoleproxy_sessions_fit") == made.proxy.fits >= made.proxy.capacity

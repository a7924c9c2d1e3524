"""The whole way to a console: ``createConsoleEndpoint`` at a real manager, and the consoles that it leads to.

``endpoint-call`` is the manager's time for each call. ``endpoint-storm`` is the proxy's time for each
console opened with what the calls returned, and ``endpoint-consume`` the manager's beside it, which consumes the
session and takes note of its beginning and end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence

from bench.figures import Measurement
from bench.generator import Load, generating
from bench.measure import cpu_ns
from bench.peers import OURS, Place
from bench.peers.ours import console_path
from bench.quantiles import quantiles_us
from bench.rounds import measurement_of, write_paths
from bench.scenarios import Scenario
from bench.site import Made, Site, api_of, site

CALL, STORM, CONSUME = "endpoint-call", "endpoint-storm", "endpoint-consume"
#: Callers, and browsers on their way in, at once.
_AT_ONCE = 32
_WARMUP = 32


def measure(place: Place, rounds: int, count: int) -> Iterator[Measurement]:
    """Make ``count`` consoles and open them, once in each round."""
    with site(place, count + _WARMUP) as programs:
        asyncio.run(make_consoles(programs, range(count, count + _WARMUP)))
        for number in range(1, rounds + 1):
            used, begin = cpu_ns(programs.manager_pid), time.monotonic()
            made = asyncio.run(make_consoles(programs, range(count)))
            seconds, used = time.monotonic() - begin, cpu_ns(programs.manager_pid) - used
            yield _of_calls(made, number, seconds, used)
            yield from _storm(programs, place, made, number)


async def make_consoles(programs: Site, vms: Sequence[int]) -> list[Made]:
    """Make a console of each VM, so many at once as there are callers."""
    waiting = iter(vms)
    made: list[Made] = []
    async with api_of(programs, _AT_ONCE) as api, asyncio.TaskGroup() as tasks:

        async def work() -> None:
            # All workers take from one iterator, and each tells at once what it has made.
            for vm in waiting:
                made.append(await api.make_console(vm))  # noqa: PERF401

        for _ in range(_AT_ONCE):
            tasks.create_task(work())
    return made


def _of_calls(made: Sequence[Made], number: int, seconds: float, used: int) -> Measurement:
    return Measurement(
        scenario=CALL,
        peer=OURS,
        round=number,
        seconds=seconds,
        cpu_ns=used,
        units=len(made),
        unit="call",
        sessions=0,
        memory_before=0,
        memory=0,
        latency_us=quantiles_us([each.seconds for each in made]),
    )


def _storm(programs: Site, place: Place, made: Sequence[Made], number: int) -> Iterator[Measurement]:
    paths = write_paths(place.folder / "paths", [console_path(each.token) for each in made])
    flags = ("--total", str(len(made)), "--warmup-total", "0", "--connecting", str(_AT_ONCE))
    load = Load("storm", flags, programs.proxy_address, place.vnc_port, 0.0, paths=paths)
    with generating(load, place.folder) as generator:
        generator.ready()
        proxy, manager = cpu_ns(programs.proxy_pid), cpu_ns(programs.manager_pid)
        generator.go()
        figures = generator.done()
        proxy, manager = cpu_ns(programs.proxy_pid) - proxy, cpu_ns(programs.manager_pid) - manager
        generator.close()
    for name, used in ((STORM, proxy), (CONSUME, manager)):
        yield measurement_of(figures, Scenario(name, "", "storm", (), 0), OURS, number, cpu=used, memory=(0, 0))

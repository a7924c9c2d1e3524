"""From ``createConsoleEndpoint`` to the first complete picture, for some people and for crowds.

Up to 50 at once, asyncvnc is the client: each calls, connects and waits for its picture, and the
time of all that is one latency. It decodes in Python and shares a core with the manager, so
at 50 it is part of what is slow. Crowds are the generator's: the calls come first, then all
connect at once; the latencies that are told are the sums of the two parts' quantiles, the parts beside them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence

from bench.endpoint import make_consoles
from bench.figures import LATENCIES, Measurement
from bench.generator import Load, generating
from bench.measure import cpu_ns
from bench.peers import OURS, Place
from bench.peers.ours import console_path
from bench.quantiles import quantiles_us
from bench.rounds import measurement_of, write_paths
from bench.scenarios import Scenario
from bench.site import Api, Site, api_of, site
from bench.vnc_client import take_picture

#: How many at once: with asyncvnc, and with the generator.
CLIENTS = (1, 50)
CROWDS = (200, 1000)
#: Pictures in a round, at the least, so that one slow one does not speak for all.
_LEAST_PICTURES = 20
_UNIT = "picture"
_PATIENCE = 120.0


def measure(place: Place, rounds: int, count: int) -> Iterator[Measurement]:
    """Measure ``count`` people at once, in each round with sessions of their own."""
    with site(place, max(count, _LEAST_PICTURES)) as programs:
        for number in range(1, rounds + 1):
            yield (_by_clients if count in CLIENTS else _by_crowd)(programs, place, count, number)


def _by_clients(programs: Site, place: Place, count: int, number: int) -> Measurement:
    load = Load("serve", (), programs.proxy_address, place.vnc_port, 0.0, is_raw=True)
    with generating(load, place.folder) as generator:
        generator.ready()
        used, begin = _used(programs), time.monotonic()
        latencies = asyncio.run(_take_pictures(programs, count))
        seconds, used = time.monotonic() - begin, _used(programs) - used
    return Measurement(
        scenario=f"firstframe-{count}",
        peer=OURS,
        round=number,
        seconds=seconds,
        cpu_ns=used,
        units=len(latencies),
        unit=_UNIT,
        sessions=0,
        memory_before=0,
        memory=0,
        latency_us=quantiles_us(latencies),
    )


async def _take_pictures(programs: Site, count: int) -> Sequence[float]:
    """Have ``count`` people look at once, again and again until there are enough pictures."""
    latencies: list[float] = []
    async with asyncio.timeout(_PATIENCE), api_of(programs, count) as api:
        while len(latencies) < _LEAST_PICTURES:
            latencies += await asyncio.gather(*(_look(api, programs, vm) for vm in range(count)))
    return latencies


async def _look(api: Api, programs: Site, vm: int) -> float:
    begin = time.perf_counter()
    made = await api.make_console(vm)
    await take_picture("127.0.0.1", programs.proxy_port, console_path(made.token))
    return time.perf_counter() - begin


def _by_crowd(programs: Site, place: Place, count: int, number: int) -> Measurement:
    used = _used(programs)
    made = asyncio.run(make_consoles(programs, range(count)))
    paths = write_paths(place.folder / "paths", [console_path(each.token) for each in made])
    flags = ("--picture", "--total", str(count), "--warmup-total", "0", "--connecting", str(count))
    load = Load("storm", flags, programs.proxy_address, place.vnc_port, 0.0, paths=paths)
    with generating(load, place.folder) as generator:
        generator.ready()
        generator.go()
        figures = generator.done()
        used = _used(programs) - used
        generator.close()
    calls = quantiles_us([each.seconds for each in made])
    figures |= {"call": calls, "connect": {name: figures[name] for name in LATENCIES}, "unit": _UNIT}
    figures |= {name: figures[name] + calls[name] for name in LATENCIES}
    scenario = Scenario(f"firstframe-{count}", "", "storm", (), 0)
    return measurement_of(figures, scenario, OURS, number, cpu=used, memory=(0, 0))


def _used(programs: Site) -> int:
    """Return the CPU time of manager and proxy together."""
    return cpu_ns(programs.manager_pid) + cpu_ns(programs.proxy_pid)

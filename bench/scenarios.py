"""Every kind of work that is measured, as one table: what the generator is told, and what is told of it.

To add one, add an entry to ``SCENARIOS``; where something must be reached, one to ``bars`` too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.peers import OURS, PEERS, Kind

KIB, MIB = 1024, 1024**2

_ALL = (OURS, "websockify", "haproxy", "aiohttp", "websockets")
_BULK = (OURS, "websockify", "haproxy", "haproxy-256k", "aiohttp", "websockets")
#: A process for each session takes too long to start, and more memory than there is, above a few hundred.
_MANY = (OURS, "haproxy", "aiohttp", "websockets")
_TLS = (OURS, "websockify", "haproxy")
_WORKERS = tuple(PEERS[Kind.WORKERS])

#: With one session alone both ends mostly wait for each other: waking a processor is what costs then, whoever relays.
_PINGPONG_SESSIONS = 10
#: Seconds after which a relay must have let go of what it needed for a burst.
_REST = 3.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of work. ``flags`` go to the generator's scenario ``load``, beside those made of the fields.

    ``seconds`` is the measured interval, 0 where the work ends by itself, ``warmup`` what comes before it;
    ``sessions`` are open at once; ``connects`` is how often a browser connects in all, where that is more.
    ``is_costed`` says that the relay's time is spent for the units that are counted, and for nothing else.
    Scenarios of one ``group`` take turns within each round, so that they can be compared with each other.
    ``kind`` says how the relays are started; it is the same in a group.
    """

    name: str
    help: str
    load: str
    peers: tuple[str, ...]
    sessions: int
    flags: tuple[str, ...] = ()
    seconds: float = 5.0
    warmup: float = 1.0
    connects: int = 0
    group: str = ""
    is_costed: bool = True
    kind: Kind = Kind.PLAIN

    @property
    def arguments(self) -> tuple[str, ...]:
        """The generator's flags."""
        times = ("--seconds", f"{self.seconds:g}", "--warmup", f"{self.warmup:g}") if self.seconds else ()
        sessions = ("--sessions", str(self.sessions)) if self.sessions else ()
        return (*sessions, *times, *self.flags)

    @property
    def paths(self) -> int:
        """How many paths the generator may need."""
        return max(self.sessions, self.connects)


def _bulk(size: int, word: str, sessions: int = 1) -> Scenario:
    name = f"bulk-{word}" + (f"-x{sessions}" if sessions > 1 else "")
    text = f"{sessions} VMs stream" if sessions > 1 else "one VM streams"
    return Scenario(name, f"{text} in writes of {word}", "bulk", _BULK, sessions, ("--size", str(size)))


def _pingpong(size: int, sessions: int = _PINGPONG_SESSIONS) -> Scenario:
    name = f"pingpong-{size}" + (f"-x{sessions}" if sessions != _PINGPONG_SESSIONS else "")
    text = f"{size} bytes to the VM and as many back, then again: {sessions} session{'s' if sessions > 1 else ''}"
    return Scenario(name, text, "pingpong", _ALL, sessions, ("--size", str(size)))


def _idle(sessions: int, peers: tuple[str, ...]) -> Scenario:
    return Scenario(
        f"idle-{sessions}",
        f"{sessions} sessions with an update of 100 bytes a second each",
        "idle",
        peers,
        sessions,
        seconds=10.0,
        warmup=2.0,
    )


def _storm(total: int, warmup: int) -> Scenario:
    flags = ("--total", str(total), "--warmup-total", str(warmup), "--connecting", "32")
    text = f"{total} browsers connect, shake hands and leave, 32 at once"
    return Scenario("storm", text, "storm", _ALL, 0, flags, seconds=0.0, warmup=0.0, connects=total + warmup)


def _fair(streams: int) -> Scenario:
    name, text = ("fair-beside", "beside one that streams") if streams else ("fair-alone", "with nothing else")
    flags = ("--streams", str(streams), "--size", str(64 * KIB), "--interval", "0.1")
    return Scenario(
        name,
        f"50 quiet sessions with ten updates a second each, {text}",
        "fair",
        (OURS, "websockify", "haproxy", "haproxy-256k"),
        50,
        flags,
        connects=50 + streams,
        group="fair",
        is_costed=not streams,
    )


def _slow(direction: str, text: str) -> Scenario:
    flags = ("--rate", "200000", "--direction", direction)
    return Scenario(f"slow-{direction}", text, "slow", _ALL, 1, flags, seconds=8.0, warmup=0.0, is_costed=False)


def _carry(sessions: int) -> Scenario:
    flags = ("--size", str(256 * KIB), "--amount", str(MIB), "--rest", f"{_REST:g}")
    text = f"{sessions} sessions get 1 MiB each in bursts of 256 KiB, then all are still for {_REST:g} s"
    return Scenario(f"carry-{sessions}", text, "carry", (OURS,), sessions, flags, seconds=0.0, warmup=0.0)


def _over_tls(scenario: Scenario, peers: tuple[str, ...] = _TLS) -> Scenario:
    return replace(scenario, name=f"tls-{scenario.name}", help=f"{scenario.help}; over TLS", peers=peers, kind=Kind.TLS)


def _by_workers(scenario: Scenario, peers: tuple[str, ...] = _WORKERS) -> Scenario:
    text = f"{scenario.help}; ours with two workers, beside one and none"
    return replace(scenario, name=f"workers-{scenario.name}", help=text, peers=peers, kind=Kind.WORKERS)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        _bulk(16 * KIB, "16k"),
        _bulk(64 * KIB, "64k"),
        _bulk(MIB, "1m"),
        _bulk(64 * KIB, "64k", sessions=8),
        Scenario("upload", "a browser sends 64 KiB messages", "upload", _ALL, 1, ("--size", str(64 * KIB))),
        _pingpong(100),
        _pingpong(1500),
        _pingpong(100, sessions=1),
        _pingpong(100, sessions=50),
        _idle(100, _ALL),
        _idle(400, _ALL),
        _idle(1000, _MANY),
        _idle(5000, (OURS, "haproxy")),
        _storm(total=1000, warmup=100),
        _fair(0),
        _fair(1),
        _slow("down", "the VM pushes, the browser reads 200 kB/s"),
        _slow("up", "the browser pushes, the VM reads 200 kB/s"),
        _carry(1000),
        _over_tls(_bulk(64 * KIB, "64k")),
        _over_tls(_pingpong(100)),
        _over_tls(_idle(400, _TLS)),
        _over_tls(_storm(total=1000, warmup=100)),
        _over_tls(_carry(1000), (OURS,)),
        _by_workers(_bulk(64 * KIB, "64k", sessions=8)),
        _by_workers(_idle(1000, _WORKERS), (OURS,)),
    )
}

#: What `make bench` runs: the bars' scenarios but for the longest, each for a shorter time.
SHORT = (
    *("bulk-64k", "pingpong-100", "idle-400", "storm", "fair-alone", "fair-beside"),
    *("tls-bulk-64k", "tls-pingpong-100"),
)
_SHORT_PEERS = {
    Kind.PLAIN: (OURS, "websockify", "haproxy", "haproxy-256k"),
    Kind.TLS: (OURS, "websockify"),
    Kind.WORKERS: _WORKERS,
}
_SHORT_SECONDS = 2.0
_SHORT_IDLE_SECONDS = 4.0


def shortened(scenario: Scenario) -> Scenario:
    """Return the scenario as the short version has it."""
    peers = tuple(name for name in scenario.peers if name in _SHORT_PEERS[scenario.kind])
    if scenario.load == "storm":
        short = _storm(total=300, warmup=40)
        return replace(short, name=scenario.name, help=scenario.help, peers=peers, kind=scenario.kind)
    seconds = _SHORT_IDLE_SECONDS if scenario.load == "idle" else _SHORT_SECONDS
    return replace(scenario, peers=peers, seconds=seconds, warmup=min(scenario.warmup, 0.5))


def grouped(scenarios: Sequence[Scenario]) -> list[list[Scenario]]:
    """Put scenarios of one group together, in the order in which the groups begin."""
    groups: dict[str, list[Scenario]] = {}
    for scenario in scenarios:
        groups.setdefault(scenario.group or scenario.name, []).append(scenario)
    return list(groups.values())

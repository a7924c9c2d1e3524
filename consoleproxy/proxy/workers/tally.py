"""The numbers of all workers in one: those that live are asked, those that have gone are remembered."""

from __future__ import annotations

import asyncio
from collections import Counter as Count
from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter

from consoleproxy.ops.metrics import ProxyMetrics
from consoleproxy.ops.samples import Family, Sample, Snapshot, Snapshots, add_up, lasting, take_snapshot
from consoleproxy.proxy.workers.hand import Hand
from consoleproxy.proxy.workers.orders import AskSamples, Samples

#: Seconds for the workers' answers.
PATIENCE = 1.0


class Tally:
    """What goes to ``registry``; ``gone`` is what this process's earlier self has counted."""

    def __init__(self, registry: CollectorRegistry, gone: Snapshot = ()) -> None:
        self._own = CollectorRegistry()
        self._gone = gone
        self._shown = Snapshots()
        registry.register(self._shown)
        self.metrics = ProxyMetrics(self._own)
        self.restarts = Counter("consoleproxy_worker_restarts", "Workers that were born again", registry=self._own)

    async def refresh(self, hands: Collection[Hand], ready: int) -> None:
        """Ask the workers and add up; who does not answer counts as before. ``ready`` is how many take consoles."""
        asked = {hand: hand.line.ask(AskSamples()) for hand in hands if hand.is_ready or hand.is_retired}
        if asked:
            await asyncio.wait(asked.values(), timeout=PATIENCE)
        for hand, answer in asked.items():
            if answer.done() and isinstance(counted := answer.result(), Samples):
                hand.snapshot = counted.families
        counts = (self._gone, take_snapshot(self._own), *(hand.snapshot for hand in hands))
        self._shown.current = (*add_up(counts), *_of_crew(hands, ready))

    def forget(self, hand: Hand) -> None:
        """Remember what a worker that has gone had counted."""
        self._gone = add_up((self._gone, lasting(hand.snapshot)))

    def leave(self) -> Snapshot:
        """Return what this process's next self has to remember."""
        return add_up((self._gone, lasting(take_snapshot(self._own))))


def _of_crew(hands: Collection[Hand], ready: int) -> Snapshot:
    sessions: Count[str] = Count()
    for hand in hands:
        if hand.process is not None:
            sessions["retired" if hand.is_retired else str(hand.slot)] += len(hand.slots)
    by_worker = (Sample("consoleproxy_worker_sessions", n, {"worker": name}) for name, n in sorted(sessions.items()))
    return (
        Family("consoleproxy_worker_sessions", "Slots taken by consoles, by worker", "gauge", tuple(by_worker)),
        Family(
            "consoleproxy_workers_ready",
            "Workers that take consoles",
            "gauge",
            (Sample("consoleproxy_workers_ready", ready),),
        ),
    )

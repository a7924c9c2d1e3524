"""Which worker accepts on which slot's sockets (no I/O)."""

from __future__ import annotations

from collections.abc import Collection


def arrange(manned: Collection[int], count: int) -> dict[int, tuple[int, ...]]:
    """Return, for each manned slot of ``count``, the slots that its worker accepts for.

    Its own, and of those that have no worker a fair share: connections in their sockets must not
    wait until a new one is there. With nobody, nobody accepts.
    """
    berths = {slot: [slot] for slot in sorted(manned)}
    for orphan in range(count):
        if orphan not in berths and berths:
            min(berths.values(), key=len).append(orphan)
    return {slot: tuple(slots) for slot, slots in berths.items()}

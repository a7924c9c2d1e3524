"""Which worker accepts on which slot's sockets."""

from __future__ import annotations

import pytest

from consoleproxy.proxy.workers.berths import arrange


@pytest.mark.parametrize(
    ("manned", "count", "berths"),
    [
        ({0, 1}, 2, {0: (0,), 1: (1,)}),
        ({1}, 2, {1: (1, 0)}),
        ({0, 3}, 4, {0: (0, 1), 3: (3, 2)}),
        ({2}, 4, {2: (2, 0, 1, 3)}),
        (set(), 3, {}),
        ({0}, 1, {0: (0,)}),
    ],
)
def test_orphans_are_shared_out(manned: set[int], count: int, berths: dict[int, tuple[int, ...]]) -> None:
    """Each worker has its own slot, and a fair share of those that have nobody."""
    assert berths == arrange(manned, count)


@pytest.mark.parametrize("count", range(1, 6))
def test_each_slot_has_exactly_one_worker(count: int) -> None:
    """However many live, as long as one does."""
    for mask in range(1, 2**count):
        manned = {slot for slot in range(count) if mask >> slot & 1}
        assert list(range(count)) == sorted(slot for slots in arrange(manned, count).values() for slot in slots)

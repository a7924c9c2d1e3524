"""PURE: which proxy carries a VM's console."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

LEAST_LOADED = "least-loaded"
FIRST_AVAILABLE = "first-available"
POLICIES = (LEAST_LOADED, FIRST_AVAILABLE)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A proxy as the choice sees it.

    ``capacity`` is the smaller of the proxy's own limit and ``consoleproxy.session.max``;
    ``reserved`` counts VMs with links that nobody has opened yet.
    """

    proxy_id: str
    capacity: int
    active: int
    reserved: int
    is_up: bool = True
    is_draining: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it takes consoles at all."""
        return self.is_up and not self.is_draining

    @property
    def room(self) -> int:
        """How many more VMs it may get; negative where returning VMs went beyond."""
        return self.capacity - self.active - self.reserved

    @property
    def load(self) -> Fraction:
        """The part of its capacity that is taken, so that small and large proxies fill up alike."""
        return Fraction(self.active + self.reserved, self.capacity)


def choose(proxies: Sequence[Candidate], sticky: str | None, policy: str) -> Candidate | None:
    """Return the proxy for a VM's next console, or None where no proxy may take it.

    ``sticky`` is the proxy of the VM's session before: it is kept regardless of its load,
    unless it is down or draining. Else ``policy`` decides among those with room:
    ``least-loaded``, or ``first-available`` in the order of ``proxies``, which must be a lasting one.
    """
    usable = [proxy for proxy in proxies if proxy.is_open]
    kept = next((proxy for proxy in usable if proxy.proxy_id == sticky), None)
    if kept is not None:
        return kept
    with_room = [proxy for proxy in usable if proxy.room > 0]
    if policy == FIRST_AVAILABLE:
        return next(iter(with_room), None)
    return min(with_room, key=lambda proxy: proxy.load, default=None)

"""The table of slots: who may come in, and who has to leave for it (no I/O, no clock)."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from consoleproxy.errors import FullError, InUseError


@dataclass(frozen=True, slots=True)
class SlotRequest:
    """A viewer that wants a slot.

    ``viewer_key`` says which viewers shut each other out: the VM, or the session itself
    where a VM takes several (CloudStack fact 1.5). ``password`` is the VM's VNC password.
    """

    viewer_key: str
    session_id: str
    vm_id: str
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """A place in the table; give it back with ``release``."""

    request: SlotRequest


class SessionTable:
    """Slots reserved and taken: at most ``most`` of them, one viewer for each key.

    A newcomer with the same key and the same VNC password replaces the viewer, as in
    CloudStack; with another password it is refused, and the viewer is left alone.
    """

    def __init__(self, *, most: int) -> None:
        self.most = most
        self._slots: set[Slot] = set()
        self._viewers: dict[str, Slot] = {}

    def __len__(self) -> int:
        """Count the slots, reserved ones included."""
        return len(self._slots)

    def reserve(self, request: SlotRequest) -> Slot:
        """Take a slot that can be given back unseen; raise ``FullError`` or ``InUseError``."""
        viewer = self._viewers.get(request.viewer_key)
        if viewer is not None and not _is_same_password(viewer.request, request):
            raise InUseError(f"vm {request.vm_id} has a viewer with another password")
        if viewer is None and len(self._slots) >= self.most:
            raise FullError(f"{self.most} sessions")
        slot = Slot(request)
        self._slots.add(slot)
        return slot

    def commit(self, slot: Slot) -> Slot | None:
        """Make the slot's owner the viewer; return the one that it replaces, if any."""
        key = slot.request.viewer_key
        displaced = self._viewers.get(key)
        self._viewers[key] = slot
        return displaced

    def restore(self, slot: Slot, *, is_viewer: bool) -> None:
        """Take in a slot that was taken in an earlier life of the table; it has its place whatever the limits say."""
        self._slots.add(slot)
        if is_viewer:
            self._viewers[slot.request.viewer_key] = slot

    def release(self, slot: Slot) -> None:
        """Give the slot back; doing so again does nothing."""
        self._slots.discard(slot)
        if self._viewers.get(slot.request.viewer_key) is slot:
            del self._viewers[slot.request.viewer_key]


def _is_same_password(one: SlotRequest, other: SlotRequest) -> bool:
    return hmac.compare_digest(one.password.encode(), other.password.encode())

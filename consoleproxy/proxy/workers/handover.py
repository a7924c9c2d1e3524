"""What a supervisor leaves to its next self when it replaces itself: open files, and what they are.

The process stays the same, so the files stay open; a list of them lies in memory that is a
file, too, and whose number stands in the environment. What the workers carry is not in it:
they are asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from consoleproxy.messages.codec import Codec
from consoleproxy.ops.samples import Family, Sample
from consoleproxy.proxy.workers.gate import GateFiles

_NAME = "SUPERVISOR_LEFT_FD"


@dataclass(frozen=True, slots=True)
class InheritedHand:
    """A worker; ``file`` is our end of its line."""

    slot: int
    pid: int
    file: int
    is_retired: bool


@dataclass(frozen=True, slots=True)
class Inherited:
    """``slots`` are the listening sockets, ``others`` files by name; ``gone`` counts for workers that have gone."""

    slots: tuple[tuple[int, ...], ...] = ()
    hands: tuple[InheritedHand, ...] = ()
    gate: GateFiles | None = None
    gone: tuple[Family, ...] = ()
    others: Mapping[str, int] = field(default_factory=dict)

    def files(self) -> Iterator[int]:
        """Yield all open files."""
        for slot in self.slots:
            yield from slot
        yield from (hand.file for hand in self.hands)
        if self.gate is not None:
            yield from (self.gate.lock, self.gate.sock)
        yield from self.others.values()


_CODEC: Codec[Inherited] = Codec({"inherited": Inherited}, (InheritedHand, GateFiles, Family, Sample))


def leave(inherited: Inherited) -> None:
    """Put it where the next self finds it; nothing but exec may follow."""
    memory = os.memfd_create("supervisor", 0)
    os.write(memory, _CODEC.to_json(inherited).encode())
    for file in (memory, *inherited.files()):
        os.set_inheritable(file, True)
    os.environ[_NAME] = str(memory)


def find() -> Inherited | None:
    """Return what an earlier self has left, once; ``None`` when there was none."""
    number = os.environ.pop(_NAME, "")
    if not number.isdecimal():
        return None
    with open(int(number), "rb") as memory:  # noqa: PTH123 - a descriptor has no path
        memory.seek(0)
        inherited = _CODEC.from_json(memory.read().decode()).message
    if inherited is not None:
        for file in inherited.files():
            os.set_inheritable(file, False)
    return inherited

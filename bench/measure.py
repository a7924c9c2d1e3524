"""CPU time and memory of a process and all that it has started, as the kernel counts them.

A relay that starts a process for each connection pays for them, so whole trees are measured.
The time of a process that has ended stands in its parent's account from the moment at
which the parent has collected it; until then the process is there, if only as a zombie. So
the sum over a tree of "own time, and that of collected children" neither loses nor repeats any.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_SECOND = 1_000_000_000
#: Places in /proc/PID/stat behind the name, which may hold spaces (proc(5)).
_PARENT, _CHILDREN_USER, _CHILDREN_SYSTEM = 1, 13, 14
#: Places in a line of /proc/stat: user, nice, system, steal (proc(5)).
_RUNNING = (0, 1, 2, 7)
#: Tries to look at a tree in which nobody is born or dies meanwhile.
_TRIES = 20


def tree(root: int) -> list[int]:
    """Return the process ``root`` and its descendants that are there, the root first; none when it is gone."""
    children: dict[int, list[int]] = {}
    for pid, fields in _all_stats():
        children.setdefault(int(fields[_PARENT]), []).append(pid)
    found = [root] if (_PROC / str(root)).exists() else []
    for pid in found:  # grows as it goes
        found += children.get(pid, [])
    return found


def cpu_ns(root: int) -> int:
    """Return the CPU time that the tree of ``root`` has used so far, in nanoseconds.

    That of collected children is known in steps of 10 ms for each parent.
    """
    total = 0
    for _ in range(_TRIES):
        before = _members(root)
        total = sum(_own_ns(pid) for pid in before) + sum(before.values())
        # A process that was collected in between would count twice, or not at all.
        if before == _members(root):
            break
    return total


def core_ns(core: int) -> int:
    """Return for how long a processor has run programs, whichever, in steps of 10 ms; waits for the host count too."""
    for line in (_PROC / "stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            # Interrupts are left out: on loopback they are mostly the relay's own packets.
            return sum(int(fields[place]) for place in _RUNNING) * _SECOND // _TICKS
    return 0


def pss_bytes(root: int) -> int:
    """Return the memory of the tree of ``root``: its own pages, and its share of the shared ones.

    What the kernel keeps for it, such as the buffers of its sockets, is not in it.
    """
    return sum(_pss(pid) for pid in tree(root))


def descriptors(root: int) -> tuple[int, int]:
    """Return how many descriptors the tree of ``root`` has open, and how many of them are sockets."""
    targets = [target for pid in tree(root) for target in _open_targets(pid)]
    return len(targets), sum(target.startswith("socket:") for target in targets)


def _members(root: int) -> dict[int, int]:
    """Return the processes of a tree, each with the time of its collected children."""
    return {pid: _collected_ns(pid) for pid in tree(root)}


def _all_stats() -> Iterator[tuple[int, list[str]]]:
    for folder in _PROC.iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                yield int(folder.name), _stat(int(folder.name))


def _stat(pid: int) -> list[str]:
    """Return the fields behind the name of the program."""
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _own_ns(pid: int) -> int:
    """Return the time of all threads of a process, also of those that have ended (clock_getcpuclockid(3))."""
    with suppress(OSError):
        return time.clock_gettime_ns(~pid << 3 | 2)
    return 0


def _collected_ns(pid: int) -> int:
    """Return the time of the children that have ended and were waited for, and of theirs."""
    with suppress(OSError):
        fields = _stat(pid)
        return (int(fields[_CHILDREN_USER]) + int(fields[_CHILDREN_SYSTEM])) * _SECOND // _TICKS
    return 0


def _pss(pid: int) -> int:
    with suppress(OSError):
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _open_targets(pid: int) -> list[str]:
    targets = []
    with suppress(OSError):
        for link in (_PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                targets.append(str(link.readlink()))
    return targets

"""The listening sockets of the slots: opened, taken back from workers, held open whatever becomes of these."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from consoleproxy.net.listening import listen, listen_together


class SlotSockets:
    """One socket for each slot and door. Closing one would drop the connections that wait in it.

    ``wanted`` are the ports of the doors, 0 for any; ``count`` is the number of slots, which can grow.
    ``is_lasting``: a process that has replaced itself keeps its ports, whatever is wanted now.
    """

    def __init__(self, wanted: Sequence[int], count: int, *, is_lasting: bool) -> None:
        self._wanted = tuple(wanted)
        self._is_lasting = is_lasting
        self._slots: list[list[socket.socket]] = [[] for _ in range(count)]
        self.ports: list[int] = []

    def __len__(self) -> int:
        """Count the slots."""
        return len(self._slots)

    def __getitem__(self, slot: int) -> list[socket.socket]:
        """Return the sockets of a slot, in the order of the doors."""
        return self._slots[slot]

    def files(self) -> tuple[tuple[int, ...], ...]:
        """Return the descriptors, slot by slot."""
        return tuple(tuple(sock.fileno() for sock in sockets) for sockets in self._slots)

    def take(self, slot: int, files: Sequence[int]) -> None:
        """Take open files as the sockets of a slot; those that are not wanted are closed."""
        sockets = [socket.socket(fileno=file) for file in files]
        ports = [sock.getsockname()[1] for sock in sockets]
        while len(self._slots) <= slot:
            self._slots.append([])
        if self._slots[slot] or not self._is_wanted(ports):
            for sock in sockets:
                sock.close()
            return
        self._slots[slot] = sockets
        self.ports = ports

    def open(self, host: str) -> None:
        """Open what is missing; raise ``ConfigError`` naming the port that is taken."""
        empty = [slot for slot, sockets in enumerate(self._slots) if not sockets]
        if self.ports:
            made = [[listen(host, port, is_shared=True) for port in self.ports] for _ in empty]
        else:
            made = listen_together(host, self._wanted, len(empty))
        for slot, sockets in zip(empty, made, strict=True):
            self._slots[slot] = sockets
            self.ports = [sock.getsockname()[1] for sock in sockets]

    def close(self) -> None:
        """Close all of them."""
        for sockets in self._slots:
            for sock in sockets:
                sock.close()

    def _is_wanted(self, ports: Sequence[int]) -> bool:
        if self._is_lasting or len(ports) != len(self._wanted):
            return self._is_lasting
        return all(want in (0, port) for want, port in zip(self._wanted, ports, strict=True))

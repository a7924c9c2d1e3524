"""The gate in the state folder: where workers find a new supervisor, and operators the one that runs.

Beside the socket lie a lock, so that there is one supervisor, and a list of its workers,
so that the next one knows whom to wait for. All are for this user alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from consoleproxy.errors import ConfigError

_SOCKET = "supervisor.sock"
_LOCK = "supervisor.lock"
_WORKERS = "workers"
_BACKLOG = 128
_CREDENTIALS = struct.Struct("3i")
#: The field of /proc/PID/stat, after the name's closing bracket, that tells when a process began.
_STARTED = 19


@dataclass(frozen=True, slots=True)
class GateFiles:
    """The open files of a gate, to be handed to the supervisor's next self."""

    lock: int
    sock: int


class Gate:
    """Listens in ``folder``. ``on_knock`` gets each connection of this user, and its process."""

    def __init__(
        self, folder: Path, on_knock: Callable[[socket.socket, int], None], *, inherited: GateFiles | None = None
    ) -> None:
        self._folder = folder
        self._on_knock = on_knock
        if inherited is None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _take_lock(folder)
            self._sock = _listen(folder)
        else:
            self._lock = inherited.lock
            self._sock = socket.socket(fileno=inherited.sock)
        self._sock.setblocking(False)

    @property
    def files(self) -> GateFiles:
        """What to hand on."""
        return GateFiles(self._lock, self._sock.fileno())

    def start(self) -> None:
        """Let in who knocks."""
        asyncio.get_running_loop().add_reader(self._sock.fileno(), self._let_in)

    def close(self) -> None:
        """Close for good."""
        if self._sock.fileno() < 0:
            return
        asyncio.get_running_loop().remove_reader(self._sock.fileno())
        self._sock.close()
        for name in (_SOCKET, _WORKERS):
            (self._folder / name).unlink(missing_ok=True)
        os.close(self._lock)

    def note_workers(self, pids: Iterable[int]) -> None:
        """Write down who works, for the next supervisor."""
        lines = [f"{pid} {started}\n" for pid in pids if (started := _started(pid))]
        draft = self._folder / f"{_WORKERS}.new"
        with contextlib.suppress(OSError):
            draft.write_text("".join(lines))
            draft.replace(self._folder / _WORKERS)

    def known_workers(self) -> list[int]:
        """Return the workers of the supervisor before, as far as they live."""
        try:
            lines = (self._folder / _WORKERS).read_text().splitlines()
        except OSError:
            return []
        return list(_alive(lines))

    def _let_in(self) -> None:
        for _ in range(_BACKLOG):
            try:
                sock, _ = self._sock.accept()
            except OSError:
                return
            pid, uid = _peer(sock)
            if uid == os.getuid():
                self._on_knock(sock, pid)
            else:
                sock.close()


def knock(folder: Path) -> socket.socket | None:
    """Return a connection to the supervisor of ``folder``; ``None`` when there is none, or it is somebody else's."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with _short(folder) as path:
            # Local, and its queue is long: this does not wait.
            sock.setblocking(False)
            sock.connect(path)
        if _peer(sock)[1] == os.getuid():
            return sock
    except OSError:
        pass
    sock.close()
    return None


def is_alive(pid: int) -> bool:
    """Say whether a process is there."""
    return bool(_started(pid))


def _take_lock(folder: Path) -> int:
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise ConfigError(f"another proxy runs with the state folder {str(folder)!r}: give each its own") from None
    return lock


def _listen(folder: Path) -> socket.socket:
    (folder / _SOCKET).unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mask = os.umask(0o177)
    try:
        with _short(folder) as path:
            sock.bind(path)
    except OSError as error:
        sock.close()
        raise ConfigError(f"cannot listen in the state folder {str(folder)!r}: {error.strerror}") from error
    finally:
        os.umask(mask)
    sock.listen(_BACKLOG)
    return sock


@contextlib.contextmanager
def _short(folder: Path) -> Iterator[str]:
    """Yield a path of the socket that fits into an address, however deep the folder lies."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{_SOCKET}"
    finally:
        os.close(descriptor)


def _peer(sock: socket.socket) -> tuple[int, int]:
    pid, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return pid, uid


def _alive(lines: Iterable[str]) -> Iterator[int]:
    for line in lines:
        pid, _, started = line.partition(" ")
        if pid.isdecimal() and started and _started(int(pid)) == started:
            yield int(pid)


def _started(pid: int) -> str:
    """Return when a process began, in the kernel's ticks; empty when it is not there, or only its remains are."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[_STARTED]

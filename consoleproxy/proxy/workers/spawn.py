"""Processes that outlive their parent's program: started, watched and reaped without asyncio's help.

A supervisor that has replaced itself by exec still has its children, but its new loop has
never heard of them; one that came back after a crash has workers that are not its children
at all. A pidfd serves all three.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence

#: The one open file that a worker is born with, beside the standard ones.
WORKER_FD = 3


def spawn(arguments: Sequence[str], descriptor: int) -> int:
    """Start this program with ``arguments`` and ``descriptor`` as ``WORKER_FD``; return its process id.

    It has a process group of its own: Ctrl-C in a terminal is for the supervisor.
    """
    return os.posix_spawn(
        sys.executable,
        (sys.executable, "-m", "consoleproxy", *arguments),
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, descriptor, WORKER_FD)],
        setpgroup=0,
        setsigmask=(),
        setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2),
    )


class Watched:
    """A process that somebody waits for; ``on_exit`` is called once, when it has ended."""

    def __init__(self, pid: int, on_exit: Callable[[], None]) -> None:
        self.pid = pid
        self._on_exit = on_exit
        self._fd = -1
        try:
            self._fd = os.pidfd_open(pid)
        except ProcessLookupError:
            asyncio.get_running_loop().call_soon(on_exit)
            return
        asyncio.get_running_loop().add_reader(self._fd, self._ended)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._fd >= 0

    def kill(self) -> None:
        """End it at once."""
        if self._fd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._fd, signal.SIGKILL)

    def close(self) -> None:
        """Wait for it no more."""
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _ended(self) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, self._fd, os.WEXITED | os.WNOHANG)
        self.close()
        self._on_exit()

"""Programs that the benchmark starts: pinned to a core, their words in a file, ended with all their children."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.errors import BenchError
from bench.measure import tree

ROOT = Path(__file__).resolve().parent.parent
#: Relays have a core, and everything that plays their surroundings has another.
RELAY_CORE = 0
PLAYERS_CORE = 1

#: Those that we had at the start.
_CORES = sorted(os.sched_getaffinity(0))
_PATIENCE = 20.0
_GOODBYE = 5.0
_PAUSE = 0.01
_LAST_WORDS = 1000
_LISTENING = "0A"
_OWN_SETTINGS = "CONSOLEPROXY_"

Process = subprocess.Popen[bytes]


@contextmanager
def running(command: Sequence[str], *, core: int, log: Path, stdin: int = subprocess.DEVNULL) -> Iterator[Process]:
    """Run a program, its standard output on a pipe and its errors in ``log``; at the end all its children go with it.

    When we are killed it is killed too. ``core`` counts from 0 and wraps round where there are fewer.
    """
    leash = [tool("setpriv"), "--pdeathsig", "KILL", "--", tool("taskset"), "--cpu-list", str(core_number(core))]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OWN_SETTINGS)}
    with log.open("ab") as errors:
        process = subprocess.Popen(  # noqa: S603  # the programs that a benchmark starts are its own choice
            [*leash, *command],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            env=environment,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


def core_number(core: int) -> int:
    """Return the number of the ``core``-th processor that we may use."""
    return _CORES[core % len(_CORES)]


def core_count() -> int:
    """Return how many processors we may use."""
    return len(_CORES)


def stay_on(core: int) -> None:
    """Run this process itself on a core from now on."""
    os.sched_setaffinity(0, {core_number(core)})


def tool(name: str) -> str:
    """Return the path of a program, or say that it is missing."""
    path = shutil.which(name)
    if path is None:
        raise BenchError(f"{name} is missing")
    return path


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait until the condition holds; raise ``BenchError`` with ``what`` should hold when it does not."""
    end = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise BenchError(f"{what}: not after {_PATIENCE:g} s")
        time.sleep(_PAUSE)


def wait_for(process: Process, condition: Callable[[], bool], log: Path) -> None:
    """Wait until a program is ready; when it ends instead, raise ``BenchError`` with the end of its log."""

    def is_ready() -> bool:
        if process.poll() is not None:
            raise BenchError(f"it ended with status {process.returncode}\n{last_words(log)}")
        return condition()

    wait_until(is_ready, f"{log.stem} is ready")


def last_words(log: Path) -> str:
    """Return the end of a log, or nothing where there is none."""
    return log.read_text(errors="replace")[-_LAST_WORDS:].strip() if log.exists() else ""


def is_listening(port: int) -> bool:
    """Say whether someone listens on this port of IPv4, without disturbing him by a connection."""
    rows = Path("/proc/self/net/tcp").read_text().splitlines()[1:]
    fields = (row.split() for row in rows)
    return any(row[3] == _LISTENING and int(row[1].rpartition(":")[2], 16) == port for row in fields)


def first_line(process: Process, log: Path) -> bytes:
    """Return the first line that a program prints; raise ``BenchError`` when it prints none."""
    if process.stdout is None:
        raise RuntimeError("the program's output goes elsewhere")
    ready, _, _ = select.select([process.stdout], [], [], _PATIENCE)
    line = process.stdout.readline() if ready else b""
    if not line:
        raise BenchError(f"it says nothing\n{last_words(log)}")
    return line


def _open_pidfd(pid: int) -> int | None:
    with suppress(ProcessLookupError):
        return os.pidfd_open(pid)
    return None


def _end(process: Process) -> None:
    """Ask a program to go, then make sure that nothing of its process group is left, and none of its descendants."""
    # Descendants may have a group of their own, and live on without their parent; a pidfd never names another.
    family = [pidfd for pid in tree(process.pid)[1:] if (pidfd := _open_pidfd(pid)) is not None]
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GOODBYE)
    for pidfd in family:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(_GOODBYE)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.close()

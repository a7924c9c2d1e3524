"""CPU time, memory and descriptors of real process trees."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench import measure

SECOND = 1_000_000_000
MIB = 1024**2
#: What starting, ending and collecting a process may cost.
SLACK = 0.15 * SECOND

#: A child works for 0.4 s of CPU time and waits; at a line it ends, at the next one it is collected.
FAMILY = """\
import os, sys, time
child = os.fork()
if child == 0:
    while time.process_time() < 0.4: pass
    print("worked", flush=True)
    sys.stdin.readline()
    os._exit(0)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
print("ended", flush=True)
sys.stdin.readline()
os.waitpid(child, 0)
print("collected", flush=True)
sys.stdin.readline()
"""


@contextmanager
def program(text: str) -> Iterator[subprocess.Popen[str]]:
    """Run a Python program with lines to and from it."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", text], stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def says(process: subprocess.Popen[str], word: str) -> None:
    """Wait for the program's next line."""
    assert process.stdout is not None
    assert f"{word}\n" == process.stdout.readline()


def tell(process: subprocess.Popen[str]) -> None:
    """Give the program a line."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_the_time_of_a_child_counts_once_whether_it_runs_has_ended_or_is_collected() -> None:
    """The tree's time neither falls nor jumps when a child that has worked ends and its parent takes note."""
    with program(FAMILY) as process:
        says(process, "worked")
        running = measure.cpu_ns(process.pid)
        assert 2 == len(measure.tree(process.pid))
        tell(process)
        says(process, "ended")
        zombie = measure.cpu_ns(process.pid)
        tell(process)
        says(process, "collected")
        collected = measure.cpu_ns(process.pid)
        assert [process.pid] == measure.tree(process.pid)
    assert 0.4 * SECOND <= running <= 0.4 * SECOND + 2 * SLACK
    assert abs(zombie - running) < SLACK
    assert abs(collected - zombie) < SLACK


def test_the_time_of_threads_that_have_ended_counts() -> None:
    """A thread's time stays with its process."""
    text = """\
import threading, time
def work():
    while time.thread_time() < 0.3: pass
thread = threading.Thread(target=work)
thread.start()
thread.join()
print("worked", flush=True)
input()
"""
    with program(text) as process:
        says(process, "worked")
        assert measure.cpu_ns(process.pid) >= 0.3 * SECOND


def test_our_own_time_is_what_the_clock_says() -> None:
    """For a process without children the figure is its CPU clock's."""
    pid = os.getpid()
    before = time.process_time_ns()
    found = measure._own_ns(pid)  # noqa: SLF001  # the tree holds what other tests have started
    assert before <= found <= time.process_time_ns()


def test_memory_is_what_a_process_has_touched() -> None:
    """A process that fills 40 MiB has 40 MiB more than one that does not."""
    text = "data = bytearray(b'x') * ({size} << 20)\nprint('filled', flush=True)\ninput()"
    sizes = []
    for size in (0, 40):
        with program(text.format(size=size)) as process:
            says(process, "filled")
            sizes.append(measure.pss_bytes(process.pid))
    assert 38 * MIB <= sizes[1] - sizes[0] <= 42 * MIB


def test_descriptors_and_sockets_are_counted() -> None:
    """A socket is a descriptor and a socket, a file only a descriptor."""
    text = """\
import socket, sys
print("before", flush=True)
input()
kept = [open("/dev/null"), socket.socket()]
print("after", flush=True)
input()
"""
    with program(text) as process:
        says(process, "before")
        before = measure.descriptors(process.pid)
        tell(process)
        says(process, "after")
        after = measure.descriptors(process.pid)
    assert (before[0] + 2, before[1] + 1) == after


def test_a_process_that_is_gone_has_nothing() -> None:
    """Nothing fails when the process has ended meanwhile."""
    with program("pass") as process:
        process.wait()
    assert ([], 0, 0, (0, 0)) == (
        measure.tree(process.pid),
        measure.cpu_ns(process.pid),
        measure.pss_bytes(process.pid),
        measure.descriptors(process.pid),
    )

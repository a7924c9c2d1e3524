"""The parent of a supervisor, for machines without systemd: it starts the supervisor again when that crashes.

It does nothing else, so that nothing else can crash it: workers and sockets are not its
business. Signals go to the supervisor.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from types import FrameType

log = logging.getLogger(__name__)

#: Says, in the environment, that this process is the supervisor and no parent of one.
CHILD = "SUPERVISOR_HAS_PARENT"
#: Seconds before the next start: doubled each time, and the first again after a long life.
SHORTEST, LONGEST, LONG_LIFE = 0.1, 10.0, 10.0
#: The exit status of a program that was started wrongly: another try would not help.
_WRONG = 2

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)


def is_child() -> bool:
    """Say whether this process was started by ``run``."""
    return CHILD in os.environ


def run() -> int:
    """Run this very command as a child, again and again until it ends by itself; return its exit status."""
    children: list[subprocess.Popen[bytes]] = []
    asked: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        asked.append(number)
        for child in children:
            child.send_signal(number)

    for number in _PASSED_ON:
        signal.signal(number, pass_on)
    delay = SHORTEST
    while True:
        began = time.monotonic()
        # A group of its own: what a terminal sends, it sends to us, and we pass it on.
        command = (sys.executable, *sys.orig_argv[1:])
        child = subprocess.Popen(command, env={**os.environ, CHILD: "1"}, process_group=0)  # noqa: S603 - ourselves
        children[:] = [child]
        status = child.wait()
        is_asked = bool({signal.SIGINT, signal.SIGTERM} & set(asked))
        if status in (0, _WRONG) or is_asked:
            return status if status >= 0 else 128 - status
        log.error("the supervisor has died: it is started again", extra={"status": status, "delay": delay})
        delay = SHORTEST if time.monotonic() - began > LONG_LIFE else min(delay * 2, LONGEST)
        time.sleep(delay)

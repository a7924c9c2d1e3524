"""The gate of a proxy without workers: only operators come, with the wish that it reads its files again."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from consoleproxy.messages import Fault
from consoleproxy.net.packets import close_files
from consoleproxy.net.tasks import Tasks
from consoleproxy.proxy.workers.gate import Gate
from consoleproxy.proxy.workers.line import Line
from consoleproxy.proxy.workers.orders import Announce, Granted, Order, Reload, Retire


class OperatorsDoor:
    """Answers ``consoleproxy reload`` in ``folder``; ``reload`` returns why not, or nothing."""

    def __init__(self, folder: Path, reload: Callable[[], Awaitable[str]]) -> None:
        self._folder = folder
        self._reload = reload
        self._gate: Gate | None = None
        self._lines: set[Line] = set()
        self._tasks = Tasks()

    def start(self) -> None:
        """Let operators in; raise ``ConfigError`` where another proxy has the folder."""
        self._gate = Gate(self._folder, self._knocked)
        self._gate.start()

    async def close(self) -> None:
        """Let nobody in any more."""
        if self._gate is not None:
            self._gate.close()
        await self._tasks.close()
        for line in self._lines:
            line.close()

    def _knocked(self, sock: socket.socket, _: int) -> None:
        def heard(message: Order, number: int | None, files: list[int]) -> None:
            close_files(files)
            if isinstance(message, Announce):
                # A worker of a supervisor that died, and whose next start was told to have none.
                line.tell(Retire())
            elif isinstance(message, Reload):
                self._tasks.spawn(self._answer(line, number), name="reload")

        line = Line(sock, on_message=heard, on_close=lambda: self._lines.discard(line))
        self._lines.add(line)
        line.start()

    async def _answer(self, line: Line, number: int | None) -> None:
        why_not = await self._reload()
        line.tell(Fault(why_not) if why_not else Granted(), number)

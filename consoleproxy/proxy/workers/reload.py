"""``consoleproxy reload``: ask the proxy of a state folder to replace itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

from consoleproxy.errors import ConfigError
from consoleproxy.messages import Fault, Refusal
from consoleproxy.proxy.workers.gate import knock
from consoleproxy.proxy.workers.line import Line
from consoleproxy.proxy.workers.orders import Reload

#: Seconds for the answer: the new program may take thirty to prove itself.
PATIENCE = 45.0


def run(folder: Path) -> str:
    """Ask, and return why not, or nothing; raise ``ConfigError`` when no proxy runs there."""
    return asyncio.run(_ask(folder))


async def _ask(folder: Path) -> str:
    sock = knock(folder)
    if sock is None:
        raise ConfigError(f"no proxy of yours runs with the state folder {str(folder)!r}")
    line = Line(sock, on_message=lambda *_: None, on_close=lambda: None)
    line.start()
    try:
        async with asyncio.timeout(PATIENCE):
            answer = await line.ask(Reload())
    except TimeoutError:
        return f"no answer after {PATIENCE:g} s"
    finally:
        line.close()
    return answer.detail if isinstance(answer, Fault | Refusal) else ""

"""The real programs that end-to-end tests talk to: VNC servers, and the demo as its users start it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it ships no types

from consoleproxy.config import ENVIRONMENT_PREFIX
from consoleproxy.demo.guest import QemuGuest
from tests.helpers import parts

ROOT = Path(__file__).resolve().parent.parent.parent
#: Seconds that a program may take to come up, or to end, on a busy machine.
PATIENCE = 60
#: The terminal's background, red, green and blue: nothing else on the screen has it.
PAPER = (16, 48, 80)


@dataclass(frozen=True, slots=True)
class XServer:
    """An X server whose screen is on VNC: ``port`` on 127.0.0.1, and ``display`` for its programs."""

    port: int
    display: str
    folder: Path

    @asynccontextmanager
    async def terminal(self) -> AsyncIterator[Path]:
        """Open a terminal in the upper left corner, and yield the file that gets each line typed into it.

        It takes a while to show up: wait for ``PAPER``.
        """
        typed = self.folder / "typed"
        typed.touch()
        look = ("-fa", "Mono", "-geometry", "60x20+0+0", "-bg", f"#{bytes(PAPER).hex()}", "-fg", "white")
        command = (parts.require("xterm"), *look, "-e", "sh", "-c", 'exec cat >"$0"', str(typed))
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "DISPLAY": self.display, "LC_ALL": "C"}
        async with running(command, env=environment):
            yield typed


@asynccontextmanager
async def xtigervnc(folder: Path, password: str = "", *flags: str) -> AsyncIterator[XServer]:
    """Run an X server on VNC that wants ``password``, or nothing; ``flags`` win over those given here.

    It inherits a listening socket and chooses its display itself, so that nothing is guessed: who
    connects before it is up waits. It greets by the time that it tells its display.
    """
    screen = ("-geometry", "640x400", "-depth", "24", "-nolisten", "tcp")
    security = ["-SecurityTypes", "None"]
    if password:
        security = ["-SecurityTypes", "VncAuth", "-PasswordFile", str(_password_file(folder, password))]
    # Any number of wrong passwords, unless the test is about them.
    start = (parts.require("Xtigervnc"), "-inetd", "-displayfd", "1", "-BlacklistThreshold", "1000000")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        environment = {**os.environ, "HOME": str(folder)}
        async with running((*start, *screen, *security, *flags), env=environment, stdin=listener.fileno()) as process:
            listener.close()
            display = (await first_line(process)).decode().strip()
            yield XServer(port, f":{display}", folder)


@asynccontextmanager
async def qemu(folder: Path, password: str = "") -> AsyncIterator[QemuGuest]:
    """Run the demo's QEMU guest. It greets on VNC and has not booted yet."""
    parts.require("qemu-system-x86_64")
    guest = QemuGuest("guest", password=password)
    try:
        await guest.start(folder)
        yield guest
    finally:
        await guest.close()


@asynccontextmanager
async def demo(*flags: str, under: Sequence[str] = ()) -> AsyncIterator[dict[str, Any]]:
    """Run ``consoleproxy demo --json`` and yield what it says; then Ctrl-C must end it, and its VMs, in peace.

    ``under`` is a command that runs it, such as a tracer.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)}
    command = (*under, sys.executable, "-m", "consoleproxy", "demo", "--json", *flags)
    async with running(command, env=environment, cwd=ROOT) as process:
        told: dict[str, Any] = json.loads(await first_line(process))
        children = psutil.Process(told["pid"]).children(recursive=True)
        try:
            yield told
        finally:
            # A tracer would not pass on the signal that ``running`` sends it.
            os.kill(told["pid"], signal.SIGINT)
        async with asyncio.timeout(PATIENCE):
            assert 0 == await process.wait()
    assert [] == [child for child in children if child.is_running()]


@asynccontextmanager
async def running(
    command: Sequence[str], *, env: Mapping[str, str], stdin: int = DEVNULL, cwd: Path | None = None
) -> AsyncIterator[Process]:
    """Run a program; at the end it is asked to go, and must. When the tests are killed it goes with them."""
    leash = (parts.require("setpriv"), "--pdeathsig", "TERM", "--")
    process = await asyncio.create_subprocess_exec(*leash, *command, env=env, cwd=cwd, stdin=stdin, stdout=PIPE)
    try:
        yield process
    finally:
        await _end(process, command[0])


async def _end(process: Process, name: str) -> None:
    """Terminate a program that still runs, and reap it."""
    try:
        if process.returncode is None:
            process.terminate()
        # Reads what is left, too: until then the pipe would stay open.
        async with asyncio.timeout(PATIENCE):
            await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise AssertionError(f"{name} does not end when it is asked to") from None


async def first_line(process: Process) -> bytes:
    """Return the first line that a program prints, once it is there."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        line = await process.stdout.readline()
    assert line, f"it ended before it was up, with status {await process.wait()}"
    return line


def _password_file(folder: Path, password: str) -> Path:
    """Write the password as Xtigervnc reads it, and return the file."""
    command = (parts.require("tigervncpasswd"), "-f")
    scrambled = subprocess.run(command, input=password.encode() + b"\n", stdout=PIPE, check=True).stdout
    path = folder / "vnc-password"
    path.touch(mode=0o600)
    path.write_bytes(scrambled)
    return path

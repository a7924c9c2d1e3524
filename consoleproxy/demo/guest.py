"""A real virtual machine for the demo, where QEMU is installed.

QEMU chooses a free VNC port itself and tells it over QMP, its control protocol, on a
socket pair that it inherits: so no port is guessed, nothing is polled, and a QEMU that
does not come up closes the socket and is noticed at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import tempfile
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path

from consoleproxy.demo.boot_sector import floppy_image
from consoleproxy.errors import ConfigError, PeerClosed
from consoleproxy.net.stream import SocketStream

#: Seconds from QEMU's start to the first word of its VNC server.
START_SECONDS = 15.0
#: Seconds that QEMU has to end when it is asked to.
STOP_SECONDS = 5.0

LOOPBACK = "127.0.0.1"

#: Names in the guest's folder, which is QEMU's working directory.
_FLOPPY, _PASSWORD, _ERRORS = "floppy.img", "password", "errors.txt"

# Emulated, so that it runs where no /dev/kvm is; small, without network, display or user's configuration.
_MACHINE = (
    "-machine pc,accel=tcg -m 32 -no-user-config -nodefaults -vga std -display none -serial none -net none -boot a "
    f"-drive file={_FLOPPY},format=raw,if=floppy,readonly=on"
).split()

#: The first free port from 5900 to 6899.
_VNC = f"{LOOPBACK}:0,to=999"
_VNC_GREETING = b"RFB "

_QMP_QUESTION = b'{"execute": "qmp_capabilities"} {"execute": "query-vnc"}\n'


def find_qemu() -> str | None:
    """Return the path of QEMU for x86-64, or None where there is none."""
    return shutil.which("qemu-system-x86_64")


class QemuGuest:
    """A guest that shows ``name`` and echoes what is typed: ``start`` it, ``close`` it always.

    Its VNC server listens on ``port`` of the loopback address and asks for ``password``
    where there is one (eight characters count).
    """

    def __init__(self, name: str, *, password: str) -> None:
        self.name = name
        self.port = 0
        self._password = password
        self._process: Process | None = None
        self._folder: Path | None = None

    @property
    def pid(self) -> int:
        """QEMU's process id; 0 while it does not run."""
        return self._process.pid if self._process and self._process.returncode is None else 0

    async def start(self, folder: Path) -> None:
        """Start QEMU and wait until its VNC server greets; its files go to a new folder in ``folder``.

        Raises ``ConfigError`` with QEMU's own words when it does not come up in time.
        """
        qemu = find_qemu()
        if qemu is None:
            raise ConfigError("qemu-system-x86_64 is missing: apt install qemu-system-x86, or do without the guest")
        self._folder = _new_folder(folder, self.name, self._password)
        try:
            async with asyncio.timeout(START_SECONDS):
                self.port = await self._launch(qemu, self._folder)
        except (TimeoutError, OSError, ValueError, PeerClosed) as error:
            said = (self._folder / _ERRORS).read_text(errors="replace").strip() or repr(error)
            raise ConfigError(f"QEMU does not start, mend it or do without the guest: {said}") from error
        finally:
            if not self.port:
                await self.close()

    async def close(self) -> None:
        """Ask QEMU to end, kill it after ``STOP_SECONDS``, and remove its files; twice does nothing."""
        self.port = 0
        process, self._process = self._process, None
        folder, self._folder = self._folder, None
        try:
            if process is not None:
                await _end(process)
        finally:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)

    async def _launch(self, qemu: str, folder: Path) -> int:
        """Start QEMU and return its VNC port, once a client would be greeted there."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        control = SocketStream(ours)
        try:
            with theirs:
                self._process = await _run(qemu, folder, theirs.fileno(), has_password=bool(self._password))
            port = await _ask_vnc_port(control)
        finally:
            control.close()
        await _await_greeting(port)
        return port


def _new_folder(parent: Path, name: str, password: str) -> Path:
    """Make the guest's folder, closed to other users, with what QEMU reads and writes."""
    folder = Path(tempfile.mkdtemp(prefix="guest-", dir=parent))
    (folder / _FLOPPY).write_bytes(floppy_image(name))
    (folder / _ERRORS).touch()
    secret = folder / _PASSWORD
    secret.touch(mode=0o600)
    secret.write_text(password)
    return folder


async def _run(qemu: str, folder: Path, control: int, *, has_password: bool) -> Process:
    """Start QEMU in a session of its own: Ctrl-C in the terminal must leave it to ``close``."""
    secret = ["-object", f"secret,id=vnc,file={_PASSWORD}"] if has_password else []
    vnc = ["-vnc", _VNC + (",password-secret=vnc" if has_password else "")]
    qmp = ["-chardev", f"socket,id=control,fd={control}", "-mon", "chardev=control,mode=control"]
    # A file, since QEMU would hang on a pipe that nobody empties.
    errors = os.open(folder / _ERRORS, os.O_WRONLY)
    try:
        return await asyncio.create_subprocess_exec(
            *_dying_with_us(),
            *(qemu, *_MACHINE, *secret, *vnc, *qmp),
            cwd=folder,
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=errors,
            pass_fds=(control,),
            start_new_session=True,
        )
    finally:
        os.close(errors)


def _dying_with_us() -> list[str]:
    """Return the command before QEMU's that lets the kernel kill it when we are killed.

    Asked of ``setpriv`` and not of ``preexec_fn``, which may deadlock beside threads.
    Without it only an orderly end takes QEMU along.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


async def _ask_vnc_port(control: SocketStream) -> int:
    """Ask over QMP (one JSON object a line) which port VNC got; raise ``ValueError`` for a refusal."""
    await control.write(_QMP_QUESTION)
    unread = b""
    while True:
        unread += await control.receive()
        *lines, unread = unread.split(b"\n")
        for line in lines:
            answer = json.loads(line)
            if "error" in answer:
                raise ValueError(f"QMP: {answer['error']}")
            if service := answer.get("return", {}).get("service"):
                return int(service)


async def _await_greeting(port: int) -> None:
    """Connect once, and raise ``ValueError`` unless a VNC server greets."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        greeting = await reader.read(len(_VNC_GREETING))
    finally:
        writer.close()
        await writer.wait_closed()
    if greeting != _VNC_GREETING:
        raise ValueError(f"port {port} greets with {greeting!r}")


async def _end(process: Process) -> None:
    """Terminate ``process``, kill it where that does not help or nobody waits, and reap it."""
    try:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        pass
    finally:
        if process.returncode is None:
            process.kill()
    await process.wait()

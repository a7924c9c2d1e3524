"""The QEMU guest: it boots, echoes, keeps its password to itself, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import asyncvnc
import pytest

from consoleproxy.demo import guest as guest_module
from consoleproxy.demo.guest import QemuGuest, find_qemu
from consoleproxy.errors import ConfigError
from consoleproxy.wire import rfb

ROOT = Path(__file__).resolve().parents[2]

#: A program that starts a guest, tells its process id, and waits to be killed.
KEEPER = """
import asyncio, pathlib, sys
from consoleproxy.demo.guest import QemuGuest

async def main():
    guest = QemuGuest("orphan", password="")
    await guest.start(pathlib.Path(sys.argv[1]))
    print(guest.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def qemu(require: Callable[[str], str]) -> str:
    """Return QEMU's path, or skip."""
    return require("qemu-system-x86_64")


def is_gone(pid: int) -> bool:
    """Say whether no such process is there, not even as a zombie."""
    return not Path(f"/proc/{pid}").exists()


async def until_booted(port: int) -> None:
    """Look until the blue bar is there.

    Each look is a new connection: this client cannot follow a screen that changes its size.
    """
    while True:
        async with asyncvnc.connect("127.0.0.1", port, password="secret12") as client:
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    picture = await client.screenshot()
                    if (400, 720) == picture.shape[:2] and picture[5, 300, 2] > picture[5, 300, :2].max():
                        return


@pytest.mark.usefixtures("qemu", "no_sockets_left_open")
async def test_a_key_reaches_the_guest_and_comes_back_as_pixels(tmp_path: Path) -> None:
    """The guest boots our sector, knows its password, and echoes what is typed after the prompt."""
    guest = QemuGuest("Demo, guest", password="secret12")
    await guest.start(tmp_path)
    try:
        async with asyncio.timeout(30):
            await until_booted(guest.port)
            async with asyncvnc.connect("127.0.0.1", guest.port, password="secret12") as client:
                before = await client.screenshot()
                client.keyboard.write("hi")
                # The second letter's cell: the caret blinks in the first one anyway.
                while (before == (after := await client.screenshot()))[96:112, 27:36].all():
                    pass
        assert (before == after)[:96].all()
    finally:
        await guest.close()


@pytest.mark.usefixtures("qemu")
async def test_a_wrong_password_is_refused(tmp_path: Path) -> None:
    """QEMU asks for the password that the guest was made with."""
    guest = QemuGuest("vm", password="secret12")
    await guest.start(tmp_path)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", guest.port)
        writer.write(rfb.VERSION_3_8 + bytes((rfb.SECURITY_VNC_AUTH,)) + bytes(16))
        told = await reader.read()
        writer.close()
        await writer.wait_closed()
    finally:
        await guest.close()
    assert rfb.VERSION_3_8 + bytes((1, rfb.SECURITY_VNC_AUTH)) == told[:14]
    assert rfb.RESULT_FAILED == int.from_bytes(told[30:34], "big")


@pytest.mark.usefixtures("qemu")
async def test_the_password_is_nobody_elses(tmp_path: Path) -> None:
    """It stands in a file for our eyes only, never on the command line."""
    guest = QemuGuest("vm", password="secret12")
    await guest.start(tmp_path)
    try:
        holders = [path for path in tmp_path.rglob("*") if path.is_file() and b"secret12" in path.read_bytes()]
        assert [0o600] == [path.stat().st_mode & 0o777 for path in holders]
        assert [0o700] == [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()]
        assert b"secret12" not in Path(f"/proc/{guest.pid}/cmdline").read_bytes()
    finally:
        await guest.close()


@pytest.mark.usefixtures("qemu", "no_sockets_left_open")
async def test_closing_leaves_nothing(tmp_path: Path) -> None:
    """No process, no file; closing twice does nothing."""
    guest = QemuGuest("vm", password="")
    await guest.start(tmp_path)
    pid = guest.pid
    assert not is_gone(pid)
    await guest.close()
    assert is_gone(pid)
    assert [] == list(tmp_path.iterdir())
    assert (0, 0) == (guest.pid, guest.port)
    await guest.close()


@pytest.mark.usefixtures("qemu")
async def test_a_guest_that_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A QEMU that hangs is ended by force after a while."""
    monkeypatch.setattr(guest_module, "STOP_SECONDS", 0.1)
    guest = QemuGuest("vm", password="")
    await guest.start(tmp_path)
    pid = guest.pid
    os.kill(pid, signal.SIGSTOP)
    await guest.close()
    assert is_gone(pid)


@pytest.mark.usefixtures("qemu")
async def test_guests_find_their_own_ports(tmp_path: Path) -> None:
    """Two started at once do not get in each other's way, nor in that of a port already taken."""
    guests = [QemuGuest(f"vm {number}", password="") for number in range(2)]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        try:
            await asyncio.gather(*(guest.start(tmp_path) for guest in guests))
            ports = {guest.port for guest in guests}
            assert 2 == len(ports)
            assert taken.getsockname()[1] not in ports
        finally:
            for guest in guests:
                await guest.close()


@pytest.mark.usefixtures("qemu")
async def test_ctrl_c_in_the_terminal_does_not_reach_the_guest(tmp_path: Path) -> None:
    """QEMU is in a session of its own: it is ended by us, in order."""
    guest = QemuGuest("vm", password="")
    await guest.start(tmp_path)
    try:
        assert guest.pid == os.getpgid(guest.pid) == os.getsid(guest.pid)
    finally:
        await guest.close()


@pytest.mark.usefixtures("qemu")
async def test_what_qemu_says_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it does not start, its own words are in the error, and nothing is left."""
    monkeypatch.setattr(guest_module, "_MACHINE", ("-machine", "toaster"))
    guest = QemuGuest("vm", password="")
    with pytest.raises(ConfigError, match="unsupported machine type"):
        await guest.start(tmp_path)
    assert 0 == guest.pid
    assert [] == list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_sockets_left_open")
async def test_a_qemu_that_never_greets_has_a_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever hangs is ended, and the error says that time was up."""
    silent = tmp_path / "qemu-system-x86_64"
    silent.write_text("#!/bin/sh\nexec sleep 600\n")
    silent.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(guest_module, "START_SECONDS", 0.2)
    guest = QemuGuest("vm", password="")
    with pytest.raises(ConfigError, match="TimeoutError"):
        await guest.start(tmp_path)
    assert 0 == guest.pid
    assert [silent] == list(tmp_path.iterdir())


async def test_without_qemu_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is started where there is nothing to start."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_qemu() is None
    with pytest.raises(ConfigError, match="apt install qemu-system-x86"):
        await QemuGuest("vm", password="").start(tmp_path)


@pytest.mark.usefixtures("qemu")
def test_the_guest_dies_with_us(tmp_path: Path) -> None:
    """A process that is killed outright takes its guest along."""
    command = [sys.executable, "-c", KEEPER, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as keeper:
        assert keeper.stdout is not None
        guest = os.pidfd_open(int(keeper.stdout.readline()))
        keeper.kill()
    try:
        ended, _, _ = select.select([guest], [], [], 20)
        assert [guest] == ended
    finally:
        os.close(guest)

"""The gate in the state folder: one supervisor, its socket for this user alone, and the list of its workers."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

from consoleproxy.errors import ConfigError
from consoleproxy.proxy.workers import handover
from consoleproxy.proxy.workers.gate import Gate, is_alive, knock
from consoleproxy.proxy.workers.handover import Inherited, InheritedHand

pytestmark = pytest.mark.usefixtures("no_sockets_left_open")


async def test_who_knocks_is_let_in(tmp_path: Path) -> None:
    """A connection of this user comes in with its process, however long the folder's path is."""
    folder = tmp_path / ("long" * 40)
    came: list[tuple[socket.socket, int]] = []
    gate = Gate(folder, lambda sock, pid: came.append((sock, pid)))
    gate.start()
    visitor = knock(folder)
    assert visitor is not None
    async with asyncio.timeout(5):
        while not came:  # noqa: ASYNC110 - the kernel is between
            await asyncio.sleep(0.001)
    ((sock, pid),) = came
    assert os.getpid() == pid
    assert 0o600 == stat.S_IMODE((folder / "supervisor.sock").stat().st_mode)
    for each in (sock, visitor):
        each.close()
    gate.close()
    assert knock(folder) is None


async def test_a_folder_has_one_supervisor(tmp_path: Path) -> None:
    """A second one is refused in words while the first lives, and welcome after."""
    first = Gate(tmp_path, lambda *_: None)
    with pytest.raises(ConfigError, match="another proxy runs"):
        Gate(tmp_path, lambda *_: None)
    first.close()
    Gate(tmp_path, lambda *_: None).close()


async def test_a_supervisor_that_died_leaves_the_list_of_its_workers(tmp_path: Path) -> None:
    """Those that live are found again; one that has gone, or whose number another process has, is not."""
    gate = Gate(tmp_path, lambda *_: None)
    assert [] == gate.known_workers()
    gate.note_workers([os.getpid(), os.getppid(), 2**22 + 1])
    assert [os.getpid(), os.getppid()] == gate.known_workers()
    lines = (tmp_path / "workers").read_text().replace(f"{os.getppid()} ", f"{os.getppid()} 9")
    (tmp_path / "workers").write_text(lines + "rubbish\n")
    assert [os.getpid()] == gate.known_workers()
    assert (True, False) == (is_alive(os.getpid()), is_alive(2**22 + 1))
    gate.close()


async def test_a_gate_is_handed_to_the_next_self(tmp_path: Path) -> None:
    """Socket and lock go on: nobody who knocks meanwhile is turned away."""
    old = Gate(tmp_path, lambda *_: None)
    came: list[socket.socket] = []
    new = Gate(tmp_path, lambda sock, _: came.append(sock), inherited=old.files)
    visitor = knock(tmp_path)
    assert visitor is not None
    new.start()
    async with asyncio.timeout(5):
        while not came:  # noqa: ASYNC110 - the kernel is between
            await asyncio.sleep(0.001)
    for sock in (visitor, *came):
        sock.close()
    old._sock.detach()  # noqa: SLF001 - the new one has it
    new.close()


def test_what_is_left_is_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next self finds the open files, which no child of its own inherits; nothing is found twice."""
    monkeypatch.setenv("NOTHING", "")
    files = [os.open(tmp_path, os.O_RDONLY) for _ in range(2)]
    left = Inherited(((files[0],),), (InheritedHand(0, 4711, files[1], is_retired=True),), others={"ops": files[0]})
    handover.leave(left)
    assert all(map(os.get_inheritable, files))
    assert left == handover.find()
    assert not any(map(os.get_inheritable, files))
    assert handover.find() is None
    for file in files:
        os.close(file)

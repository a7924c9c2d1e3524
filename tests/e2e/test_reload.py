"""``consoleproxy reload``: the program is replaced, and nobody notices; one that does not come up changes nothing."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest
from websockets.exceptions import ConnectionClosed

from consoleproxy.errors import OriginError
from consoleproxy.net.tasks import Tasks
from tests.e2e.crews import IN_TIME, Crew, crew, knocking, settled, workers_of
from tests.e2e.programs import console, once, until, view
from tests.e2e.real_parts import ROOT
from tests.helpers.viewer import Viewer
from tests.manager.api_world import ALICE

SESSIONS = 500


async def reload(made: Crew) -> tuple[int, str]:
    """Ask for a reload and return the exit status and the complaints."""
    status, _, complaints = await once("reload", "--state-folder", str(made.site.folder / "v-1-VM"))
    return status, complaints


async def replaced(made: Crew, times: int) -> None:
    """Wait until the program has come up so many times."""
    async with asyncio.timeout(30):
        while times > sum(line["message"] == "proxy ready" for line in made.proxy.lines):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_reload_under_load_cuts_and_refuses_nobody(tmp_path: Path) -> None:
    """Reloaded again and again, the process stays, sessions go on, new ones open, every connect is answered in time."""
    async with crew(tmp_path, vms=40) as made:
        supervisor = made.proxy.said["pid"]
        for _ in range(6):
            await made.view()
        first = {worker.pid for worker in workers_of(supervisor)}
        async with knocking(made.port) as knocks:
            for times in range(2, 5):
                assert (0, "") == await reload(made)
                await made.view()
                await made.view()
                await replaced(made, times)
                await made.view()
        assert [] == knocks.faults
        assert knocks.slowest < IN_TIME
        assert [] == await made.lost()
        assert all([await made.is_alive(viewer) for viewer in made.viewers])
        assert (15, 15) == (await made.active(), await made.proxy.metric("consoleproxy_sessions"))
        assert first & {worker.pid for worker in workers_of(supervisor)}
        for viewer in made.viewers:
            await viewer.close()
        async with asyncio.timeout(20):
            while len(workers_of(supervisor)) > 2:  # noqa: ASYNC110 - what other programs do, nobody tells
                await asyncio.sleep(0.1)
        assert 15 == await made.ended("browser-closed")
        assert 0 == await made.proxy.metric("consoleproxy_sessions")


async def test_a_broken_configuration_changes_nothing(tmp_path: Path) -> None:
    """The reload is refused with the reason, and the proxy goes on as it was."""
    config = tmp_path / "proxy.toml"
    config.write_text("max_pending = 100\n")
    async with crew(tmp_path, "--config", str(config)) as made:
        viewer = await made.view()
        before = {worker.pid for worker in workers_of(made.proxy.said["pid"])}
        config.write_text("max_pendings = 100\n")
        status, complaints = await reload(made)
        assert (1, True) == (status, "there is no setting 'max_pendings'" in complaints)
        assert before == {worker.pid for worker in workers_of(made.proxy.said["pid"])}
        assert await made.is_alive(viewer)
        config.write_text("max_pending = 200\n")
        assert (0, "") == await reload(made)
        await replaced(made, 2)
        assert await made.is_alive(viewer)


async def test_a_program_that_crashes_at_its_start_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the program on the disk does not start any more, the one in memory goes on."""
    shutil.copytree(
        ROOT / "consoleproxy", tmp_path / "new" / "consoleproxy", ignore=shutil.ignore_patterns("__pycache__")
    )
    (tmp_path / "new" / "novnc_static").symlink_to(ROOT / "novnc_static")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "new"))
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    async with crew(tmp_path) as made:
        viewer = await made.view()
        program = tmp_path / "new" / "consoleproxy" / "proxy" / "workers" / "worker.py"
        works = program.read_text()
        program.write_text("raise SystemExit(3)\n")
        status, complaints = await reload(made)
        assert (1, True) == (status, "its worker does not get ready" in complaints)
        assert await made.is_alive(viewer)
        program.write_text(works)
        assert (0, "") == await reload(made)
        await replaced(made, 2)
        await settled(made)
        assert await made.is_alive(viewer)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_ten_reloads_with_five_hundred_sessions_cut_nobody(tmp_path: Path) -> None:
    """Ten reloads, two of them of a program that does not come up, while all sessions carry bytes: nobody notices."""
    config = tmp_path / "proxy.toml"
    config.write_text("")
    async with crew(tmp_path, "--config", str(config), vms=SESSIONS + 40) as made:
        for _ in range(SESSIONS):
            await made.view()
        tasks, comes_up = Tasks(), 1
        async with knocking(made.port) as knocks:
            tasks.spawn(type_for_ever(made), name="traffic")
            for number in range(10):
                config.write_text("rubbish" if number in {3, 6} else "")
                status, _ = await reload(made)
                assert (1 if number in {3, 6} else 0) == status
                comes_up += status == 0
                await made.view()
                await replaced(made, comes_up)
                await made.view()
            await tasks.close()
        print(  # noqa: T201 - the figures for the note
            f"connects {len(knocks.seconds)}, slowest {knocks.slowest:.3f} s, typed {len(made.vm.received)} bytes"
        )
        assert [] == knocks.faults
        assert knocks.slowest < IN_TIME
        assert [] == await made.lost()
        assert SESSIONS + 20 == await made.active() == await made.proxy.metric("consoleproxy_sessions")
        assert await made.is_alive(made.viewers[0])


async def type_for_ever(made: Crew) -> None:
    """Press a key in every console, one after the other, again and again."""
    while True:
        for viewer in made.viewers:
            await viewer.websocket.send(b"\x04\x01\x00\x00\x00\x00\x00a")
            await asyncio.sleep(0.002)


async def test_nobody_to_reload_is_said(tmp_path: Path) -> None:
    """In a folder without a proxy, ``reload`` says so and ends with status 2."""
    status, _, complaints = await once("reload", "--state-folder", str(tmp_path))
    assert (2, True) == (status, "no proxy of yours" in complaints)
    assert not psutil.Process().children()


@pytest.mark.parametrize("workers", [0, 2])
async def test_settings_are_read_again_on_sighup(tmp_path: Path, workers: int) -> None:
    """A page's origin that is added to the file is let in after SIGHUP; a file that is broken changes nothing."""
    config = tmp_path / "proxy.toml"
    config.write_text("")
    async with crew(tmp_path, "--config", str(config), workers=workers) as made:

        async def is_let_in() -> bool:
            made_console = await console(made.manager, ALICE, made.vms[0])
            viewer = await view(made_console, origin="https://cloud.example.test")
            await viewer.closed() if (await first_word(viewer)) == b"" else viewer.reset()
            return viewer.websocket.close_code != OriginError.close_code

        assert not await is_let_in()
        config.write_text('allowed_origins = "https://cloud.example.test"\n')
        os.kill(made.proxy.said["pid"], signal.SIGHUP)
        await made.proxy.logged("settings read again")
        await until(is_let_in)
        config.write_text("allowed_origins = [1]\n")
        os.kill(made.proxy.said["pid"], signal.SIGHUP)
        async with asyncio.timeout(10):
            while "settings not taken" not in made.proxy.log.read_text():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert await is_let_in()


async def test_without_workers_a_reload_reads_the_files_again(tmp_path: Path) -> None:
    """With ``--workers 0`` the program stays, and takes settings and certificates."""
    async with crew(tmp_path, workers=0) as made:
        viewer = await made.view()
        assert (0, "") == await reload(made)
        await made.proxy.logged("settings read again")
        assert await made.is_alive(viewer)


async def first_word(viewer: Viewer) -> bytes:
    """Return the greeting of RFB, nothing where the websocket is closed instead."""
    try:
        return await viewer.read(12)
    except ConnectionClosed:
        return b""

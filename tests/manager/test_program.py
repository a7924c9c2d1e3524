"""The manager as a whole: what it opens, what it keeps, and what it refuses to start with."""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from consoleproxy.access.token import TokenKey
from consoleproxy.errors import ConfigError
from consoleproxy.manager.inventory import Inventory
from consoleproxy.manager.program import (
    MASTER_KEY,
    STORE,
    Manager,
    read_inventory_setting,
    tls_context,
    token_keys_setting,
)
from consoleproxy.messages import Command, Drain
from consoleproxy.net.listening import listen_at
from consoleproxy.ops.certs import make_certs
from tests.manager.managers import ALICE, INVENTORY, hello

ANY = "127.0.0.1:0"


@asynccontextmanager
async def running(
    folder: Path, inventory: Inventory = INVENTORY, *, listen: str = ANY, ops_listen: str = ""
) -> AsyncIterator[Manager]:
    """Run a manager whose state is in ``folder``."""
    manager = Manager(folder, "secret", listen=listen, ops_listen=ops_listen)
    try:
        await manager.start(inventory)
        yield manager
    finally:
        await manager.stop()


async def status(port: int, path: str) -> int:
    """Return what a plain GET is answered."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status


async def test_it_serves_the_api_the_link_the_admin_api_and_its_readiness(tmp_path: Path) -> None:
    """One port has all that clients and proxies use, and metrics are on the operators' port alone."""
    async with running(tmp_path, ops_listen=ANY) as manager:
        answers = {path: await status(manager.port, path) for path in ("/client/api", "/link", "/readyz", "/metrics")}
        assert {"/client/api": 401, "/link": 401, "/readyz": 200, "/metrics": 404} == answers
        assert [200, 200, 200] == [await status(manager.ops_port, path) for path in ("/metrics", "/livez", "/readyz")]
        async with (
            aiohttp.ClientSession() as session,
            session.delete(f"http://127.0.0.1:{manager.port}/admin/instances/x") as answer,
        ):
            assert 401 == answer.status


async def test_it_serves_what_else_it_is_given(tmp_path: Path) -> None:
    """More routes stand beside its own, and without an operators' port there is none."""

    async def more(_: web.Request) -> web.Response:
        return web.Response(status=204)

    manager = Manager(tmp_path, "secret", listen=ANY)
    try:
        await manager.start(Inventory(), [web.get("/more", more)])
        assert 204 == await status(manager.port, "/more")
        assert 0 == manager.ops_port
    finally:
        await manager.stop()


async def test_without_an_inventory_it_keeps_what_it_knew(tmp_path: Path) -> None:
    """A start without an inventory file leaves accounts and instances as the one before left them."""
    async with running(tmp_path) as manager:
        known = await manager.service.list_instances()
    async with running(tmp_path, Inventory()) as manager:
        assert known == await manager.service.list_instances()
        assert ALICE == await manager.service.account_by_api_key(ALICE.api_key)


async def test_it_is_ready_between_start_and_stop(tmp_path: Path) -> None:
    """Readiness is what load balancers ask: yes only while the store is open."""
    manager = Manager(tmp_path, "secret", listen=ANY)
    assert (False, {"store": "closed"}) == manager.readiness()
    await manager.start(INVENTORY)
    assert (True, {"store": "open"}) == manager.readiness()
    await manager.stop()
    assert (False, {"store": "closed"}) == manager.readiness()


async def test_its_state_is_for_its_own_eyes(tmp_path: Path) -> None:
    """The folder that it makes has mode 700, and the files in it 600."""
    folder = tmp_path / "new" / "state"
    async with running(folder):
        assert 0o40700 == folder.stat().st_mode
        assert {MASTER_KEY, STORE} <= {path.name for path in folder.iterdir()}
        assert {0o100600} == {path.stat().st_mode for path in folder.iterdir()}


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """``state_folder`` is in the error, and stopping after a failed start is fine."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"state_folder: cannot make .*file/state"):
        async with running(tmp_path / "file" / "state"):
            pass


async def test_a_store_under_another_master_key_does_not_open(tmp_path: Path) -> None:
    """Who restores the store without its key is told so at the start."""
    async with running(tmp_path):
        pass
    (tmp_path / MASTER_KEY).unlink()
    with pytest.raises(ConfigError, match="master key"):
        async with running(tmp_path):
            pass


async def test_a_port_that_is_taken_is_named_and_nothing_is_left_open(tmp_path: Path) -> None:
    """The error names the address, and the store can be opened again at once."""
    with listen_at(ANY) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match=where):
            async with running(tmp_path, listen=where):
                pass
    async with running(tmp_path) as manager:
        assert manager.readiness()[0]


async def test_commands_go_to_whoever_reaches_the_proxy(tmp_path: Path) -> None:
    """Each sender is tried until one has reached the proxy; when none has, the answer is no."""
    reached: list[tuple[str, Command]] = []

    async def send(proxy_id: str, command: Command) -> bool:
        reached.append((proxy_id, command))
        return True

    async with running(tmp_path) as manager:
        await manager.service.register(hello("one"))
        assert not await manager.service.drain("one")
        manager.send_commands_by(send)
        assert await manager.service.drain("one")
        assert [("one", Drain())] == reached


async def test_a_failed_sweep_does_not_end_the_sweeping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What goes wrong in one sweep is logged, and the next one comes all the same."""
    swept = asyncio.Event()
    sweeps = 0

    async def sweep() -> None:
        nonlocal sweeps
        sweeps += 1
        if sweeps == 1:
            raise OSError("the disk is full")
        swept.set()

    async with running(tmp_path) as manager:
        await manager.service.update_setting("consoleproxy.loadscan.interval", "500")
    async with running(tmp_path) as manager:
        monkeypatch.setattr(manager.service, "sweep", sweep)
        async with asyncio.timeout(20):
            await swept.wait()
    assert "the sweep failed; the next one tries again" in [record.message for record in caplog.records]


@pytest.mark.parametrize(("listen", "warnings"), [(ANY, 0), ("0.0.0.0:0", 1)])
async def test_only_a_plain_port_for_others_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, listen: str, warnings: int
) -> None:
    """On loopback nobody else listens; on all addresses a manager without TLS says that it has none."""
    caplog.set_level(logging.WARNING)
    async with running(tmp_path, listen=listen):
        assert warnings == len([record for record in caplog.records if "without TLS" in record.message])


def test_tls_needs_both_files_and_good_ones(tmp_path: Path) -> None:
    """No file is no TLS, one alone is an error, and what is no pair is named."""
    make_certs(tmp_path / "certs")
    chain, key = (str(tmp_path / "certs" / name) for name in ("server-chain.pem", "server-key.pem"))
    assert tls_context("", "") is None
    context = tls_context(chain, key)
    assert context is not None
    assert ssl.TLSVersion.TLSv1_2 == context.minimum_version
    for cert, private in ((chain, ""), ("", key)):
        with pytest.raises(ConfigError, match="give both"):
            tls_context(cert, private)
    for cert, private in ((chain, str(tmp_path / "certs" / "ca-key.pem")), (str(tmp_path / "none"), key)):
        with pytest.raises(ConfigError, match="cannot be used"):
            tls_context(cert, private)


def test_no_inventory_file_is_no_inventory(tmp_path: Path) -> None:
    """An empty setting reads nothing; a path reads the file."""
    assert Inventory() == read_inventory_setting("")
    path = tmp_path / "inventory.yaml"
    path.write_text("accounts: [{name: alice, api_key: k, secret_key: s}]")
    assert ["alice"] == [account.name for account in read_inventory_setting(str(path)).accounts]


async def test_given_token_keys_win_over_the_stores(tmp_path: Path) -> None:
    """With ``token_key`` set, proxies get that key and the previous one, and the store's own is kept for later."""
    async with running(tmp_path) as manager:
        stored = manager.service.token_keys()
    texts = [TokenKey.generate(secrets.token_bytes).to_json() for _ in range(2)]
    given = token_keys_setting(*texts)
    manager = Manager(tmp_path, "secret", listen=ANY, token_keys=given)
    try:
        await manager.start(Inventory())
        assert given == manager.service.token_keys()
    finally:
        await manager.stop()
    async with running(tmp_path) as manager:
        assert stored == manager.service.token_keys()


def test_token_keys_that_make_no_sense_are_refused() -> None:
    """A previous key alone, and what is no key, are errors before anything starts."""
    assert None is token_keys_setting("", "")
    for current, previous in (("", TokenKey.generate(secrets.token_bytes).to_json()), ("rubbish", "")):
        with pytest.raises(ConfigError):
            token_keys_setting(current, previous)

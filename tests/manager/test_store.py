"""The store: what was answered is there after a kill -9, and what is secret is not readable."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, insert, select, text
from sqlalchemy.exc import IntegrityError

from consoleproxy.errors import ConfigError, UnknownError, UsedError
from consoleproxy.manager import store_sessions
from consoleproxy.manager.masterkey import MasterKey
from consoleproxy.manager.model import Session
from consoleproxy.manager.store import Store
from consoleproxy.manager.store_engine import store_url
from consoleproxy.manager.store_schema import METADATA, SETTING
from tests.manager.managers import ALICE, INVENTORY, Clock, hello, link, running_manager, running_store

REPOSITORY = Path(__file__).resolve().parents[2]

#: Makes endpoints from ten tasks until it is killed, and prints the session of each answer at once.
WRITER = """
import asyncio, sys
from pathlib import Path
from tests.manager.managers import ADMIN, Clock, hello, link, running_manager

async def main():
    async with running_manager(Path(sys.argv[1]), Clock()) as service:
        await service.register(hello("p1", capacity=50))
        async def work(vm):
            while True:
                print((await link(service, vm)).session_id, flush=True)
        await asyncio.gather(*(work(f"vm-{number}") for number in range(10)))

asyncio.run(main())
"""


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.mark.parametrize("kill_after", [1, 60, 250, 499])
async def test_what_was_answered_survives_a_kill(tmp_path: Path, clock: Clock, kill_after: int) -> None:
    """Kill -9 in the middle of 500 writes: every endpoint that was answered is in the store afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process, process.stdout as lines:
        answered = [lines.readline().strip() for _ in range(kill_after)]
        process.send_signal(signal.SIGKILL)
        answered += [line.strip() for line in lines if line.endswith("\n")]
    assert -signal.SIGKILL == process.returncode
    async with running_store(tmp_path, clock) as store:
        kept = await store.read(lambda c: set(c.scalars(text("SELECT id FROM session"))))
        assert set() == set(answered) - kept
        assert ["ok"] == await store.read(lambda c: list(c.scalars(text("PRAGMA integrity_check"))))


@pytest.mark.slow
async def test_two_thousand_links_from_fifty_callers(tmp_path: Path, clock: Clock) -> None:
    """Every answered link has its own session, on three proxies that are balanced within one."""
    async with running_manager(tmp_path, clock) as service:
        for name in ("p1", "p2", "p3"):
            await service.register(hello(name, capacity=50))
        left = iter(range(2000))

        async def caller() -> list[str]:
            return [(await link(service, f"vm-{number % 10}")).session_id for number in left]

        answered = [session_id for ids in await asyncio.gather(*(caller() for _ in range(50))) for session_id in ids]
        kept = {session.id for session in await service.list_sessions()}
        assert 2000 == len(answered) == len(kept)
        assert set(answered) == kept
        assert [3, 3, 4] == sorted(proxy.reserved_sessions for proxy in await service.list_proxies())


async def test_one_statement_decides_who_consumes(tmp_path: Path, clock: Clock) -> None:
    """Even where nothing is checked before it, the second of two is told that the session was used."""

    def consume(connection: Connection) -> None:
        store_sessions.consume(connection, "s", proxy_id="p1", client_address="", now=clock.now, check=lambda _: None)

    async with running_store(tmp_path, clock) as store:
        session = Session("s", "vm-0", "account-a", "p1", clock.now, clock.now + 60)
        await store.write(lambda c: store_sessions.add_session(c, session))
        await store.write(consume)
        with pytest.raises(UsedError):
            await store.write(consume)


# --- the writer -----------------------------------------------------------------------


async def test_a_failed_write_harms_no_other(tmp_path: Path, clock: Clock) -> None:
    """Of writes that share a commit, one that fails is undone alone; a no is only told to its asker."""

    def put(name: str, error: Exception | None = None) -> asyncio.Future[None]:
        def write(connection: Connection) -> None:
            connection.execute(insert(SETTING).values(name=name, value=""))
            if error is not None:
                raise error

        return asyncio.ensure_future(store.write(write))  # noqa: TID251 - gathered below

    def say_no(_: Connection) -> None:
        raise UnknownError("no")

    async with running_store(tmp_path, clock) as store:
        tries = [put("a"), put("bad", ValueError("wrong")), store.write(say_no), put("b"), put("a")]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert [type(None), ValueError, UnknownError, type(None)] == [type(result) for result in results[:4]]
        assert "UNIQUE" in str(results[4])
        assert ["a", "b"] == await store.read(lambda c: list(c.scalars(select(SETTING.c.name).order_by("name"))))


async def test_a_caller_that_leaves_harms_no_other(tmp_path: Path, clock: Clock) -> None:
    """A cancelled call's write may be done or not; the calls beside it are answered."""
    async with running_store(tmp_path, clock) as store:
        calls = [asyncio.ensure_future(store.write_setting(f"s{n}", "x")) for n in range(5)]  # noqa: TID251 - gathered below
        await asyncio.sleep(0)
        calls[0].cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [asyncio.CancelledError, *[type(None)] * 4] == [type(result) for result in results]


async def test_closing_finishes_what_waits(tmp_path: Path, clock: Clock) -> None:
    """A write that waits when the store is closed is still done; one that comes later is an error."""
    async with running_store(tmp_path, clock) as store:
        call = asyncio.ensure_future(store.write_setting("a", "x"))  # noqa: TID251 - awaited below
        await asyncio.sleep(0)
        await store.close()
        await call
        with pytest.raises(RuntimeError, match="closed"):
            await store.write_setting("b", "x")
    async with running_store(tmp_path, clock) as store:
        assert {"a": "x"} == store.settings


async def test_a_commit_waits_for_the_disk(tmp_path: Path, clock: Clock) -> None:
    """The journal is a WAL that is synchronised at each commit: a used session stays used after a power cut."""
    async with running_store(tmp_path, clock) as store:
        modes = await store.write(
            lambda c: [c.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous")]
        )
        assert ["wal", 2] == modes


# --- the file -------------------------------------------------------------------------


async def test_no_secret_is_readable_in_the_file(tmp_path: Path, clock: Clock) -> None:
    """VNC passwords, API secrets and the token key are not in the store's bytes, and nobody else may read those."""
    async with running_manager(tmp_path, clock) as service:
        await service.register(hello("p1"))
        await link(service)
        written = b"".join(path.read_bytes() for path in tmp_path.glob("manager.sqlite*"))
        modes = {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        keys = service.token_keys().current
    assert b"alice" in written
    for secret in (b"secret12", b"secret-a", keys.key, keys.to_json().encode()):
        assert secret not in written
    assert {0o600} == modes


async def test_no_value_is_logged(tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the logs at debug level nor an error's text holds what was written or looked for."""
    caplog.set_level(logging.DEBUG)
    async with running_manager(tmp_path, clock) as service, running_store(tmp_path, clock) as store:
        await service.account_by_api_key("key-of-somebody")
        put = insert(SETTING).values(name="confidential", value="x")
        await store.write(lambda c: c.execute(put))
        with pytest.raises(IntegrityError) as caught:
            await store.write(lambda c: c.execute(put))
    for word in ("key-of-somebody", "confidential"):
        assert word not in caplog.text + str(caught.value)


async def test_a_store_opens_under_its_own_key_alone(tmp_path: Path, clock: Clock) -> None:
    """Another master key is told apart at the start; the right one still opens after that."""
    async with running_store(tmp_path, clock):
        pass
    with pytest.raises(ConfigError, match="master key is not the one"):
        await Store.open(tmp_path / "manager.sqlite", MasterKey(os.urandom(32)), clock)
    async with running_store(tmp_path, clock):
        pass


async def test_a_file_that_is_no_store_is_told(tmp_path: Path, clock: Clock) -> None:
    """Neither another file, nor a folder that is not there, nor a newer program's store is touched."""
    key = MasterKey(bytes(32))
    (tmp_path / "text").write_text("this is no database " * 100)
    with pytest.raises(ConfigError, match="file is not a database"):
        await Store.open(tmp_path / "text", key, clock)
    with pytest.raises(ConfigError, match="No such file"):
        await Store.open(tmp_path / "none" / "store", key, clock)
    await (await Store.open(tmp_path / "newer", key, clock)).close()
    connection = sqlite3.connect(tmp_path / "newer")
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = 'later'")
    connection.close()
    with pytest.raises(ConfigError, match="later"):
        await Store.open(tmp_path / "newer", key, clock)


def test_a_store_is_a_path_or_a_url_of_sqlite() -> None:
    """A path and the URL of SQLite mean the same; another database is refused without its password."""
    assert "sqlite+aiosqlite:////a/b" == str(store_url("/a/b")) == str(store_url("sqlite:////a/b"))
    for url in ("postgresql://u:hidden@h/d", "sqlite://"):
        with pytest.raises(ConfigError, match="give a path") as caught:
            store_url(url)
        assert "hidden" not in str(caught.value)


def test_the_steps_lead_to_the_schema(tmp_path: Path) -> None:
    """The migrations make exactly the tables and indexes that the program uses."""
    asyncio.run(_make_store(tmp_path))
    engine = create_engine(f"sqlite:///{tmp_path / 'manager.sqlite'}")
    with engine.connect() as connection:
        assert [] == compare_metadata(MigrationContext.configure(connection), METADATA)
        indexes = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name"
        migrated = [tuple(row) for row in connection.execute(text(indexes))]
    engine.dispose()
    direct = create_engine("sqlite://")
    with direct.begin() as connection:
        METADATA.create_all(connection)
        assert [tuple(row) for row in connection.execute(text(indexes))] == migrated
    direct.dispose()


async def _make_store(folder: Path) -> None:
    async with running_store(folder, Clock()):
        pass


async def test_starting_twice_at_once_makes_one_store(tmp_path: Path, clock: Clock) -> None:
    """Two managers that start on an empty folder at the same moment use the same schema and keys."""
    key = MasterKey.load(tmp_path / "key")
    stores = await asyncio.gather(*(Store.open(tmp_path / "store", key, clock) for _ in range(4)))
    assert 1 == len({(store.token_keys.current, store.ticket_key) for store in stores})
    for store in stores:
        await store.close()


async def test_an_inventory_of_many_is_read_back(tmp_path: Path, clock: Clock) -> None:
    """Accounts and instances come back as they were put."""
    async with running_store(tmp_path, clock) as store:
        await store.put_inventory(INVENTORY)
        assert sorted(INVENTORY.instances, key=lambda vm: vm.name) == await store.list_instances()
        assert ALICE == await store.account_by_api_key(ALICE.api_key)
        assert None is await store.account_by_api_key(str(uuid.uuid4()))

"""The store's engines: many readers, and one writer that commits in groups.

SQLite has one writer at a time, and a commit that outlives a power cut costs a wait for the
disk. So the writes that arrive during one commit are committed together by the next: nobody is
answered before his own write is on the disk, and fifty callers share one wait.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from consoleproxy.errors import ConfigError, LinkRefused, Refused
from consoleproxy.net.tasks import Tasks

T = TypeVar("T")
#: What is done to the store: a function that gets the connection and does not wait for anything else.
Operation = Callable[[Connection], T]

#: Seconds to wait for another program's write.
BUSY_TIMEOUT = 10.0
READERS = 4
#: Writes that share a commit at most, so that none waits long for the others of its group.
GROUP = 64

#: What an operation may raise without spoiling its group: see ``Writer.write``.
SAID_NO = (Refused, LinkRefused, ConfigError)

#: Seconds between two tries at a store that another program has locked.
_LOCKED_PAUSE = 0.05

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    # NORMAL would survive a kill -9, but after a power cut a session that was used could be used again.
    "PRAGMA synchronous = FULL",
)


def store_url(place: Path | str) -> URL:
    """Return the address of a store: ``place`` is a path, or a URL of SQLite."""
    if "://" not in str(place):
        return URL.create("sqlite+aiosqlite", database=str(place))
    try:
        url = make_url(str(place))
    except ArgumentError:
        raise ConfigError("the store's URL makes no sense: give a path") from None
    if url.get_backend_name() != "sqlite" or not url.database:
        raise ConfigError(f"the store is a {url.get_backend_name()} URL: give a path, or sqlite:///PATH")
    return url.set(drivername="sqlite+aiosqlite")


async def open_engines(url: URL) -> tuple[AsyncEngine, AsyncEngine]:
    """Return the engines of the readers and the writer, after bringing the schema to its newest version."""
    # At its debug level, aiosqlite logs each statement with its values, API keys and addresses among them.
    logging.getLogger("aiosqlite").setLevel(logging.INFO)
    writer = _engine(url, "BEGIN IMMEDIATE", connections=1)
    try:
        _make_file(Path(str(url.database)))
        await _bring_up(writer)
    except (OSError, CommandError, DatabaseError) as error:
        await writer.dispose()
        cause = error.orig if isinstance(error, DatabaseError) else error
        raise ConfigError(f"store {url.database!r}: {cause}") from error
    return _engine(url, "BEGIN", connections=READERS), writer


async def _bring_up(writer: AsyncEngine) -> None:
    """Migrate the store, waiting while another program that starts does the same.

    SQLite waits by itself for everything but the change to WAL: there it says "locked" at once.
    """
    deadline = asyncio.get_running_loop().time() + BUSY_TIMEOUT
    while True:
        try:
            async with writer.begin() as connection:
                await connection.run_sync(_migrate)
        except OperationalError as error:
            if "locked" not in str(error.orig) or asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(_LOCKED_PAUSE)
        else:
            return


def _engine(url: URL, begin: str, *, connections: int) -> AsyncEngine:
    engine = create_async_engine(
        url,
        connect_args={"timeout": BUSY_TIMEOUT},
        pool_size=connections,
        max_overflow=0,
        pool_timeout=60,
        # An error's text ends in a log; the values of its statement must not.
        hide_parameters=True,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _: object) -> None:  # noqa: ANN401 - the driver's, wrapped by SQLAlchemy
        # The driver's own way to begin transactions is lazy; ours is said below.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(pragma)
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _make_file(path: Path) -> None:
    """Nobody else may read who opened which console; the journal beside it gets the same mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@dataclass(slots=True)
class _Write:
    operation: Operation[Any]
    answer: asyncio.Future[Any]


class Writer:
    """Runs writes one after the other and commits them in groups. ``close`` it when nobody writes any more."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._waiting: list[_Write] = []
        self._tasks = Tasks()
        self._is_working = False
        self._is_closed = False

    async def write(self, operation: Operation[T]) -> T:
        """Return what ``operation`` returns, after its commit.

        An operation that says no (one of ``SAID_NO``) does so *before* it changes anything.
        If anything else goes wrong in a group, the group is undone and each is tried alone;
        so an operation may run twice, and changes nothing but the store.
        """
        if self._is_closed:
            raise RuntimeError("the store is closed")
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Write(operation, answer))
        if not self._is_working:
            self._is_working = True
            self._tasks.spawn(self._work(), name="store writer")
        return await answer

    async def close(self) -> None:
        """Finish what is waiting, and take no more."""
        self._is_closed = True
        await self._tasks.join(BUSY_TIMEOUT)
        await self._tasks.close()
        _give_up(self._waiting)

    async def _work(self) -> None:
        while self._waiting:
            # One turn of the loop, in which callers that were just answered may come back with their next.
            await asyncio.sleep(0)
            group, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
            await self._commit(group)
        self._is_working = False

    async def _commit(self, group: list[_Write]) -> None:
        try:
            async with self._engine.begin() as connection:
                results = await connection.run_sync(_run, group)
        except asyncio.CancelledError:
            _give_up(group)
            raise
        except Exception as error:  # noqa: BLE001 - it belongs to who asked
            if len(group) > 1:
                for write in group:
                    await self._commit([write])
            elif not group[0].answer.done():
                group[0].answer.set_exception(error)
            return
        for write, result in zip(group, results, strict=True):
            if write.answer.done():
                continue
            if isinstance(result, SAID_NO):
                write.answer.set_exception(result)
            else:
                write.answer.set_result(result)


def _give_up(writes: list[_Write]) -> None:
    for write in writes:
        write.answer.cancel()


def _run(connection: Connection, group: list[_Write]) -> list[object]:
    results = []
    for write in group:
        try:
            results.append(write.operation(connection))
        except SAID_NO as error:
            results.append(error)
    return results

"""The store: all that the manager must still know after a kill -9, in one SQLite file.

What a method that changes something has answered is on the disk. The SQL is in
``store_inventory`` and ``store_sessions``, the commits in ``store_engine``, the tables in
``store_schema`` and ``migrations``.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from consoleproxy.access.token import TokenKey, TokenKeys
from consoleproxy.manager import store_inventory, store_sessions
from consoleproxy.manager.inventory import Inventory
from consoleproxy.manager.masterkey import MasterKey
from consoleproxy.manager.model import Account, Instance, ProxyRecord, Session
from consoleproxy.manager.store_engine import Operation, Writer, open_engines, store_url
from consoleproxy.manager.store_sessions import SessionFilter

T = TypeVar("T")
Clock = Callable[[], float]


class Store:
    """The manager's store. Get it with ``open``, and ``close`` it."""

    def __init__(self, reader: AsyncEngine, writer: AsyncEngine, master_key: MasterKey, clock: Clock) -> None:
        self._reader = reader
        self._engine = writer
        self._writer = Writer(writer)
        self._key = master_key
        self._clock = clock
        self.token_keys: TokenKeys
        self.ticket_key = ""
        self.settings: dict[str, str] = {}

    @classmethod
    async def open(cls, place: Path | str, master_key: MasterKey, clock: Clock = time.time) -> Store:
        """Open a store, or make one, and bring its schema to the newest version.

        ``place`` is a path or a URL of SQLite. Raises ``ConfigError`` where the file cannot be
        used, a newer program made it, or the master key is another's.
        """
        reader, writer = await open_engines(store_url(place))
        store = cls(reader, writer, master_key, clock)
        try:
            await store.write(store._load)
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Finish the writes that wait, and let go of the file."""
        await self._writer.close()
        await self._reader.dispose()
        await self._engine.dispose()

    async def write(self, operation: Operation[T]) -> T:
        """Run ``operation`` in a transaction of the writer and return what it does, after the commit.

        It says no (``Refused``, ``LinkRefused``, ``ConfigError``) before it changes anything.
        """
        return await self._writer.write(operation)

    async def read(self, operation: Operation[T]) -> T:
        """Run ``operation``, which changes nothing, on one state of the store."""
        async with self._reader.connect() as connection:
            return await connection.run_sync(operation)

    # --- accounts, instances, settings ------------------------------------------------

    async def account_by_api_key(self, api_key: str) -> Account | None:
        """Return the account whose API key this is."""
        return await self.read(lambda c: store_inventory.account_by_api_key(c, self._key, api_key))

    async def list_accounts(self) -> list[Account]:
        """Return every account, by name."""
        return await self.read(lambda c: store_inventory.list_accounts(c, self._key))

    async def list_instances(self, account_id: str | None = None) -> list[Instance]:
        """Return the instances of one account, or of all, by name."""
        return await self.read(lambda c: store_inventory.list_instances(c, self._key, account_id))

    async def put_inventory(self, inventory: Inventory) -> None:
        """Make the accounts, and the instances that came from a file, what the inventory says."""
        await self.write(lambda c: store_inventory.put_inventory(c, self._key, inventory))

    async def put_instance(self, instance: Instance) -> None:
        """Add or replace an instance; ``ConfigError`` where its account is not known."""
        await self.write(lambda c: store_inventory.put_instance(c, self._key, instance))

    async def remove_instance(self, instance_id: str) -> bool:
        """Forget an instance; say whether there was one."""
        return await self.write(lambda c: store_inventory.remove_instance(c, instance_id))

    async def write_setting(self, name: str, value: str) -> None:
        """Keep a setting."""
        await self.write(lambda c: store_inventory.write_setting(c, name, value))
        self.settings[name] = value

    # --- proxies and sessions ---------------------------------------------------------

    async def list_proxies(self) -> list[ProxyRecord]:
        """Return every proxy with its load, the one that was known first first."""
        return await self.read(lambda c: store_sessions.list_proxies(c, self._clock()))

    async def find_session(self, session_id: str) -> Session | None:
        """Return one session."""
        return await self.read(lambda c: store_sessions.find_session(c, session_id))

    async def list_sessions(self, wanted: SessionFilter) -> list[Session]:
        """Return the sessions that pass the filter, newest first."""
        return await self.read(lambda c: store_sessions.list_sessions(c, wanted))

    async def count_sessions(self) -> dict[tuple[str, str], int]:
        """Count sessions by state (reserved, active, ended) and end reason."""
        return await self.read(lambda c: store_sessions.count_sessions(c, self._clock()))

    def find_instance(self, connection: Connection, instance_id: str) -> Instance | None:
        """Return one instance, inside an operation."""
        return store_inventory.find_instance(connection, self._key, instance_id)

    def _load(self, connection: Connection) -> None:
        def secret(name: str, make: Callable[[], str]) -> str:
            return store_inventory.secret(connection, self._key, name, make)

        current = secret("token key", lambda: TokenKey.generate(secrets.token_bytes).to_json())
        self.token_keys = TokenKeys(TokenKey.from_json(current))
        self.ticket_key = secret("ticket key", lambda: secrets.token_urlsafe(32))
        self.settings = store_inventory.read_settings(connection)

"""The store's tables. Every time is in Unix seconds; what ends in ``_sealed`` is under the master key."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, text

METADATA = MetaData()

ACCOUNT = Table(
    "account",
    METADATA,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("api_key", String, nullable=False, unique=True),
    Column("secret_key_sealed", LargeBinary, nullable=False),
    Column("is_admin", Boolean, nullable=False),
)

INSTANCE = Table(
    "instance",
    METADATA,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("display_name", String, nullable=False),
    Column("description", String, nullable=False),
    Column("account_id", String, nullable=False),
    Column("state", String, nullable=False),
    Column("host", String, nullable=False),
    Column("port", Integer, nullable=False),
    Column("password_sealed", LargeBinary, nullable=False),
    # What a file brought goes when the file no longer names it.
    Column("is_from_file", Boolean, nullable=False),
    Index("instance_account", "account_id"),
)

PROXY = Table(
    "proxy",
    METADATA,
    Column("id", String, nullable=False, unique=True),
    Column("name", String, nullable=False),
    Column("proxy_id", String, primary_key=True),
    Column("incarnation", String, nullable=False),
    Column("address", String, nullable=False),
    Column("page_port", Integer, nullable=False),
    Column("websocket_port", Integer, nullable=False),
    Column("is_tls", Boolean, nullable=False),
    Column("capacity", Integer, nullable=False),
    Column("is_up", Boolean, nullable=False),
    Column("is_draining", Boolean, nullable=False),
    Column("last_seen", Float, nullable=False),
    Column("version", String, nullable=False),
    Column("created", Float, nullable=False),
)

#: No foreign keys: a session outlives its instance, account and proxy in the lists.
SESSION = Table(
    "session",
    METADATA,
    Column("id", String, primary_key=True),
    Column("instance_id", String, nullable=False),
    Column("account_id", String, nullable=False),
    Column("proxy_id", String, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("acquired", Float),
    Column("removed", Float),
    Column("creator_address", String, nullable=False),
    Column("client_address", String, nullable=False),
    Column("end_reason", String, nullable=False),
    Index("session_created", "created"),
    Index("session_instance", "instance_id", "created"),
)
Index(
    "session_active",
    SESSION.c.proxy_id,
    sqlite_where=text("acquired IS NOT NULL AND removed IS NULL"),
)
Index(
    "session_reserved",
    SESSION.c.proxy_id,
    SESSION.c.expires,
    SESSION.c.instance_id,
    sqlite_where=text("acquired IS NULL AND removed IS NULL"),
)

SETTING = Table(
    "setting",
    METADATA,
    Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
)

SECRET = Table(
    "secret",
    METADATA,
    Column("name", String, primary_key=True),
    Column("value_sealed", LargeBinary, nullable=False),
)

"""The first schema: accounts, instances, proxies, sessions, settings and secrets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "first"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    _make_accounts_and_instances()
    _make_proxies()
    _make_sessions()
    op.create_table(
        "setting",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.String, nullable=False),
    )
    op.create_table(
        "secret",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value_sealed", sa.LargeBinary, nullable=False),
    )


def _make_accounts_and_instances() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False, unique=True),
        sa.Column("api_key", sa.String, nullable=False, unique=True),
        sa.Column("secret_key_sealed", sa.LargeBinary, nullable=False),
        sa.Column("is_admin", sa.Boolean, nullable=False),
    )
    op.create_table(
        "instance",
        sa.Column("id", sa.String, primary_key=True),
        *(sa.Column(name, sa.String, nullable=False) for name in ("name", "display_name", "description")),
        *(sa.Column(name, sa.String, nullable=False) for name in ("account_id", "state", "host")),
        sa.Column("port", sa.Integer, nullable=False),
        sa.Column("password_sealed", sa.LargeBinary, nullable=False),
        sa.Column("is_from_file", sa.Boolean, nullable=False),
    )
    op.create_index("instance_account", "instance", ["account_id"])


def _make_proxies() -> None:
    op.create_table(
        "proxy",
        sa.Column("id", sa.String, nullable=False, unique=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("proxy_id", sa.String, primary_key=True),
        *(sa.Column(name, sa.String, nullable=False) for name in ("incarnation", "address")),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("page_port", "websocket_port")),
        sa.Column("is_tls", sa.Boolean, nullable=False),
        sa.Column("capacity", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Boolean, nullable=False) for name in ("is_up", "is_draining")),
        sa.Column("last_seen", sa.Float, nullable=False),
        sa.Column("version", sa.String, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
    )


def _make_sessions() -> None:
    op.create_table(
        "session",
        sa.Column("id", sa.String, primary_key=True),
        *(sa.Column(name, sa.String, nullable=False) for name in ("instance_id", "account_id", "proxy_id")),
        *(sa.Column(name, sa.Float, nullable=False) for name in ("created", "expires")),
        *(sa.Column(name, sa.Float) for name in ("acquired", "removed")),
        *(sa.Column(name, sa.String, nullable=False) for name in ("creator_address", "client_address", "end_reason")),
    )
    op.create_index("session_created", "session", ["created"])
    op.create_index("session_instance", "session", ["instance_id", "created"])
    op.create_index(
        "session_active", "session", ["proxy_id"], sqlite_where=sa.text("acquired IS NOT NULL AND removed IS NULL")
    )
    op.create_index(
        "session_reserved",
        "session",
        ["proxy_id", "expires", "instance_id"],
        sqlite_where=sa.text("acquired IS NULL AND removed IS NULL"),
    )

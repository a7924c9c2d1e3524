"""What Alembic runs: all steps in the one transaction that the connection is already in."""

from __future__ import annotations

from alembic import context

from consoleproxy.manager.store_schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()

"""``consoleproxy manager``: the manager from start-up settings."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import cast

from consoleproxy.config import Settings
from consoleproxy.manager.program import Manager, read_inventory_setting, tls_context, token_keys_setting
from consoleproxy.ops.logs import start_logging
from consoleproxy.ops.process import Service, serve

log = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Run the manager until it is asked to stop; raise ``ConfigError`` when it cannot start."""
    start_logging(settings.log_level, settings.log_format)
    serve(lambda: _Program(settings), _announce)


class _Program:
    """The manager as a service of its own."""

    def __init__(self, settings: Settings) -> None:
        self._inventory = read_inventory_setting(settings.inventory)
        tls = tls_context(settings.manager_cert, settings.manager_key)
        self.address = ("https" if tls else "http") + f"://{settings.manager_listen.rpartition(':')[0]}"
        self.manager = Manager(
            Path(settings.state_folder),
            settings.link_secret,
            listen=settings.manager_listen,
            ops_listen=settings.ops_listen,
            tls=tls,
            token_keys=token_keys_setting(settings.token_key, settings.token_key_previous),
        )

    async def start(self) -> None:
        await self.manager.start(self._inventory)

    async def drain(self) -> None:
        """Do nothing: what was answered is in the store, and consoles do not run here."""

    async def stop(self) -> None:
        await self.manager.stop()


async def _announce(service: Service) -> None:
    program = cast("_Program", service)
    manager = program.manager
    instances, accounts = await manager.service.list_instances(), await manager.service.list_accounts()
    fields = {"api": f"{program.address}:{manager.port}/client/api", "ops_port": manager.ops_port}
    log.info("manager ready", extra={**fields, "instances": len(instances), "accounts": len(accounts)})

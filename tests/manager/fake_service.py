"""A manager in memory: what the API needs of the real one, and nothing behind it."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from consoleproxy.errors import ConfigError
from consoleproxy.manager.endpoint import ProxyAddress, endpoint
from consoleproxy.manager.model import Account, EndpointResult, Instance, ProxyRecord, Session
from consoleproxy.manager.settings import NEEDS_EXTRA, SETTINGS, LiveSettings, SettingValue


class FakeService:
    """The methods that the API calls; a session's token is its id."""

    def __init__(self, accounts: Sequence[Account], instances: Sequence[Instance], clock: Callable[[], float]) -> None:
        self.accounts = list(accounts)
        self.instances = {instance.id: instance for instance in instances}
        self.sessions: dict[str, Session] = {}
        self.proxy = ProxyRecord(
            id=str(uuid.uuid4()),
            name="v-1-VM",
            proxy_id="proxy-1",
            incarnation="first",
            address="192.0.2.80",
            page_port=80,
            websocket_port=8080,
            is_tls=False,
            capacity=10,
            is_up=True,
            is_draining=False,
            last_seen=clock(),
            version="1.0",
            active_sessions=0,
            reserved_sessions=0,
        )
        self.killed: list[str] = []
        self._clock = clock
        self._settings = LiveSettings()

    async def account_by_api_key(self, key: str) -> Account | None:
        return next((account for account in self.accounts if account.api_key == key), None)

    async def create_endpoint(
        self, caller: Account, instance_id: str, *, extra: str = "", creator_address: str = ""
    ) -> EndpointResult:
        if self._settings.text(NEEDS_EXTRA) == "true" and not extra:
            return EndpointResult(success=False, details="The parameter token is needed.")
        instance = self.instances.get(instance_id)
        if instance is None or not (caller.is_admin or instance.account_id == caller.id):
            return EndpointResult(success=False, details="There is no such virtual machine.")
        if instance.state != "Running":
            return EndpointResult(success=False, details=f"The virtual machine is {instance.state}.")
        now = self._clock()
        session = Session(
            str(uuid.uuid4()), instance_id, caller.id, "proxy-1", now, now + 120, creator_address=creator_address
        )
        self.sessions[session.id] = session
        return EndpointResult(
            success=True, endpoint=endpoint(ProxyAddress(self.proxy.address, 80, 8080), session.id, extra)
        )

    async def list_accounts(self) -> list[Account]:
        return self.accounts

    async def list_instances(self, account_id: str | None = None) -> list[Instance]:
        return [found for found in self.instances.values() if account_id in {None, found.account_id}]

    async def list_sessions(
        self,
        *,
        session_id: str | None = None,
        start: float | None = None,
        end: float | None = None,
        is_active: bool | None = None,
        is_acquired: bool | None = None,
        **equal: str | None,
    ) -> list[Session]:
        wanted: dict[str, Any] = {**equal, "id": session_id, "is_active": is_active}
        found = [
            session
            for session in self.sessions.values()
            if all(value is None or getattr(session, name) == value for name, value in wanted.items())
            and (start is None or session.created >= start)
            and (end is None or session.created <= end)
            and (is_acquired is None or is_acquired == (session.acquired is not None))
        ]
        return sorted(found, key=lambda session: session.created, reverse=True)

    async def list_proxies(self) -> list[ProxyRecord]:
        active = sum(session.is_active for session in self.sessions.values())
        return [dataclasses.replace(self.proxy, active_sessions=active)]

    def list_settings(self) -> list[SettingValue]:
        return [self._settings.shown(name) for name in SETTINGS]

    async def update_setting(self, name: str, value: str) -> SettingValue:
        return self._settings.change(name, value)

    async def add_instance(self, instance: Instance) -> None:
        if instance.account_id not in {account.id for account in self.accounts}:
            raise ConfigError("the account is not known")
        self.instances[instance.id] = instance

    async def remove_instance(self, instance_id: str) -> bool:
        return self.instances.pop(instance_id, None) is not None

    async def kill(self, session_id: str) -> bool:
        self.killed.append(session_id)
        return session_id in self.sessions and self.sessions[session_id].is_active

    async def drain(self, proxy_id: str) -> bool:
        self.proxy = dataclasses.replace(self.proxy, is_draining=True)
        return proxy_id == self.proxy.proxy_id

    def change(self, session_id: str, **values: Any) -> None:  # noqa: ANN401  # whatever a session holds
        """Change a session behind the API's back."""
        self.sessions[session_id] = dataclasses.replace(self.sessions[session_id], **values)

"""The manager inside the same process: calls instead of messages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from consoleproxy.errors import ManagerAwayError
from consoleproxy.links.managed import Connection, LinkTimes, ManagedLink
from consoleproxy.messages import (
    AccessAnswer,
    AccessRequest,
    Command,
    LoadReport,
    ProxyDescription,
    SettingsPush,
    Welcome,
)

log = logging.getLogger(__name__)

#: Seconds for the manager to note that the link has ended.
_FAREWELL = 5.0


class ManagerAuthority(Protocol):
    """What the injected manager must offer; ``manager`` has one, tests have fakes."""

    async def register(self, description: ProxyDescription) -> Welcome:
        """Take the proxy, or raise ``LinkRefused``."""

    async def authorise(self, proxy_id: str, request: AccessRequest) -> AccessAnswer:
        """Consume the one-time session atomically, or raise a ``Refused`` error."""

    async def report(self, proxy_id: str, incarnation: str, report: LoadReport) -> None:
        """Note a report, of which anything may have come before."""

    async def link_lost(self, proxy_id: str, incarnation: str) -> None:
        """Note that the proxy's link has ended."""


class DirectLink(ManagedLink):
    """A ``ControlLink`` to ``authority``, which is given, never imported.

    Let the manager send its commands to ``command``, and its settings to ``push_settings``.
    """

    def __init__(self, authority: ManagerAuthority, *, times: LinkTimes | None = None) -> None:
        super().__init__(times=times or LinkTimes())
        self._authority = authority
        self._calls: _Calls | None = None

    async def command(self, proxy_id: str, command: Command) -> bool:
        """Hand a command to the proxy; false when it is another's, the link is down, or there was nothing to do."""
        if self._calls is None or not self.is_up or self._calls.proxy_id != proxy_id:
            return False
        return self._calls.obey(command)

    async def push_settings(self, settings: Mapping[str, str]) -> None:
        """Tell the proxy settings that have changed."""
        if self._calls is not None and self.is_up:
            self._calls.obey(SettingsPush(settings))

    async def _connect(self) -> Connection:
        self._calls = _Calls(self._authority)
        return self._calls


class _Calls:
    """A "connection": from one ``hello`` to the first call that fails."""

    def __init__(self, authority: ManagerAuthority) -> None:
        self._authority = authority
        self._is_closed = asyncio.Event()
        self._is_known = False
        self.proxy_id = ""
        self._incarnation = ""
        self.obey: Callable[[Command], bool] = lambda _: False

    async def hello(self, description: ProxyDescription) -> Welcome:
        self.proxy_id, self._incarnation = description.proxy_id, description.incarnation
        welcome = await self._authority.register(description)
        self._is_known = True
        return welcome

    async def serve(self, obey: Callable[[Command], bool]) -> None:
        self.obey = obey
        await self._is_closed.wait()

    async def authorise(self, request: AccessRequest) -> AccessAnswer:
        if self._is_closed.is_set():
            raise ManagerAwayError("the link to the manager was lost")
        return await self._authority.authorise(self.proxy_id, request)

    async def report(self, report: LoadReport) -> None:
        await self._authority.report(self.proxy_id, self._incarnation, report)

    async def close(self) -> None:
        if self._is_closed.is_set():
            return
        self._is_closed.set()
        if not self._is_known:
            return
        try:
            async with asyncio.timeout(_FAREWELL):
                await self._authority.link_lost(self.proxy_id, self._incarnation)
        except Exception as error:  # noqa: BLE001 - a connection that ends can do nothing about it
            log.warning("the manager did not note the end of the link", extra={"detail": repr(error)})

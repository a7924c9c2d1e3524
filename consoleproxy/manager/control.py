"""The manager's service: who may open which console, on which proxy, once.

The API asks it for endpoints and lists, the control link brings what the proxies say. It
keeps nothing in memory that matters: what it has answered is in the store.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from sqlalchemy import Connection

from consoleproxy.access.token import TokenKeys
from consoleproxy.errors import ConfigError, LinkRefused, Refused
from consoleproxy.manager import store_sessions
from consoleproxy.manager.consoles import EXTRA_NEEDED, Consoles, No, Reserved
from consoleproxy.manager.endpoint import console_ports
from consoleproxy.manager.inventory import Inventory
from consoleproxy.manager.model import Account, EndpointResult, Instance, ProxyRecord, Session
from consoleproxy.manager.settings import SETTINGS, LiveSettings, SettingValue, check
from consoleproxy.manager.store import Store
from consoleproxy.manager.store_sessions import SessionFilter
from consoleproxy.messages import (
    PROTOCOL,
    AccessAnswer,
    AccessRequest,
    Command,
    Drain,
    Kill,
    LoadReport,
    ProxyDescription,
    Welcome,
)

log = logging.getLogger(__name__)

#: Reports that a proxy may miss before it is down.
MISSED_REPORTS = 3

Clock = Callable[[], float]
SendCommand = Callable[[str, Command], Awaitable[bool]]
OnSettings = Callable[[Mapping[str, str]], Awaitable[None]]


class ManagerService:
    """The control plane of many proxies, over ``store``.

    Call ``sweep`` at each interval. The link's server end sets ``commands``, which delivers a
    command to a proxy and says whether it was carried out, and appends to ``on_settings_changed``.
    ``assignments``, ``refusals`` (by reason) and ``reports`` count since the start, for metrics.
    """

    def __init__(
        self, store: Store, settings: LiveSettings, clock: Clock = time.time, *, has_certificate: bool = False
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._has_certificate = has_certificate
        self._consoles = Consoles(store, settings)
        self._started = clock()
        self.commands: SendCommand | None = None
        self.on_settings_changed: list[OnSettings] = []
        self.assignments: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.reports = 0
        for name, text in store.settings.items():
            self._take_stored(name, text)

    @property
    def interval(self) -> float:
        """The time between two reports of a proxy, in seconds."""
        return self._settings.interval

    # --- endpoints --------------------------------------------------------------------

    async def create_endpoint(
        self, caller: Account, instance_id: str, *, extra: str = "", creator_address: str = ""
    ) -> EndpointResult:
        """Make a one-time console on the proxy that suits, or tell in ``details`` why not (CloudStack fact 3.2).

        ``extra`` is the extra token that the viewer will have to know, ``creator_address`` where the caller is.
        """
        # A blank one is none: the proxy takes it for none, and refuses who brings it.
        extra = extra if extra.strip() else ""
        now = self._clock()
        session_id = str(uuid.uuid4())

        def reserve(connection: Connection) -> Reserved | No:
            return self._consoles.reserve(
                connection, caller, instance_id, session_id=session_id, creator_address=creator_address, now=now
            )

        is_bare = self._settings.needs_extra and not extra
        reserved = EXTRA_NEEDED if is_bare else await self._store.write(reserve)
        if isinstance(reserved, No):
            self.refusals[reserved.reason] += 1
            return EndpointResult(success=False, details=reserved.sentence)
        self.assignments[reserved.why] += 1
        return EndpointResult(success=True, endpoint=self._consoles.endpoint(reserved, extra))

    # --- what proxies ask and tell ----------------------------------------------------

    async def authorise(self, proxy_id: str, request: AccessRequest) -> AccessAnswer:
        """Consume the session for a viewer at ``proxy_id``, and tell where its VM is now.

        Raises ``UnknownError``, ``ExpiredError``, ``UsedError`` or ``WrongProxyError``; of these,
        none consumes it. The ticket is checked first.
        """
        now = self._clock()
        try:
            return await self._store.write(
                lambda connection: self._consoles.consume(connection, proxy_id, request, now)
            )
        except Refused as refused:
            self.refusals[refused.reason] += 1
            raise

    async def register(self, description: ProxyDescription) -> Welcome:
        """Take a proxy in, or back, with the sessions that it carries; ``LinkRefused`` where that cannot be.

        Its older incarnation is forgotten. A session that it does not name has ended with it
        (``proxy-lost``), one that it names is active even if it was thought to have ended.
        """
        if description.protocol != PROTOCOL:
            raise LinkRefused(f"proxy {description.name} speaks version {description.protocol}, not {PROTOCOL}")
        now = self._clock()
        alive_since = now - MISSED_REPORTS * self.interval
        await self._store.write(
            lambda connection: store_sessions.register(connection, description, now=now, alive_since=alive_since)
        )
        keys = self.token_keys()
        previous = keys.previous.to_json() if keys.previous else ""
        return Welcome(keys.current.to_json(), previous, self.pushed_settings(), self.interval)

    async def report(self, proxy_id: str, incarnation: str, report: LoadReport) -> None:
        """Note what a proxy reports; told again, it changes nothing.

        Raises ``LinkRefused`` unless this incarnation has registered: the proxy must say hello (again).
        """
        self.reports += 1
        now = self._clock()
        await self._store.write(
            lambda connection: store_sessions.note_report(connection, proxy_id, incarnation, report, now=now)
        )

    async def link_lost(self, proxy_id: str, incarnation: str) -> None:
        """Give a proxy no new consoles until it is back; those that run on it go on.

        Not to be called for a connection that a newer one of the same proxy has replaced.
        """
        await self._store.write(lambda connection: store_sessions.mark_down(connection, proxy_id, incarnation))

    async def sweep(self) -> None:
        """End what ran on proxies that have missed three reports; forget what is older than the retention."""
        now, patience = self._clock(), MISSED_REPORTS * self.interval

        def sweep(connection: Connection) -> None:
            # Nobody could report while the manager was away: everyone gets the same time to come back.
            if now - self._started >= patience:
                store_sessions.end_lost(connection, seen_before=now - patience, now=now)
            store_sessions.purge(connection, ended_before=now - self._settings.retention)

        await self._store.write(sweep)

    def token_keys(self) -> TokenKeys:
        """Return the keys of the links' tokens; the same after a restart, so that open links stay good."""
        return self._store.token_keys

    # --- lists and settings -----------------------------------------------------------

    async def account_by_api_key(self, api_key: str) -> Account | None:
        """Return the account whose API key this is."""
        return await self._store.account_by_api_key(api_key)

    async def list_accounts(self) -> list[Account]:
        """Return every account, by name."""
        return await self._store.list_accounts()

    async def list_instances(self, account_id: str | None = None) -> list[Instance]:
        """Return the instances of one account, or of all, by name."""
        return await self._store.list_instances(account_id)

    async def list_proxies(self) -> list[ProxyRecord]:
        """Return every proxy, in the order of their first registration."""
        return await self._store.list_proxies()

    async def list_sessions(  # noqa: PLR0913 - one argument for each thing to look for
        self,
        *,
        account_id: str | None = None,
        instance_id: str | None = None,
        session_id: str | None = None,
        proxy_id: str | None = None,
        creator_address: str | None = None,
        client_address: str | None = None,
        start: float | None = None,
        end: float | None = None,
        is_active: bool | None = None,
        is_acquired: bool | None = None,
    ) -> list[Session]:
        """Return the sessions that are as asked for (None: no matter), newest first."""
        wanted = SessionFilter(
            account_id=account_id,
            instance_id=instance_id,
            session_id=session_id,
            proxy_id=proxy_id,
            creator_address=creator_address,
            client_address=client_address,
            start=start,
            end=end,
            is_active=is_active,
            is_acquired=is_acquired,
        )
        return await self._store.list_sessions(wanted)

    async def session_counts(self) -> dict[tuple[str, str], int]:
        """Count sessions by state (reserved, active, ended) and end reason."""
        return await self._store.count_sessions()

    def list_settings(self) -> list[SettingValue]:
        """Return every live setting with its value of now."""
        return [self._settings.shown(name) for name in SETTINGS]

    def pushed_settings(self) -> dict[str, str]:
        """Return what proxies are told: settings, and the two boot arguments that choose ports (fact 3.10)."""
        ssl, domain = self._settings.has_ssl, self._settings.domain
        ports = console_ports(ssl=ssl, domain=domain, has_certificate=self._has_certificate)
        boot = {"premium": str(ports.is_tls).lower(), "vncport": str(ports.websocket_port)}
        return self._settings.pushed() | boot

    async def update_setting(self, name: str, value: str) -> SettingValue:
        """Change a setting for good and tell the proxies; ``ConfigError`` says what would do."""
        await self._store.write_setting(name, check(name, value))
        shown = self._settings.change(name, value)
        told = await asyncio.gather(
            *(tell(self.pushed_settings()) for tell in self.on_settings_changed), return_exceptions=True
        )
        for error in told:
            # The change stands; whoever missed it hears of it in the next welcome.
            if isinstance(error, Exception):
                log.error("a changed setting was not told", exc_info=error)
        return shown

    # --- what administrators do -------------------------------------------------------

    async def load_inventory(self, inventory: Inventory) -> None:
        """Make the accounts, and the instances that came from a file before, what the file says."""
        await self._store.put_inventory(inventory)

    async def add_instance(self, instance: Instance) -> None:
        """Add or replace an instance; ``ConfigError`` where its account is not known."""
        await self._store.put_instance(instance)

    async def remove_instance(self, instance_id: str) -> bool:
        """Forget an instance: nobody comes in any more; say whether there was one."""
        return await self._store.remove_instance(instance_id)

    async def kill(self, session_id: str) -> bool:
        """Have a session ended by its proxy; say whether it ran and the proxy was reached."""
        session = await self._store.find_session(session_id)
        if session is None or not session.is_active:
            return False
        return await self._command(session.proxy_id, Kill(session_id))

    async def drain(self, proxy_id: str) -> bool:
        """Give a proxy no new consoles until it is started again; say whether it was reached."""
        if not await self._store.write(lambda connection: store_sessions.mark_draining(connection, proxy_id)):
            return False
        return await self._command(proxy_id, Drain())

    async def _command(self, proxy_id: str, command: Command) -> bool:
        return self.commands is not None and await self.commands(proxy_id, command)

    def _take_stored(self, name: str, text: str) -> None:
        try:
            self._settings.change(name, text)
        except ConfigError as error:
            # An older or newer program kept it; a manager that does not start helps nobody.
            log.warning("a stored setting is left out: %s", error)

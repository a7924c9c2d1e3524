"""One console: its place on a proxy, its one-time link, and its one use.

What takes a connection is one operation of the store, which nothing comes between.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection

from consoleproxy.access.grant import Grant
from consoleproxy.access.ticket import check_ticket, make_ticket, minute_of
from consoleproxy.access.token import NONCE_SIZE, encode
from consoleproxy.errors import ExpiredError, UnknownError, UsedError
from consoleproxy.manager import store_sessions
from consoleproxy.manager.allocate import Candidate, choose
from consoleproxy.manager.endpoint import Endpoint, ProxyAddress, endpoint, reached_at
from consoleproxy.manager.model import Account, Instance, ProxyRecord, Session
from consoleproxy.manager.settings import LiveSettings
from consoleproxy.manager.store import Store
from consoleproxy.messages import AccessAnswer, AccessRequest, Target

#: States of an instance that has no screen (CloudStack fact 3.2).
NO_SCREEN = frozenset({"Stopped", "Restoring", "Error", "Destroyed"})
#: A ticket is good in the minute in which it was made, and in the next.
TICKET_MINUTES = 2


@dataclass(frozen=True, slots=True)
class Reserved:
    """A place on a proxy for a console; ``why`` is sticky, or the policy that chose it."""

    session: Session
    instance: Instance
    proxy: ProxyRecord
    why: str


@dataclass(frozen=True, slots=True)
class No:
    """Why there is no endpoint: a word to count, a sentence for the caller."""

    reason: str
    sentence: str


EXTRA_NEEDED = No("extra-token", "Consoles need an extra security token here: give the parameter token.")
# One answer for both, so that nobody learns which ids exist.
UNKNOWN = No("unknown", "There is no such virtual machine, or it belongs to somebody else.")
NO_PROXY = No("no-proxy", "No console proxy is available. Try again in a few minutes.")


class Consoles:
    """Makes consoles and lets viewers in, over ``store`` and by ``settings``."""

    def __init__(self, store: Store, settings: LiveSettings) -> None:
        self._store = store
        self._settings = settings

    def reserve(
        self,
        connection: Connection,
        caller: Account,
        instance_id: str,
        *,
        session_id: str,
        creator_address: str,
        now: float,
    ) -> Reserved | No:
        """Keep a place on a proxy under ``session_id`` until the ticket expires."""
        place = self._place(connection, caller, instance_id, now)
        if isinstance(place, No):
            return place
        instance, proxy, why = place
        expires = (minute_of(now) + TICKET_MINUTES) * 60.0
        session = Session(
            id=session_id,
            instance_id=instance.id,
            account_id=caller.id,
            proxy_id=proxy.proxy_id,
            created=now,
            expires=expires,
            creator_address=creator_address,
        )
        store_sessions.add_session(connection, session)
        return Reserved(session, instance, proxy, why)

    def endpoint(self, reserved: Reserved, extra: str) -> Endpoint:
        """Return the addresses that open what was reserved; ``extra`` is the extra token, if any."""
        proxy = reserved.proxy
        listening = ProxyAddress(proxy.address, proxy.page_port, proxy.websocket_port, proxy.is_tls)
        reached = reached_at(listening, ssl=self._settings.has_ssl, domain=self._settings.domain)
        return endpoint(reached, self._token(reserved.instance, reserved.session, extra), extra)

    def _place(
        self, connection: Connection, caller: Account, instance_id: str, now: float
    ) -> tuple[Instance, ProxyRecord, str] | No:
        instance = self._store.find_instance(connection, instance_id)
        if instance is None or not (caller.is_admin or instance.account_id == caller.id):
            return UNKNOWN
        if instance.state in NO_SCREEN:
            return No("no-screen", f"The virtual machine has no screen now: its state is {instance.state}.")
        proxies = {proxy.proxy_id: proxy for proxy in store_sessions.list_proxies(connection, now)}
        sticky = store_sessions.last_proxy(connection, instance_id)
        candidates = [self._candidate(proxy) for proxy in proxies.values()]
        chosen = choose(candidates, sticky, self._settings.policy)
        if chosen is None:
            return NO_PROXY
        why = "sticky" if chosen.proxy_id == sticky else self._settings.policy
        return instance, proxies[chosen.proxy_id], why

    def _candidate(self, proxy: ProxyRecord) -> Candidate:
        return Candidate(
            proxy.proxy_id,
            # A proxy that takes none at all must not divide by nothing.
            max(1, min(proxy.capacity, self._settings.session_max)),
            proxy.active_sessions,
            proxy.reserved_sessions,
            is_up=proxy.is_up and proxy.capacity > 0,
            is_draining=proxy.is_draining,
        )

    def _token(self, instance: Instance, session: Session, extra: str) -> str:
        place = (instance.host, instance.port, instance.password, instance.id, session.id)
        grant = Grant(
            host=instance.host,
            port=instance.port,
            password=instance.password,
            vm_id=instance.id,
            display_name=instance.display_name,
            ticket=make_ticket(self._store.ticket_key, *place, minute=minute_of(session.created)),
            session_id=session.id,
            source_address=session.creator_address,
            extra_token=extra,
        )
        return encode(grant.to_fields(), self._store.token_keys.current, secrets.token_bytes(NONCE_SIZE))

    def consume(self, connection: Connection, proxy_id: str, request: AccessRequest, now: float) -> AccessAnswer:
        """Consume the session, or raise a ``Refused`` error that leaves it as it is."""
        instance = self._store.find_instance(connection, request.vm_id)
        if instance is None:
            raise UnknownError(f"instance {request.vm_id!r} is not known")

        def check_session(session: Session) -> None:
            self._check(session, instance, request, now)

        store_sessions.consume(
            connection,
            request.session_id,
            proxy_id=proxy_id,
            client_address=request.viewer_address,
            now=now,
            check=check_session,
        )
        user = store_sessions.creator_name(connection, request.session_id)
        return AccessAnswer(Target(instance.host, instance.port, instance.password), user)

    def _check(self, session: Session, instance: Instance, request: AccessRequest, now: float) -> None:
        if session.instance_id != instance.id:
            raise UnknownError(f"session {session.id} is another instance's")
        # The ticket vouches for the address that the link was made with; a VM may have moved since.
        parts = (request.host, request.port, request.password, request.vm_id, request.session_id)
        check_ticket(request.ticket, self._store.ticket_key, *parts, now_minute=minute_of(now))
        if session.acquired is not None or session.removed is not None:
            raise UsedError(f"session {session.id} was used")
        if not hmac.compare_digest(instance.password.encode(), request.password.encode(errors="surrogatepass")):
            raise ExpiredError("the VM's password has changed since the link was made")

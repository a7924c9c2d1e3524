"""A control plane in memory for the tests of the proxy: quick, and in the test's own process.

Nothing here waits, so nothing can come between the look and the change: that is what
makes ``authorise`` consume a session exactly once.
"""

from __future__ import annotations

import hmac
import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from consoleproxy.access.grant import Grant
from consoleproxy.access.ticket import check_ticket, make_ticket, minute_of
from consoleproxy.access.token import TokenKey, encode
from consoleproxy.errors import ExpiredError, UnknownError, UsedError
from consoleproxy.manager.endpoint import Endpoint, ProxyAddress, endpoint
from consoleproxy.messages import AccessAnswer, AccessRequest, SessionEnd, SessionOpened

#: Seconds after which a session that nobody used is forgotten; its ticket is long over.
UNUSED_LIFE = 180.0
#: Seconds for which an ended session is remembered, so that "used" can be told from "unknown".
ENDED_LIFE = 3600.0
#: Sessions remembered at most; the oldest go first.
MOST_REMEMBERED = 10_000
NONCE_SIZE = 12


@dataclass(frozen=True, slots=True)
class Instance:
    """A VM whose console can be opened. ``host`` and ``port`` are its VNC server's."""

    id: str
    name: str
    display_name: str
    description: str
    host: str
    port: int
    password: str = field(default="", repr=False)


@dataclass(slots=True)
class SessionRecord:
    """A one-time session from its making to its end; ``created`` and ``ended_at`` in Unix seconds."""

    instance: Instance
    created: float
    is_used: bool = False
    is_active: bool = False
    ended_at: float = 0.0
    end_reason: str = ""


class ConsoleService:
    """The control plane of one proxy. ``proxy_address`` is asked at each new endpoint."""

    def __init__(
        self, key: TokenKey, proxy_address: Callable[[], ProxyAddress], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._key = key
        self._hash_key = secrets.token_urlsafe(16)
        self._proxy_address = proxy_address
        self._clock = clock
        self._instances: dict[str, Instance] = {}
        self._sessions: dict[str, SessionRecord] = {}

    @property
    def instances(self) -> list[Instance]:
        """The instances, in the order in which they were added."""
        return list(self._instances.values())

    @property
    def active_sessions(self) -> int:
        """Count the consoles that run."""
        return sum(record.is_active for record in self._sessions.values())

    def add_instance(self, instance: Instance) -> None:
        """Make a VM known, or replace what was known of it."""
        self._instances[instance.id] = instance

    def create_endpoint(self, instance_id: str, *, extra: str = "", source_address: str = "") -> Endpoint:
        """Return a new one-time console; ``UnknownError`` for an instance that is not ours.

        ``extra`` is the caller's extra token, ``source_address`` where the caller is.
        """
        instance = self._instance(instance_id)
        now = self._clock()
        self._forget_old(now)
        session_id = str(uuid.uuid4())
        self._sessions[session_id] = SessionRecord(instance, created=now)
        grant = Grant(
            host=instance.host,
            port=instance.port,
            password=instance.password,
            vm_id=instance.id,
            display_name=instance.display_name,
            ticket=make_ticket(self._hash_key, *_ticket_parts(instance, session_id), minute=minute_of(now)),
            session_id=session_id,
            source_address=source_address,
            extra_token=extra,
        )
        token = encode(grant.to_fields(), self._key, secrets.token_bytes(NONCE_SIZE))
        return endpoint(self._proxy_address(), token, extra)

    def authorise(self, request: AccessRequest) -> AccessAnswer:
        """Consume the session: the ticket's minutes first, then the one use, then the VM.

        Raises ``ExpiredError``, ``UnknownError`` or ``UsedError``; of these, none consumes it.
        """
        record = self._sessions.get(request.session_id)
        if record is None or record.instance.id != request.vm_id:
            raise UnknownError(f"session {request.session_id} is not known")
        if record.is_used:
            raise UsedError(f"session {request.session_id} was used")
        self._check_ticket(record.instance, request)
        if not hmac.compare_digest(record.instance.password.encode(), request.password.encode()):
            raise ExpiredError("the VM's password has changed since the link was made")
        record.is_used = True
        return AccessAnswer()

    def opened(self, session: SessionOpened) -> None:
        """Count the console as active."""
        if (record := self._sessions.get(session.session_id)) is not None:
            record.is_active = True

    def ended(self, session: SessionEnd) -> None:
        """Count the console as ended."""
        if (record := self._sessions.get(session.session_id)) is not None:
            record.is_active = False
            record.ended_at = self._clock()
            record.end_reason = session.reason

    def _instance(self, instance_id: str) -> Instance:
        try:
            return self._instances[instance_id]
        except KeyError:
            raise UnknownError(f"instance {instance_id!r} is not known") from None

    def _check_ticket(self, instance: Instance, request: AccessRequest) -> None:
        parts = _ticket_parts(instance, request.session_id)
        check_ticket(request.ticket, self._hash_key, *parts, now_minute=minute_of(self._clock()))

    def _forget_old(self, now: float) -> None:
        """Drop what is old from the front: sessions stand in the order of their making."""
        for session_id, record in list(self._sessions.items()):
            life = ENDED_LIFE if record.is_used else UNUSED_LIFE
            is_over = not record.is_active and now - max(record.created, record.ended_at) > life
            is_too_many = len(self._sessions) >= MOST_REMEMBERED and not record.is_active
            if is_over or is_too_many:
                del self._sessions[session_id]
            elif len(self._sessions) < MOST_REMEMBERED:
                break


def _ticket_parts(instance: Instance, session_id: str) -> tuple[str, int, str, str, str]:
    return instance.host, instance.port, instance.password, instance.id, session_id


class AuthorityApi:
    """The manager's API on top of ``service``, as far as the start page needs it."""

    def __init__(self, service: ConsoleService) -> None:
        self._service = service

    async def call(self, command: str, **parameters: str) -> dict[str, Any]:
        """Answer the two commands of the start page."""
        if command == "listVirtualMachines":
            rows = [
                {
                    "id": vm.id,
                    "name": vm.name,
                    "displayname": vm.display_name,
                    "description": vm.description,
                    "state": "Running",
                }
                for vm in self._service.instances
            ]
            return {"count": len(rows), "virtualmachine": rows}
        try:
            made = self._service.create_endpoint(
                parameters["virtualmachineid"], extra=parameters.get("token", ""), source_address="127.0.0.1"
            )
        except UnknownError as error:
            return {"consoleendpoint": {"success": False, "details": error.sentence}}
        return {"consoleendpoint": {"success": True, "url": made.url}}

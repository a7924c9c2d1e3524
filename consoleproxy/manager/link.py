"""The server end of the control link: proxies dial in over a websocket, JSON both ways.

Who has the shared secret is a proxy. The messages are ``consoleproxy.messages``; what they
mean is the service's to decide.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import itertools
import logging
from collections.abc import Awaitable, Mapping
from typing import Protocol, TypeVar

from aiohttp import WSMsgType, web

from consoleproxy.errors import ConfigError, LinkRefused, Refused, RemoteProtocolError
from consoleproxy.messages import (
    PROTOCOL,
    AccessAnswer,
    AccessRequest,
    Ack,
    Command,
    Done,
    Fault,
    KeysPush,
    LoadReport,
    ProxyDescription,
    SettingsPush,
    Welcome,
)
from consoleproxy.messages.codec import MAX_MESSAGE, Envelope, Message, from_json, to_json, to_refusal
from consoleproxy.net.tasks import Tasks

log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

#: Seconds between two pings; without a pong for half of that the proxy is gone.
HEARTBEAT = 10.0
#: Questions of one proxy that are worked on at once; more wait in its connection.
MOST_ASKED = 64

_HELLO = 10.0
_SERVICE = 15.0
_SEND = 5.0
_COMMAND = 5.0
_CLOSE = 1.0


class ProxyService(Protocol):
    """What the service must offer."""

    async def register(self, description: ProxyDescription) -> Welcome:
        """Take the proxy, or raise ``LinkRefused``."""

    async def authorise(self, proxy_id: str, request: AccessRequest) -> AccessAnswer:
        """Consume the one-time session atomically, or raise a ``Refused`` error."""

    async def report(self, proxy_id: str, incarnation: str, report: LoadReport) -> None:
        """Note a report, of which anything may have come before."""

    async def link_lost(self, proxy_id: str, incarnation: str) -> None:
        """Note that the proxy's link has ended."""


class LinkServer:
    """Takes the links of proxies. ``close`` it before the service.

    ``secret`` is the shared secret of all proxies. ``is_behind_tls`` says that something on the way
    ends TLS, and that only it can reach us; otherwise a plain link from another machine is refused.
    """

    def __init__(self, service: ProxyService, secret: str, *, is_behind_tls: bool = False) -> None:
        if not secret.strip():
            raise ConfigError("the link's shared secret is empty")
        self._service = service
        self._authorization = f"Bearer {secret}".encode()
        self._is_behind_tls = is_behind_tls
        self._linked: dict[str, _ProxyLink] = {}
        self._open: set[_ProxyLink] = set()
        self._registering = asyncio.Lock()
        self._tasks = Tasks()
        self._is_closing = False

    def __len__(self) -> int:
        """Count the proxies that are linked."""
        return len(self._linked)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer ``GET /link``: 401 without the secret, 403 over a plain link from another machine."""
        if self._is_closing:
            raise web.HTTPServiceUnavailable
        if not (self._is_behind_tls or request.secure or _is_loopback(request.remote)):
            raise web.HTTPForbidden(text="The link needs TLS.")
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if not hmac.compare_digest(self._authorization, given):
            log.warning("a proxy's link was refused: the secret is wrong", extra={"peer": request.remote})
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
        link = _ProxyLink(self._service, await _accept(request), request.transport)
        self._open.add(link)
        try:
            await self._run(link)
        finally:
            self._open.discard(link)
            await link.close()
        return link.socket

    async def send_command(self, proxy_id: str, command: Command) -> bool:
        """Have a proxy obey; false when it is not linked here, does not answer, or could not do it."""
        link = self._linked.get(proxy_id)
        return link is not None and await link.command(command)

    async def push_settings(self, settings: Mapping[str, str]) -> None:
        """Tell every proxy the settings."""
        await self._broadcast(SettingsPush(dict(settings)))

    async def push_keys(self, keys: KeysPush) -> None:
        """Tell every proxy the token keys."""
        await self._broadcast(keys)

    async def close(self) -> None:
        """End every link; proxies will dial again."""
        self._is_closing = True
        for link in list(self._open):
            self._tasks.spawn(link.close(), name="close link")
        await self._tasks.join(_SERVICE)
        await self._tasks.close()

    async def _broadcast(self, command: Command) -> None:
        works = [self._tasks.spawn(link.command(command), name="command") for link in self._linked.values()]
        if works:
            await asyncio.wait(works)

    async def _run(self, link: _ProxyLink) -> None:
        try:
            await self._welcome(link)
            await link.serve()
        except (LinkRefused, Refused) as error:
            log.warning("a proxy was refused", extra={**link.facts, "detail": str(error)})
        except RemoteProtocolError as error:
            log.warning("a proxy broke the link's protocol", extra={**link.facts, "detail": str(error)})
        except (OSError, TimeoutError) as error:
            log.info("a proxy's link broke", extra={**link.facts, "detail": repr(error)})
        except Exception:
            log.exception("a proxy's link failed", extra=link.facts)
        finally:
            await link.close()
            await self._unlink(link)

    async def _welcome(self, link: _ProxyLink) -> None:
        number, hello = await link.receive_hello()
        # One at a time: of two connections under one id, the later one stays.
        async with self._registering:
            if (older := self._linked.pop(hello.proxy_id, None)) is not None:
                log.info("a newer link replaces this proxy's older one", extra=older.facts)
                # Nothing that it asked for may be done after the newer one has listed its sessions.
                await older.close()
            welcome = await link.answered(number, self._service.register(hello))
            self._linked[hello.proxy_id] = link
        await link.send(welcome, number)
        log.info("proxy linked", extra={**link.facts, "address": hello.address, "sessions": len(hello.sessions)})

    async def _unlink(self, link: _ProxyLink) -> None:
        """Note the end of the link, unless a newer one of the same proxy has taken its place."""
        if link.hello is None or self._linked.get(link.hello.proxy_id) is not link:
            return
        del self._linked[link.hello.proxy_id]
        try:
            async with asyncio.timeout(_SERVICE):
                await self._service.link_lost(link.hello.proxy_id, link.hello.incarnation)
        except Exception:
            log.exception("the end of a link could not be noted", extra=link.facts)


class _ProxyLink:
    """One proxy's connection."""

    def __init__(
        self, service: ProxyService, socket: web.WebSocketResponse, transport: asyncio.Transport | None
    ) -> None:
        self._service = service
        self.socket = socket
        self._transport = transport
        self.hello: ProxyDescription | None = None
        self._tasks = Tasks()
        self._free = asyncio.Semaphore(MOST_ASKED)
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        self._is_closed = False

    @property
    def facts(self) -> dict[str, str]:
        """What the log says of the proxy."""
        return {} if self.hello is None else {"proxy": self.hello.name[:80], "proxy_id": self.hello.proxy_id[:80]}

    async def receive_hello(self) -> tuple[int | None, ProxyDescription]:
        """Return the first message and its number."""
        async with asyncio.timeout(_HELLO):
            envelope = await self._receive()
        if envelope is None or not isinstance(envelope.message, ProxyDescription):
            raise RemoteProtocolError("the first message is not hello")
        self.hello = envelope.message
        if self.hello.protocol != PROTOCOL:
            fault = f"this manager speaks protocol {PROTOCOL} of the link"
            await self.send(to_refusal(LinkRefused(fault)), envelope.id)
            raise LinkRefused(f"it speaks protocol {self.hello.protocol}")
        return envelope.id, self.hello

    async def serve(self) -> None:
        """Answer the proxy until the connection ends."""
        while (envelope := await self._receive()) is not None:
            message = envelope.message
            if isinstance(message, Done):
                self._done(envelope.id, is_done=message.is_done)
            elif isinstance(message, Fault):
                log.warning("a proxy did not understand", extra={**self.facts, "detail": message.detail[:200]})
                self._done(envelope.id, is_done=False)
            elif isinstance(message, AccessRequest | LoadReport):
                await self._free.acquire()
                self._tasks.spawn(self._reply(envelope.id, message), name="answer a proxy")
            else:
                await self.send(Fault(f"this is not for a manager: {envelope.kind[:40]!r}"), envelope.id)

    async def answered(self, number: int | None, work: Awaitable[_Result]) -> _Result:
        """Return what the service makes of a message; a no is told to the proxy and raised."""
        try:
            async with asyncio.timeout(_SERVICE):
                return await work
        except (Refused, LinkRefused) as error:
            await self.send(to_refusal(error), number)
            raise

    async def command(self, command: Command) -> bool:
        """Send a command, and say whether it was carried out."""
        if self._is_closed:
            return False
        number = next(self._numbers)
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            async with asyncio.timeout(_COMMAND):
                await self.send(command, number)
                return await future
        except (OSError, TimeoutError):
            return False
        finally:
            del self._waiting[number]

    async def send(self, message: Message, number: int | None) -> None:
        """Send one message; a proxy that does not read is cut off."""
        async with asyncio.timeout(_SEND):
            await self.socket.send_str(to_json(message, number))

    async def close(self) -> None:
        """End the connection soon, and everything that works for it."""
        self._is_closed = True
        for future in self._waiting.values():
            if not future.done():
                future.set_result(False)
        await self._tasks.close()
        try:
            async with asyncio.timeout(2 * _CLOSE):
                await self.socket.close()
        except (TimeoutError, OSError):
            if self._transport is not None:
                self._transport.abort()

    async def _reply(self, number: int | None, message: AccessRequest | LoadReport) -> None:
        try:
            await self.send(await self._answer(message), number)
        except (Refused, LinkRefused) as error:
            await self._send_last(to_refusal(error), number)
        except Exception:
            log.exception("a proxy's message could not be answered", extra=self.facts)
            await self._send_last(Fault("the manager failed"), number)
        finally:
            self._free.release()

    async def _answer(self, message: AccessRequest | LoadReport) -> AccessAnswer | Ack:
        if self.hello is None:
            raise RuntimeError("there was no hello")
        async with asyncio.timeout(_SERVICE):
            if isinstance(message, AccessRequest):
                return await self._service.authorise(self.hello.proxy_id, message)
            await self._service.report(self.hello.proxy_id, self.hello.incarnation, message)
            return Ack(message.seq)

    async def _send_last(self, message: Message, number: int | None) -> None:
        try:
            await self.send(message, number)
        except (OSError, TimeoutError):
            log.info("a proxy did not take its answer", extra=self.facts)

    def _done(self, number: int | None, *, is_done: bool) -> None:
        future = self._waiting.get(number) if number is not None else None
        if future is not None and not future.done():
            future.set_result(is_done)

    async def _receive(self) -> Envelope[Message] | None:
        """Return the next message, or None at the end of the connection."""
        # The heartbeat is the deadline: a proxy that answers no ping ends the connection.
        message = await self.socket.receive()
        if message.type is WSMsgType.TEXT:
            return from_json(message.data)
        if message.type is WSMsgType.BINARY:
            raise RemoteProtocolError("a binary message")
        return None


async def _accept(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(heartbeat=HEARTBEAT, max_msg_size=MAX_MESSAGE, timeout=_CLOSE, compress=False)
    await socket.prepare(request)
    return socket


def _is_loopback(address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False

"""Our own manager over a websocket: JSON messages both ways, the proxy dials.

The keys of all tokens come over this link: off this machine it runs over TLS to a manager
whose certificate our own CA signed, or not at all.
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import aiohttp
from yarl import URL

from consoleproxy.errors import ConfigError, LinkRefused, ManagerAwayError, RemoteProtocolError
from consoleproxy.links import ProxyControl
from consoleproxy.links.managed import Connection, LinkTimes, ManagedLink
from consoleproxy.messages import (
    AccessAnswer,
    AccessRequest,
    Ack,
    Command,
    Done,
    Drain,
    Fault,
    KeysPush,
    Kill,
    LoadReport,
    ProxyDescription,
    Refusal,
    SettingsPush,
    Welcome,
)
from consoleproxy.messages.codec import MAX_MESSAGE, Envelope, Message, from_json, from_refusal, to_json

_Answer = TypeVar("_Answer", bound=Message)

#: The manager's path for links.
LINK_PATH = "link"
#: Seconds between two pings; without a pong for half of that the manager is gone.
HEARTBEAT = 10.0
#: Seconds for a message to leave, and for a closing handshake.
_SEND = 5.0
_CLOSE = 1.0

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_ANSWERS = (Welcome, AccessAnswer, Ack, Refusal, Fault)
_COMMANDS = (SettingsPush, KeysPush, Kill, Drain)
#: What becomes of a question whose connection has ended.
_LOST = Refusal(ManagerAwayError.reason, "the link to the manager was lost")


class HTTPLink(ManagedLink):
    """A ``ControlLink`` to the manager at ``url``, such as ``https://manager.example.test:8443``.

    ``secret`` is the shared secret, ``ca_file`` the PEM file of the only CA that may have signed
    the manager's certificate; off loopback both TLS and ``ca_file`` are needed. Raises ``ConfigError``.
    """

    def __init__(self, url: str, secret: str, *, ca_file: Path | None = None, times: LinkTimes | None = None) -> None:
        super().__init__(times=times or LinkTimes())
        if not secret.isascii() or not secret.isprintable() or not secret.strip():
            raise ConfigError("the link's shared secret is empty, or not of printable ASCII characters")
        self._url = link_url(url, has_ca=ca_file is not None)
        self._headers = {"Authorization": f"Bearer {secret}"}
        self._tls = _context(ca_file)
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def start(self, control: ProxyControl) -> None:
        """Begin to reach the manager, and go on until ``close``."""
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=2),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        await super().start(control)

    async def close(self) -> None:
        """Tell what was not told yet, for a moment, and leave. No task or socket is left behind."""
        await super().close()
        if self._session is not None:
            await self._session.close()

    def duplicate_connection(self) -> int | None:
        """Return a second descriptor of the connection to the manager, for a process that replaces itself.

        Until it is closed too, the manager sees no end. ``None`` while there is no connection.
        """
        if self._socket is None or self._socket.closed:
            return None
        sock: socket.socket | None = self._socket.get_extra_info("socket")
        return os.dup(sock.fileno()) if sock is not None else None

    async def _connect(self) -> Connection:
        if self._session is None:
            raise RuntimeError("the link was not started")
        try:
            self._socket = await self._session.ws_connect(
                self._url,
                heartbeat=HEARTBEAT,
                max_msg_size=MAX_MESSAGE,
                timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE),
            )
        except aiohttp.ClientError as error:
            # The manager's own words could be anything; its status says enough.
            status = error.status if isinstance(error, aiohttp.ClientResponseError) else None
            raise ManagerAwayError(f"it answers {status}" if status else str(error)) from error
        return _Conversation(self._socket)


class _Conversation:
    """One websocket to the manager: questions with numbers, answers in any order."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._is_closed = False

    async def hello(self, description: ProxyDescription) -> Welcome:
        # Read here, not by ``serve``: what the manager pushes right after must come second.
        await self._send(to_json(description, next(self._numbers)))
        envelope = await self._receive()
        if envelope is None:
            raise ManagerAwayError("the manager closed the link at once")
        return _expect(Welcome, envelope.message)

    async def serve(self, obey: Callable[[Command], bool]) -> None:
        while (envelope := await self._receive()) is not None:
            message = envelope.message
            if isinstance(message, _ANSWERS):
                self._answered(envelope.id, message)
            elif isinstance(message, _COMMANDS):
                await self._send(to_json(Done(obey(message)), envelope.id))
            else:
                await self._send(to_json(Fault(f"this is not for a proxy: {envelope.kind[:40]!r}"), envelope.id))

    async def authorise(self, request: AccessRequest) -> AccessAnswer:
        return _expect(AccessAnswer, await self._ask(request))

    async def report(self, report: LoadReport) -> None:
        ack = _expect(Ack, await self._ask(report))
        if ack.seq != report.seq:
            raise RemoteProtocolError("the manager acknowledged another report")

    async def close(self) -> None:
        self._is_closed = True
        for future in self._waiting.values():
            if not future.done():
                future.set_result(_LOST)
        try:
            async with asyncio.timeout(2 * _CLOSE):
                await self._socket.close()
        except (TimeoutError, OSError, aiohttp.ClientError):
            # The cancelled close has dropped the connection.
            return

    async def _ask(self, question: Message) -> Message:
        """Send, and wait for the answer as long as the connection lasts; deadlines are the caller's."""
        if self._is_closed:
            raise from_refusal(_LOST)
        number = next(self._numbers)
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            await self._send(to_json(question, number))
            return await future
        finally:
            del self._waiting[number]

    def _answered(self, number: int | None, message: Message) -> None:
        future = self._waiting.get(number) if number is not None else None
        if future is not None and not future.done():
            future.set_result(message)

    async def _send(self, text: str) -> None:
        try:
            async with asyncio.timeout(_SEND):
                await self._socket.send_str(text)
        except aiohttp.ClientError as error:
            raise ManagerAwayError(str(error)) from error

    async def _receive(self) -> Envelope[Message] | None:
        """Return the next message, or None at the end of the connection."""
        # The heartbeat is the deadline: a manager that answers no ping ends the connection.
        message = await self._socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            return from_json(message.data)
        if message.type is aiohttp.WSMsgType.BINARY:
            raise RemoteProtocolError("the manager sent a binary message")
        return None


def _expect(shape: type[_Answer], message: Message | None) -> _Answer:
    """Return the answer that was asked for, or raise what came instead."""
    if isinstance(message, shape):
        return message
    if isinstance(message, Refusal):
        raise from_refusal(message)
    if isinstance(message, Fault):
        raise LinkRefused(f"the manager answers: {message.detail}")
    raise RemoteProtocolError("the manager sent another kind of answer")


def link_url(url: str, *, has_ca: bool) -> URL:
    """Return the websocket's address for the manager at ``url``; ``ConfigError`` if keys would cross a plain link."""
    try:
        parsed = URL(url)
        host, scheme = parsed.host, _SCHEMES.get(parsed.scheme, "")
    except ValueError:
        host, scheme = None, ""
        parsed = URL()
    if not host or not scheme or parsed.user or parsed.query_string or parsed.fragment:
        raise ConfigError("the manager's address is not like https://manager.example.test:8443")
    if not is_loopback(host) and (scheme == "ws" or not has_ca):
        need = "https" if scheme == "ws" else "the CA file of its certificate"
        raise ConfigError(f"the manager at {host} is another machine: the link to it needs {need}")
    return parsed.with_scheme(scheme) / LINK_PATH


def is_loopback(host: str) -> bool:
    """Say whether ``host`` cannot be another machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigError(f"cannot read certificates from {str(ca_file)!r}: {error.strerror or error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context

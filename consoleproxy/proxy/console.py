"""One console, from upgrade to end. The order is the contract; ``_open`` is its story.

1. the listener has read the request's head;
2. pure checks: token, extra token, source address, origin;
3. a slot is reserved, which can be undone;
4. the control plane consumes the one-time session and says yes;
5. the slot is committed, and who held the console before leaves, since some
   hypervisors allow one viewer only;
6. the 101 answer, the way to the VM, handshakes on both sides, the relay.

A refusal in 2 to 4 costs no connection to a VM and burns no session. A browser cannot
read the status of a refused upgrade: it gets the 101 and then a close code. Whatever
happens, a console ends once: one log line, one metric, one report.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

from consoleproxy.access.checks import admit
from consoleproxy.access.grant import Grant
from consoleproxy.access.query import parse_query
from consoleproxy.access.token import TokenKeys
from consoleproxy.backends import target_of
from consoleproxy.errors import (
    BrowserClosed,
    BrowserLost,
    BrowserProtocolError,
    BrowserTimeout,
    ConsoleError,
    InternalError,
    ManagerAwayError,
    PeerClosed,
    RemoteProtocolError,
    SessionEnded,
    VMClosed,
    VMProtocolError,
    VMTimeoutError,
)
from consoleproxy.links import AccessLink
from consoleproxy.messages import AccessRequest, SessionEnd, SessionOpened, Target
from consoleproxy.net.handshake import converse
from consoleproxy.net.stream import ByteStream
from consoleproxy.net.websocket import WebSocketStream, event_frame
from consoleproxy.ops.metrics import ProxyMetrics
from consoleproxy.proxy.carried import Carried
from consoleproxy.proxy.end import Carriage
from consoleproxy.proxy.listener import Arrival
from consoleproxy.proxy.registry import Registry
from consoleproxy.proxy.relay import Relay
from consoleproxy.proxy.sessions import Slot, SlotRequest
from consoleproxy.wire import rfb_client, rfb_server
from consoleproxy.wire.rfb import ServerInit, clean_text
from consoleproxy.wire.websocket import close_frame

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long each step may take, in seconds, and how large a browser's message may be, in bytes."""

    authorise: float
    vm_connect: float
    vm_handshake: float
    browser_handshake: float
    goodbye: float
    max_message: int


@dataclass(frozen=True, slots=True)
class ConsoleContext:
    """What every console of a proxy shares.

    ``keys``, ``check_admission`` and ``checks_source_address`` are asked each time, since
    their answers change while the proxy runs. ``carried`` is where a console stands from its slot to its end.
    """

    link: AccessLink
    registry: Registry
    metrics: ProxyMetrics
    carriage: Carriage
    limits: Limits
    carried: Carried
    keys: Callable[[], TokenKeys]
    check_admission: Callable[[], None]
    dial: Callable[[Target], Awaitable[ByteStream]]
    allowed_origins: frozenset[str]
    checks_source_address: Callable[[], bool]


class Console:
    """One viewer's session. ``run`` opens it; it then lives in its relay until ``end``.

    What only the opening needs (request, token, streams) is let go when ``run`` returns: there may
    be thousands of these.
    """

    __slots__ = (
        "_browser",
        "_context",
        "_end_asked",
        "_has_events",
        "_is_authorised",
        "_is_finished",
        "_phase",
        "_relay",
        "_session_id",
        "_slot",
        "_started",
        "_task",
        "_viewer",
        "_vm",
        "_vm_id",
        "_vm_name",
        "ref",
    )

    def __init__(self, context: ConsoleContext, *, viewer: str, has_events: bool) -> None:
        self._context = context
        self._viewer = viewer
        self._has_events = has_events
        self._started = time.monotonic()
        self._phase = "checks"
        self._task: asyncio.Task[None] | None = None
        self._session_id = self._vm_id = self._vm_name = ""
        self._slot: Slot | None = None
        self._browser: WebSocketStream | None = None
        self._vm: ByteStream | None = None
        self._relay: Relay | None = None
        self._end_asked: ConsoleError | None = None
        self._is_authorised = False
        self._is_finished = False
        #: Stands in the log, the close reason and on the page, so that a person can be helped.
        self.ref = secrets.token_hex(4)

    async def run(self, arrival: Arrival) -> None:
        """Open the console, and return once the relay carries it or the browser knows why not."""
        self._task = asyncio.current_task()
        try:
            await self._open(arrival)
        except ConsoleError as error:
            await self._refuse(arrival, error)
        except asyncio.CancelledError:
            if self._end_asked is None or self._task is None:
                raise
            self._task.uncancel()
            await self._refuse(arrival, self._end_asked)
        except Exception as error:
            log.exception("console failed", extra={"ref": self.ref})
            await self._refuse(arrival, InternalError(repr(error)))
        finally:
            self._task = None
            self._release_streams(arrival)

    def end(self, error: SessionEnded) -> None:
        """End the console for ``error``, in whatever phase it is."""
        if self._relay is not None:
            self._relay.end(error)
        elif self._task is not None and self._end_asked is None:
            self._end_asked = error
            self._task.cancel()

    async def _open(self, arrival: Arrival) -> None:
        grant = self._check(arrival)
        self._slot = await self._reserve(grant)
        target = await self._authorise(grant)
        await self._context.registry.commit(self._slot)
        browser = await self._accept(arrival)
        await self._tell(browser, "dialling")
        vm = self._vm = await self._reach(target)
        await self._tell(browser, "handshake")
        server_init = await self._sign_in(vm, target)
        await self._tell(browser, "ready")
        await self._welcome(browser, server_init)
        await self._start_relay(browser, vm, is_view_only=grant.view_only)

    def _check(self, arrival: Arrival) -> Grant:
        self._context.check_admission()
        upgrade = arrival.upgrade
        grant = admit(
            parse_query(upgrade.query),
            self._context.keys(),
            peer=arrival.address,
            origin=upgrade.origin,
            host=upgrade.host,
            check_source=self._context.checks_source_address(),
            allowed_origins=self._context.allowed_origins,
        )
        self._session_id, self._vm_id = grant.session_id, grant.vm_id
        self._vm_name = clean_text(grant.display_name)
        return grant

    async def _reserve(self, grant: Grant) -> Slot:
        self._phase = "slot"
        request = SlotRequest(grant.viewer_key, grant.session_id, grant.vm_id, grant.password)
        slot = await self._context.registry.reserve(request)
        self._context.carried.add(slot, self)
        return slot

    async def _authorise(self, grant: Grant) -> Target:
        self._phase = "authorise"
        request = AccessRequest(
            session_id=grant.session_id,
            vm_id=grant.vm_id,
            host=grant.host,
            port=grant.port,
            viewer_address=self._viewer,
            password=grant.password,
            ticket=grant.ticket,
        )
        try:
            async with asyncio.timeout(self._context.limits.authorise):
                answer = await self._context.link.authorise(request)
        except TimeoutError as error:
            raise ManagerAwayError("no answer in time") from error
        self._is_authorised = True
        self._context.link.opened(SessionOpened(grant.session_id, grant.vm_id, self._viewer, opened_at=time.time()))
        return answer.target or target_of(grant)

    async def _accept(self, arrival: Arrival) -> WebSocketStream:
        stream = arrival.stream
        async with _towards_browser(self._context.limits.browser_handshake):
            await stream.write(arrival.upgrade.answer)
        self._browser = WebSocketStream(
            stream, max_message=self._context.limits.max_message, has_events=self._has_events
        )
        return self._browser

    async def _reach(self, target: Target) -> ByteStream:
        self._phase = "dial"
        async with _towards_vm(self._context.limits.vm_connect):
            return await self._context.dial(target)

    async def _sign_in(self, vm: ByteStream, target: Target) -> ServerInit:
        self._phase = "vm-handshake"
        async with _towards_vm(self._context.limits.vm_handshake):
            return await converse(rfb_client.connect(target.password), vm)

    async def _welcome(self, browser: WebSocketStream, server_init: ServerInit) -> None:
        self._phase = "browser-handshake"
        named = replace(server_init, name=self._vm_name or server_init.name)
        async with _towards_browser(self._context.limits.browser_handshake):
            await converse(rfb_server.accept(named), browser)

    async def _start_relay(self, browser: WebSocketStream, vm: ByteStream, *, is_view_only: bool) -> None:
        self._phase = "relay"
        context = self._context
        self._relay = Relay(
            browser.parser,
            has_events=browser.has_events,
            is_view_only=is_view_only,
            carriage=context.carriage,
            on_end=self._relay_ended,
        )
        context.metrics.setup_seconds.observe(time.monotonic() - self._started)
        await self._relay.start(browser.detach(), vm.detach())

    async def _tell(self, browser: WebSocketStream, state: str) -> None:
        async with _towards_browser(self._context.limits.browser_handshake):
            await browser.send_event({"event": "state", "state": state, "name": self._vm_name})

    async def _refuse(self, arrival: Arrival, error: ConsoleError) -> None:
        self._finish(error)
        if isinstance(error, BrowserClosed | BrowserLost):
            return
        with contextlib.suppress(ConsoleError, PeerClosed, TimeoutError):
            async with asyncio.timeout(self._context.limits.goodbye):
                browser = self._browser or await self._accept(arrival)
                await browser.say_goodbye(self._goodbye(error))

    def _relay_ended(self, error: ConsoleError) -> bytes:
        self._finish(error)
        return self._goodbye(error)

    def _goodbye(self, error: ConsoleError) -> bytes:
        closing = close_frame(error.close_code, f"{error.reason} ref={self.ref}")
        if not self._has_events:
            return closing
        event: dict[str, str | int] = {"event": "end", "reason": error.reason, "code": error.close_code}
        return event_frame({**event, "text": error.sentence, "ref": self.ref}) + closing

    def _finish(self, error: ConsoleError) -> None:
        if self._is_finished:
            return
        self._is_finished = True
        seconds = time.monotonic() - self._started
        to_browser, to_vm = (self._relay.to_browser, self._relay.to_vm) if self._relay else (0, 0)
        if self._slot is not None:
            self._context.registry.release(self._slot)
            self._context.carried.remove(self._slot)
        if self._is_authorised:
            end = SessionEnd(self._session_id, self._vm_id, error.reason, seconds, to_browser, to_vm)
            self._context.link.ended(end)
        metrics = self._context.metrics
        metrics.ended.labels(error.reason, self._phase).inc()
        metrics.bytes.labels("to_browser").inc(to_browser)
        metrics.bytes.labels("to_vm").inc(to_vm)
        fields = {"ref": self.ref, "vm": self._vm_id, "session": self._session_id, "viewer": self._viewer}
        how = {"reason": error.reason, "phase": self._phase, "seconds": round(seconds, 3), "detail": str(error)}
        log.info("console ended", extra={**fields, **how, "to_browser": to_browser, "to_vm": to_vm})

    def _release_streams(self, arrival: Arrival) -> None:
        """Close what was not given to a relay, and let go of all of it."""
        arrival.stream.close()
        if self._vm is not None:
            self._vm.close()
        self._browser = self._vm = None


@contextlib.asynccontextmanager
async def _towards_vm(seconds: float) -> AsyncIterator[None]:
    """Run a step towards the VM under its deadline, and say what failed in its errors."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise VMTimeoutError(f"not done after {seconds:g} s") from error
    except PeerClosed as error:
        raise VMClosed(str(error)) from error
    except RemoteProtocolError as error:
        raise VMProtocolError(str(error)) from error


@contextlib.asynccontextmanager
async def _towards_browser(seconds: float) -> AsyncIterator[None]:
    """Run a step towards the browser under its deadline, and say what failed in its errors."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise BrowserTimeout(f"not done after {seconds:g} s") from error
    except PeerClosed as error:
        raise BrowserLost(str(error)) from error
    except RemoteProtocolError as error:
        raise BrowserProtocolError(str(error), close_code=error.close_code) from error

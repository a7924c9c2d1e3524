"""``/client/api``: CloudStack's API over HTTP, as far as consoles need it.

A request is a list of parameters (query, form, or both), signed by an account's secret
key (``signature``). Answers are JSON: ``{"<command>response": {...}}``, errors the same
with ``uuidList``, ``errorcode`` (also the HTTP status) and ``errortext``.

An address line holds a signature and, maybe, an extra token: the server that carries
these routes must keep no access log.
"""

from __future__ import annotations

import logging
import secrets
import time
import traceback
from collections.abc import Callable

from aiohttp import web

from consoleproxy.manager.api_commands import COMMANDS, ApiService, Call, Command
from consoleproxy.manager.api_parameters import ApiError, Parameters, read_parameters
from consoleproxy.manager.model import Account
from consoleproxy.manager.signature import SignatureError, verify

API_PATH = "/client/api"

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

_UNVERIFIED = "unable to verify user credentials and/or request signature"

#: Told of each answer: the command (``unknown`` where there is none) and the HTTP status.
Observer = Callable[[str, int], None]

log = logging.getLogger(__name__)


def api_routes(
    service: ApiService,
    *,
    clock: Callable[[], float] = time.time,
    observe: Observer | None = None,
) -> list[web.RouteDef]:
    """Return the routes of ``/client/api``; ``clock`` gives Unix seconds, for ``expires``."""

    async def answer(request: web.Request) -> web.Response:
        return await _Exchange(service, clock, request).answer(observe)

    return [web.get(API_PATH, answer, allow_head=False), web.post(API_PATH, answer)]


class _Exchange:
    """One request from its first byte to its answer."""

    def __init__(self, service: ApiService, clock: Callable[[], float], request: web.Request) -> None:
        self._service = service
        self._clock = clock
        self._request = request
        self._command: Command | None = None
        self._account = ""

    async def answer(self, observe: Observer | None) -> web.Response:
        """Return the answer, whatever happens."""
        try:
            result, status = await self._run(), 200
        except ApiError as error:
            result, status = error_object(error), error.status
        except Exception as error:  # noqa: BLE001  # whatever it is, the client gets an answer and the log the place
            unexpected = internal_error(error)
            result, status = error_object(unexpected), unexpected.status
        name = self._command.name if self._command else "unknown"
        fields = {"command": name, "status": status, "account": self._account, "address": self._request.remote}
        log.log(logging.DEBUG if status == 200 else logging.INFO, "api answered", extra=fields)  # noqa: PLR2004
        if observe:
            observe(name, status)
        key = self._command.answer_name if self._command else "errorresponse"
        return web.json_response({key: result}, status=status, headers=HEADERS)

    async def _run(self) -> dict[str, object]:
        parameters = await read_parameters(self._request)
        self._command = COMMANDS.get(parameters.text("command").lower())
        if parameters.text("response", "json").lower() != "json":
            raise ApiError(ApiError.PARAMETER, "Answers are JSON only: ask with response=json.")
        caller = await authenticate(self._service, parameters, now=self._clock())
        self._account = caller.name
        command = self._command
        if command is None or (command.needs_admin and not caller.is_admin):
            raise ApiError(
                ApiError.UNSUPPORTED, "The given command does not exist or it is not available for this account."
            )
        return await command.run(Call(self._service, caller, parameters, self._request.remote or ""))


async def authenticate(service: ApiService, parameters: Parameters, *, now: float) -> Account:
    """Return the account that signed the request, or raise ``ApiError`` 401, which never says what was wrong."""
    api_key = parameters.text("apikey")
    account = await service.account_by_api_key(api_key) if api_key else None
    try:
        # An unknown key costs the time of a known one: which it was cannot be measured.
        verify(parameters.sent, account.secret_key if account else secrets.token_hex(), now=now)
    except SignatureError as error:
        reason = str(error) if account else "no such API key"
        log.info("api request is not signed", extra={"reason": reason})
        raise ApiError(ApiError.UNAUTHORISED, _UNVERIFIED) from None
    if account is None:  # unreachable but for chance: nobody knows the secret that was drawn
        raise ApiError(ApiError.UNAUTHORISED, _UNVERIFIED)
    return account


def error_object(error: ApiError) -> dict[str, object]:
    """Return an error as CloudStack writes it."""
    return {"uuidList": [], "errorcode": error.status, "errortext": str(error)}


def internal_error(error: Exception) -> ApiError:
    """Log where an unexpected error arose, and return what the client is told: a reference alone.

    The error's own text is not logged: that of a database holds the values of the statement.
    """
    ref = secrets.token_hex(4)
    place = "".join(traceback.format_tb(error.__traceback__))
    log.error("api failed\n%s", place, extra={"ref": ref, "error": type(error).__name__})
    return ApiError(ApiError.INTERNAL, f"Internal error ref={ref}.")

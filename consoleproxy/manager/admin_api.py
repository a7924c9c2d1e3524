"""``/admin/...``: what an administrator does that CloudStack's API has no command for.

``POST /admin/instances``         add or replace an instance: JSON like in the inventory file, with its ``id``
``DELETE /admin/instances/ID``    remove it
``POST /admin/sessions/ID/kill``  end a console
``POST /admin/proxies/ID/drain``  give a proxy no new consoles; ``ID`` is the one that listSystemVms tells

The query is signed like an API request, by the key of an admin account, with
``signatureVersion=3``, ``expires``, and ``digest``: what ``request_digest`` makes of the
method, the path and the body, so that the signature covers all of them.
Bodies and answers are JSON; an error is ``{"errorresponse": {...}}`` as in the API.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from aiohttp import web

from consoleproxy.errors import ConfigError
from consoleproxy.manager.api import HEADERS, authenticate, error_object, internal_error
from consoleproxy.manager.api_commands import ApiService
from consoleproxy.manager.api_objects import virtual_machine
from consoleproxy.manager.api_parameters import ApiError, parse_parameters, read_body
from consoleproxy.manager.inventory import MAX_PORT, STATES
from consoleproxy.manager.model import Account, Instance

_TEXTS = {"name": None, "display_name": "", "description": "", "state": "Running", "host": None, "password": ""}
_FIELDS = frozenset({"id", "account", "port", *_TEXTS})
#: Characters of a text of an instance.
_LONGEST = 1024


class AdminService(ApiService, Protocol):
    """What the admin API asks of the manager, beside what the API does."""

    async def add_instance(self, instance: Instance, /) -> None:
        """Add an instance, or replace the one of its id."""

    async def remove_instance(self, instance_id: str, /) -> bool:
        """Forget an instance, or return false where there is none."""

    async def kill(self, session_id: str, /) -> bool:
        """End a console; false where none runs or its proxy cannot be told."""

    async def drain(self, proxy_id: str, /) -> bool:
        """Tell a proxy to take no new consoles; false where it cannot be told."""


Action = Callable[[web.Request, bytes], Awaitable[dict[str, object]]]
Handler = Callable[[web.Request], Awaitable[web.Response]]


def admin_routes(service: AdminService, *, clock: Callable[[], float] = time.time) -> list[web.RouteDef]:
    """Return the routes of the admin API; ``clock`` gives Unix seconds, for ``expires``."""

    async def add_instance(_: web.Request, body: bytes) -> dict[str, object]:
        accounts = await service.list_accounts()
        instance = _read_instance(body, accounts)
        await service.add_instance(instance)
        return {"instance": virtual_machine(instance, {account.id: account.name for account in accounts})}

    async def remove_instance(request: web.Request, _: bytes) -> dict[str, object]:
        return _done(await service.remove_instance(request.match_info["id"]), "There is no such instance.")

    async def kill(request: web.Request, _: bytes) -> dict[str, object]:
        return _done(await service.kill(request.match_info["id"]), "No such console runs on a proxy that is up.")

    async def drain(request: web.Request, _: bytes) -> dict[str, object]:
        wanted = request.match_info["id"]
        names = [proxy.proxy_id for proxy in await service.list_proxies() if proxy.id == wanted]
        return _done(bool(names) and await service.drain(names[0]), "No such proxy is up.")

    def guarded(action: Action) -> Handler:
        async def answer(request: web.Request) -> web.Response:
            return await _answer(service, clock, request, action)

        return answer

    return [
        web.post("/admin/instances", guarded(add_instance)),
        web.delete("/admin/instances/{id}", guarded(remove_instance)),
        web.post("/admin/sessions/{id}/kill", guarded(kill)),
        web.post("/admin/proxies/{id}/drain", guarded(drain)),
    ]


def request_digest(method: str, path: str, body: bytes = b"") -> str:
    """Return the parameter ``digest``: SHA-256, in hex, of the method, the path as it is sent, and the body."""
    return hashlib.sha256(f"{method} {path}\n".encode() + body).hexdigest()


async def _answer(
    service: AdminService, clock: Callable[[], float], request: web.Request, action: Action
) -> web.Response:
    try:
        body = await read_body(request)
        await _check_admin(service, request, body, now=clock())
        return web.json_response(await action(request, body), headers=HEADERS)
    except ApiError as error:
        fault = error
    except ConfigError as error:
        fault = ApiError(400, str(error))
    except Exception as error:  # noqa: BLE001  # whatever it is, the client gets an answer and the log the place
        fault = internal_error(error)
    return web.json_response({"errorresponse": error_object(fault)}, status=fault.status, headers=HEADERS)


async def _check_admin(service: AdminService, request: web.Request, body: bytes, *, now: float) -> Account:
    parameters = parse_parameters(request.rel_url.raw_query_string)
    caller = await authenticate(service, parameters, now=now)
    if not parameters.text("expires"):
        raise ApiError(ApiError.UNAUTHORISED, "This request needs signatureVersion=3 and expires.")
    mine = request_digest(request.method, request.rel_url.raw_path, body)
    if not hmac.compare_digest(mine.encode(), parameters.text("digest").lower().encode()):
        raise ApiError(ApiError.UNAUTHORISED, "The parameter digest is not that of this request.")
    if not caller.is_admin:
        raise ApiError(403, "This account is no administrator's.")
    return caller


def _read_instance(body: bytes, accounts: Sequence[Account]) -> Instance:
    """Return the instance of a JSON body; errors name the field and never repeat its value."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise ApiError(400, "The body is no JSON object.")
    for name in sorted(given.keys() - _FIELDS):
        raise ApiError(400, f"The field {name[:40]!r} is not known.")
    texts = {name: _text(given, name, default) for name, default in _TEXTS.items()}
    if texts["state"] not in STATES:
        raise ApiError(400, f"The field state is none of {', '.join(sorted(STATES))}.")
    port = given.get("port")
    if type(port) is not int or not 1 <= port <= MAX_PORT:
        raise ApiError(400, f"The field port is no number from 1 to {MAX_PORT}.")
    return Instance(
        id=_text(given, "id", None),
        account_id=_account_id(_text(given, "account", None), accounts),
        port=port,
        **{**texts, "display_name": texts["display_name"] or texts["name"]},
    )


def _text(given: dict[str, object], name: str, default: str | None) -> str:
    value = given.get(name, default)
    if not isinstance(value, str) or len(value) > _LONGEST or (default is None and not value.strip()):
        raise ApiError(400, f"The field {name} is no text of at most {_LONGEST} characters, or missing.")
    return value


def _account_id(name: str, accounts: Sequence[Account]) -> str:
    ids = [account.id for account in accounts if account.name == name]
    if not ids:
        raise ApiError(400, "The field account names no account.")
    return ids[0]


def _done(is_done: bool, otherwise: str) -> dict[str, object]:  # noqa: FBT001
    if not is_done:
        raise ApiError(404, otherwise)
    return {"success": True}

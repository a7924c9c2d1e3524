"""The demo's start page: lists the VMs and opens consoles, through the API like anybody else."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import aiohttp
from aiohttp import web

from consoleproxy.manager.model import Account
from consoleproxy.manager.signature import sign
from consoleproxy.ops.pages import SECURITY_HEADERS, PageFiles

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Seconds for an answer of the API, and how long a signature is good.
API_TIMEOUT = 20.0
SIGNATURE_LIFE = timedelta(minutes=5)


class ApiError(Exception):
    """The API said no; the text is for the person."""


class Api(Protocol):
    """The manager's API, as far as the start page needs it."""

    async def call(self, command: str, **parameters: str) -> dict[str, Any]:
        """Return the answer's inner object; raise ``ApiError`` with what the API says."""


class ApiClient:
    """Calls the manager's API with the keys of ``account``; ``close`` it."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._session: aiohttp.ClientSession | None = None
        #: The address of ``/client/api``, known once the manager listens.
        self.url = ""

    async def call(self, command: str, **parameters: str) -> dict[str, Any]:
        """Return the answer's inner object; raise ``ApiError`` with what the API says."""
        expires = (datetime.now(UTC) + SIGNATURE_LIFE).strftime("%Y-%m-%dT%H:%M:%S+0000")
        query = {"command": command, "response": "json", "apiKey": self._account.api_key, **parameters}
        query |= {"signatureVersion": "3", "expires": expires}
        query["signature"] = sign(query.items(), self._account.secret_key)
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=API_TIMEOUT))
        try:
            async with self._session.post(self.url, data=query) as answer:
                (inner,) = (await answer.json()).values()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise ApiError("The manager does not answer.") from error
        if "errortext" in inner:
            raise ApiError(str(inner["errortext"]))
        return dict(inner)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def start_routes(api: Api, files: PageFiles) -> list[web.RouteDef]:
    """Return the start page and the two calls behind it.

    They ask nobody who they are, so they must be reached on loopback only. The calls take
    and give JSON: ``[{id, name, displayname, description, state}]``, and ``{id[, token]}``
    to ``{url}`` or ``{error}`` with a 4xx status.
    """

    async def page(request: web.Request) -> web.Response:
        return files.answer(request, "start.html")

    async def static(request: web.Request) -> web.Response:
        return files.answer(request, request.match_info["name"])

    async def favicon(request: web.Request) -> web.Response:
        return files.answer(request, "favicon.svg")

    async def instances(_: web.Request) -> web.Response:
        return await _list_instances(api)

    async def console(request: web.Request) -> web.Response:
        return await _create_console(api, request)

    return [
        web.get("/", _local(page)),
        web.get("/static/{name:.+}", _local(static)),
        web.get("/favicon.ico", _local(favicon)),
        web.get("/demo/instances", _local(instances)),
        web.post("/demo/console", _local(console)),
    ]


async def _list_instances(api: Api) -> web.Response:
    try:
        answer = await api.call("listVirtualMachines")
    except ApiError as error:
        return _error(str(error), 502)
    shown = ("id", "name", "displayname", "description", "state")
    rows = [{name: machine.get(name, "") for name in shown} for machine in answer.get("virtualmachine", [])]
    return _json(rows)


async def _create_console(api: Api, request: web.Request) -> web.Response:
    # A page of another site can post a form or text without asking; JSON it cannot.
    if request.content_type != "application/json":
        return _error("The request is not application/json.", 415)
    try:
        asked = await request.json()
    except (ValueError, LookupError, RecursionError):
        return _error("The request is not JSON.", 400)
    instance_id, extra = (asked.get("id"), asked.get("token", "")) if isinstance(asked, dict) else (None, "")
    if not isinstance(instance_id, str) or not isinstance(extra, str):
        return _error("The request needs an id, and token, if given, must be a text.", 400)
    if not extra.isprintable() or not instance_id.isprintable():
        return _error("The request holds characters that cannot stand in an address.", 400)
    try:
        token = {"token": extra} if extra else {}
        answer = await api.call("createConsoleEndpoint", virtualmachineid=instance_id, **token)
    except ApiError as error:
        return _error(str(error), 400)
    made = answer["consoleendpoint"]
    return _json({"url": made["url"]}) if made["success"] else _error(made["details"], 409)


def _local(handler: Handler) -> Handler:
    """Refuse names that are not this machine's: a site whose name was bent to loopback must not get in."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        try:
            host = request.url.host or ""
        except ValueError:
            host = ""
        if not is_local_name(host):
            return _error("This start page answers to localhost only.", 403)
        response = await handler(request)
        response.headers.update(SECURITY_HEADERS)
        return response

    return guarded


def is_local_name(host: str) -> bool:
    """Say whether ``host`` is an address, which nobody can bend, or the name localhost."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def _json(value: object, status: int = 200) -> web.Response:
    return web.json_response(value, status=status, headers={"Cache-Control": "no-store"})


def _error(sentence: str, status: int) -> web.Response:
    return _json({"error": sentence}, status)

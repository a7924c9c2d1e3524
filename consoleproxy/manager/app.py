"""What the manager of the demo answers over HTTP: the start page and the two calls behind it."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable

from aiohttp import web

from consoleproxy.errors import Refused
from consoleproxy.manager.service import ConsoleService, Instance
from consoleproxy.ops.pages import SECURITY_HEADERS, PageFiles

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Bytes of a request's body: an id and an extra token fit.
MAX_BODY = 4096


def start_app(service: ConsoleService, files: PageFiles) -> web.Application:
    """Return the application with the start page, ``GET /demo/instances`` and ``POST /demo/console``.

    It asks nobody who they are, so it must listen on loopback only. The calls take and give
    JSON: ``[{id, name, displayname, description, state}]``, and ``{id[, token]}`` to ``{url}``
    or ``{error}`` with a 4xx status.
    """

    async def page(request: web.Request) -> web.Response:
        return files.answer(request, "start.html")

    async def static(request: web.Request) -> web.Response:
        return files.answer(request, request.match_info["name"])

    async def favicon(request: web.Request) -> web.Response:
        return files.answer(request, "favicon.svg")

    async def instances(_: web.Request) -> web.Response:
        return _json([_shown(instance) for instance in service.instances])

    async def console(request: web.Request) -> web.Response:
        return await _create_console(service, request)

    app = web.Application(client_max_size=MAX_BODY, middlewares=[_only_local_pages])
    app.router.add_get("/", page)
    app.router.add_get("/static/{name:.+}", static)
    app.router.add_get("/favicon.ico", favicon)
    app.router.add_get("/demo/instances", instances)
    app.router.add_post("/demo/console", console)
    return app


async def _create_console(service: ConsoleService, request: web.Request) -> web.Response:
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
    if not extra.isprintable():
        return _error("The token holds characters that cannot stand in an address.", 400)
    try:
        made = service.create_endpoint(instance_id, extra=extra, source_address=request.remote or "")
    except Refused as error:
        return _error(error.sentence, error.http_status)
    return _json({"url": made.url})


@web.middleware
async def _only_local_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse names that are not this machine's: a site whose name was bent to loopback must not get in."""
    try:
        host = request.url.host or ""
    except ValueError:
        host = ""
    if not is_local_name(host):
        return _error("This start page answers to localhost only.", 403)
    response = await handler(request)
    response.headers.update(SECURITY_HEADERS)
    return response


def is_local_name(host: str) -> bool:
    """Say whether ``host`` is an address, which nobody can bend, or the name localhost."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def _shown(instance: Instance) -> dict[str, str]:
    return {
        "id": instance.id,
        "name": instance.name,
        "displayname": instance.display_name,
        "description": instance.description,
        "state": "Running",
    }


def _json(value: object, status: int = 200) -> web.Response:
    return web.json_response(value, status=status, headers={"Cache-Control": "no-store"})


def _error(sentence: str, status: int) -> web.Response:
    return _json({"error": sentence}, status)

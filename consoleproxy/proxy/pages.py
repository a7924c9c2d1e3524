"""What the public ports answer beside consoles: the page, its files, a bare readiness."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from consoleproxy.ops.pages import PageFiles, not_found
from consoleproxy.ops.routes import Readiness, ready_answer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: CloudStack's own address of the page, and ours.
CONSOLE_PATHS = ("/resource/noVNC/vnc.html", "/console")


def public_app(files: PageFiles | None, readiness: Readiness, *, is_shared: bool) -> web.Application:
    """Return the application of a public port.

    ``files`` is none on a port for websockets only. ``is_shared`` says that consoles come
    in on the same port: then each answer closes its connection, since a balancer may send
    an upgrade down a connection that it has kept, where aiohttp would meet it.
    """

    async def readyz(_: web.Request) -> web.Response:
        return ready_answer(readiness, verbose=False)

    async def close_connection(_: web.Request, response: web.StreamResponse) -> None:
        response.force_close()
        response.headers["Connection"] = "close"

    app = web.Application(middlewares=[_plain_errors], client_max_size=1)
    app.router.add_get("/readyz", readyz)
    if files is not None:
        _add_pages(app, files)
    if is_shared:
        app.on_response_prepare.append(close_connection)
    return app


def _add_pages(app: web.Application, files: PageFiles) -> None:
    async def page(request: web.Request) -> web.Response:
        return files.answer(request, "console.html")

    async def static(request: web.Request) -> web.Response:
        return files.answer(request, request.match_info["name"])

    async def favicon(request: web.Request) -> web.Response:
        return files.answer(request, "favicon.svg")

    for path in CONSOLE_PATHS:
        app.router.add_get(path, page)
    app.router.add_get("/static/{name:.+}", static)
    app.router.add_get("/favicon.ico", favicon)


@web.middleware
async def _plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every unknown address alike, with the headers that every answer has."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status == web.HTTPNotFound.status_code:
            return not_found()
        raise

"""The operators' port: numbers and health, never open to the public."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

#: Tells whether new consoles are welcome, and each part's state in words.
Readiness = Callable[[], tuple[bool, dict[str, str]]]


def ops_app(
    registry: CollectorRegistry, readiness: Readiness, *, refresh: Callable[[], Awaitable[None]] | None = None
) -> web.Application:
    """Return the application with ``/metrics``, ``/livez`` and ``/readyz`` (``?verbose``).

    ``refresh`` is awaited before the metrics are read.
    """

    async def metrics(_: web.Request) -> web.Response:
        if refresh is not None:
            await refresh()
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(request: web.Request) -> web.Response:
        return ready_answer(readiness, verbose="verbose" in request.query)

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/livez", livez), web.get("/readyz", readyz)])
    return app


def ready_answer(readiness: Readiness, *, verbose: bool) -> web.Response:
    """Return 200 or 503, with the parts' states only where ``verbose``."""
    is_ready, parts = readiness()
    lines = [f"{name}: {state}" for name, state in parts.items()] if verbose else []
    text = "\n".join([*lines, "ready" if is_ready else "not ready"]) + "\n"
    return web.Response(text=text, status=200 if is_ready else 503)

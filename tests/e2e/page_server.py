"""A stand-in for the proxy and the manager: serves the page, and does on its websocket what a test says.

Nothing here is scripted ahead: a test opens the page, takes the websocket with
``await server.viewer()`` and plays the proxy from there, one line after the other.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import WSMsgType, web
from aiohttp.typedefs import Handler

PAGES = Path(__file__).resolve().parents[2] / "novnc_static"
NOVNC = PAGES / "node_modules" / "@novnc" / "novnc"

#: What the real servers send with every page: nothing inline, nothing from elsewhere.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self' ws: wss:; font-src 'self'; base-uri 'none'; form-action 'none'"
)

#: How long a page may take for its next word, in seconds.
PATIENCE = 20.0

#: Sizes of the client messages of fixed length, type byte included (RFC 6143 section 7.5).
FIXED_SIZES = {0: 20, 3: 10, 4: 8, 5: 6}

Colour = tuple[int, int, int]


@dataclass
class Viewer:
    """One websocket of a page, seen from the proxy's side."""

    request: web.Request
    websocket: web.WebSocketResponse
    stream: asyncio.StreamReader = field(default_factory=asyncio.StreamReader)
    keys: list[tuple[int, bool]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def query(self) -> str:
        """The query as it came, percent signs and all."""
        return self.request.rel_url.raw_query_string

    async def say_state(self, state: str, name: str = "Demo VM") -> None:
        """Tell the page one step."""
        await self.websocket.send_json({"event": "state", "state": state, "name": name})

    async def end(self, reason: str, code: int, text: str, ref: str = "k3x9m2pq") -> None:
        """End the console as the proxy does: the sentence first, then the close."""
        await self.websocket.send_json({"event": "end", "reason": reason, "code": code, "text": text, "ref": ref})
        await self.close(code, f"{reason} ref={ref}")

    async def close(self, code: int, reason: str = "") -> None:
        """Close without a word."""
        await self.websocket.close(code=code, message=reason.encode())

    async def wait_for_close(self) -> None:
        """Wait until the page has closed."""
        async with asyncio.timeout(PATIENCE):
            await self._ended.wait()

    async def cut(self) -> None:
        """Break the connection as a failing network does."""
        assert self.request.transport is not None
        self.request.transport.abort()

    async def open_screen(self, colour: Colour, *, size: tuple[int, int] = (320, 200), name: str = "QEMU") -> None:
        """Do the RFB handshake without a password, and paint the whole screen in one colour."""
        send = self.websocket.send_bytes
        await send(b"RFB 003.008\n")
        assert await self.read(12) == b"RFB 003.008\n"
        await send(b"\x01\x01")
        assert await self.read(1) == b"\x01"
        await send(bytes(4))
        await self.read(1)  # ClientInit
        pixel_format = struct.pack(">BBBBHHHBBB3x", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
        await send(struct.pack(">HH", *size) + pixel_format + struct.pack(">I", len(name)) + name.encode())
        while await self._read_message() != 3:
            pass
        await self.paint(colour, size=size)

    async def paint(self, colour: Colour, *, size: tuple[int, int] = (320, 200)) -> None:
        """Send one raw rectangle as large as the screen (RFC 6143 section 7.6.1)."""
        pixels = bytes((*colour, 0)) * (size[0] * size[1])  # noVNC asks for red in the lowest byte
        await self.websocket.send_bytes(struct.pack(">BxHHHHHi", 0, 1, 0, 0, *size, 0) + pixels)

    async def wait_for_keys(self, count: int) -> list[tuple[int, bool]]:
        """Return the first ``count`` key events, as keysym and whether it went down."""
        while len(self.keys) < count:
            await self._read_message()
        return self.keys[:count]

    async def read(self, size: int) -> bytes:
        """Return the page's next ``size`` bytes."""
        async with asyncio.timeout(PATIENCE):
            return await self.stream.readexactly(size)

    async def _read_message(self) -> int:
        """Read one client message and return its type."""
        kind = (await self.read(1))[0]
        if kind == 2:
            (count,) = struct.unpack(">xH", await self.read(3))
            await self.read(4 * count)
            return kind
        body = await self.read(FIXED_SIZES[kind] - 1)
        if kind == 4:
            down, keysym = struct.unpack(">B2xI", body)
            self.keys.append((keysym, bool(down)))
        return kind

    async def receive(self) -> None:
        """Take what the page sends until the websocket ends."""
        async for message in self.websocket:
            if message.type is WSMsgType.BINARY:
                self.stream.feed_data(message.data)
            else:
                self.texts.append(str(message.data))
        self.stream.feed_eof()
        self._ended.set()


class PageServer:
    """Serves the pages on a free port of 127.0.0.1; the fields below are the test's to set."""

    def __init__(self) -> None:
        self.port = 0
        self.subprotocols: tuple[str, ...] = ("consoleproxy.v1", "binary")
        self.machines: object = []
        self.machines_status = 200
        self.console_answer: tuple[int, object] = (200, {"url": "/console?token=demo"})
        self.asked_for: list[object] = []
        self.missing: list[str] = []
        self.is_viewer_installed = True
        self._viewers: asyncio.Queue[Viewer] = asyncio.Queue()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def viewer(self) -> Viewer:
        """Wait for the next websocket."""
        async with asyncio.timeout(PATIENCE):
            return await self._viewers.get()

    @property
    def viewers_waiting(self) -> int:
        """How many websockets came that no test took."""
        return self._viewers.qsize()

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/", self._file("start.html"))
        for path in ("/console", "/resource/noVNC/vnc.html"):
            app.router.add_get(path, self._file("console.html"))
        app.router.add_get("/static/novnc/{path:.+}", self._novnc)
        app.router.add_get("/static/{name}", self._static)
        app.router.add_get("/websockify", self._websocket)
        app.router.add_get("/demo/instances", self._instances)
        app.router.add_post("/demo/console", self._console)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except web.HTTPNotFound:
            self.missing.append(request.path)
            raise
        if not response.prepared:
            response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
            response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    @staticmethod
    def _file(name: str) -> Handler:
        async def answer(_request: web.Request) -> web.StreamResponse:
            return web.FileResponse(PAGES / name)

        return answer

    async def _static(self, request: web.Request) -> web.FileResponse:
        path = PAGES / request.match_info["name"]
        if not path.is_file() or path.suffix not in {".js", ".css", ".svg"}:
            raise web.HTTPNotFound
        return web.FileResponse(path)

    async def _novnc(self, request: web.Request) -> web.FileResponse:
        path = (NOVNC / request.match_info["path"]).resolve()
        if not self.is_viewer_installed or not path.is_relative_to(NOVNC.resolve()) or not path.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(path)

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(protocols=self.subprotocols)
        await websocket.prepare(request)
        viewer = Viewer(request, websocket)
        self._viewers.put_nowait(viewer)
        await viewer.receive()
        return websocket

    async def _instances(self, _request: web.Request) -> web.Response:
        return web.json_response(self.machines, status=self.machines_status)

    async def _console(self, request: web.Request) -> web.Response:
        self.asked_for.append(await request.json())
        status, answer = self.console_answer
        return web.json_response(answer, status=status)


@asynccontextmanager
async def serve() -> AsyncIterator[PageServer]:
    """Run a ``PageServer`` until the block ends."""
    server = PageServer()
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()

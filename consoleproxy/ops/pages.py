"""The files of the pages: ours and noVNC's, read once, served from memory.

In a wheel they lie beside the package, in a checkout in ``novnc_static``. Nothing
outside these two folders can be asked for: the list is made at start, and a request
is a look-up in it.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from consoleproxy.errors import ConfigError

#: Nothing inline, nothing from elsewhere; a console opens websockets to wherever its port says.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self' ws: wss:; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
#: Browsers may keep the files but ask each time: a new version shows at once.
REVALIDATE = "no-cache"
#: A page's address holds a token: nothing of it is kept.
KEEP_NOTHING = "no-store"

_PAGE_FILES = {".html", ".js", ".css", ".svg"}
_TYPES = {".js": "text/javascript", ".html": "text/html", ".css": "text/css", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file as it is sent."""

    body: bytes
    content_type: str
    etag: str


class PageFiles:
    """All files by their path below ``/static/``; noVNC's are below ``novnc/``."""

    def __init__(self, pages: Path, novnc: Path) -> None:
        self._files = dict(_read(pages, novnc))

    def __len__(self) -> int:
        """Count the files."""
        return len(self._files)

    def answer(self, request: web.Request, name: str) -> web.Response:
        """Return the file ``name``, 304 where the browser has it, or 404."""
        file = self._files.get(name)
        if file is None:
            return not_found()
        is_page = file.content_type == "text/html"
        caching = {"Cache-Control": KEEP_NOTHING} if is_page else {"Cache-Control": REVALIDATE, "ETag": file.etag}
        headers = {**SECURITY_HEADERS, **caching}
        if request.headers.get("If-None-Match") == file.etag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.body, content_type=file.content_type, charset="utf-8", headers=headers)


def find_page_files() -> PageFiles:
    """Return the files of the wheel or of the checkout; raise ``ConfigError`` where noVNC is missing."""
    package = Path(__file__).parent.parent
    checkout = package.parent / "novnc_static"
    for pages, novnc in (
        (package / "static", package / "static" / "novnc"),
        (checkout, checkout / "node_modules" / "@novnc" / "novnc"),
    ):
        if (pages / "console.html").is_file() and (novnc / "core" / "rfb.js").is_file():
            return PageFiles(pages, novnc)
    raise ConfigError(f"noVNC's files are not below {checkout}: run `make venv` in the checkout to install them")


def not_found() -> web.Response:
    """Return a 404 that tells nothing."""
    return web.Response(status=404, text="not found\n", headers=SECURITY_HEADERS)


def _read(pages: Path, novnc: Path) -> Iterator[tuple[str, PageFile]]:
    for path in pages.iterdir():
        if path.suffix in _PAGE_FILES:
            yield path.name, _page_file(path)
    for folder in ("core", "vendor"):
        for path in (novnc / folder).rglob("*.js"):
            yield f"novnc/{path.relative_to(novnc).as_posix()}", _page_file(path)
    yield "novnc/LICENSE.txt", _page_file(novnc / "LICENSE.txt")


def _page_file(path: Path) -> PageFile:
    body = path.read_bytes()
    content_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return PageFile(body, content_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"')

"""Puts the console page and noVNC into the wheel; hatchling runs this while it builds one.

A wheel has them in ``consoleproxy/static`` and ``consoleproxy/static/novnc``. A source
checkout (an editable install) serves ``novnc_static`` itself, so nothing is done for it.
noVNC is taken as it is, with its licence texts: MPL-2.0 asks for no more.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PAGE = "novnc_static"
PAGE_SUFFIXES = {".css", ".html", ".ico", ".js", ".png", ".svg"}
NOVNC = f"{PAGE}/node_modules/@novnc/novnc"
NOVNC_PARTS = ("core", "vendor", "LICENSE.txt", "AUTHORS", "docs/LICENSE*")
NPM_MISSING = "npm is missing: it fetches noVNC for the console page. Install it with:  sudo apt-get install -y npm"


class PageFilesHook(BuildHookInterface):  # type: ignore[type-arg]  # its argument is only ever one kind
    """Adds the page files to a wheel; fails with a sentence where noVNC cannot be had."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name every file that the wheel takes from outside the package."""
        if version == "editable":
            return
        root = Path(self.root)
        install_novnc(root)
        build_data["force_include"].update(page_files(root))
        build_data["force_include"].update(novnc_files(root))


def page_files(root: Path) -> dict[str, str]:
    """Map our own page files to their places in the wheel."""
    page = root / PAGE
    return {
        str(file): f"consoleproxy/static/{file.relative_to(page)}"
        for file in _files(page)
        if file.suffix in PAGE_SUFFIXES and "node_modules" not in file.relative_to(page).parts
    }


def novnc_files(root: Path) -> dict[str, str]:
    """Map noVNC's modules and licence texts to their places in the wheel."""
    novnc = root / NOVNC
    return {
        str(file): f"consoleproxy/static/novnc/{file.relative_to(novnc)}"
        for part in NOVNC_PARTS
        for found in novnc.glob(part)
        for file in _files(found)
    }


def install_novnc(root: Path) -> None:
    """Have npm fetch the locked noVNC, unless it is there."""
    if _installed_version(root) == _locked_version(root):
        return
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError(NPM_MISSING)
    subprocess.run([npm, "ci", "--ignore-scripts"], cwd=root / PAGE, check=True)  # noqa: S603  # a fixed command


def _installed_version(root: Path) -> str:
    manifest = root / NOVNC / "package.json"
    return str(json.loads(manifest.read_text())["version"]) if manifest.exists() else ""


def _locked_version(root: Path) -> str:
    lock = json.loads((root / PAGE / "package-lock.json").read_text())
    return str(lock["packages"]["node_modules/@novnc/novnc"]["version"])


def _files(path: Path) -> Iterator[Path]:
    """Walk a folder in a fixed order, so that the same sources give the same wheel."""
    if path.is_file():
        yield path
    elif path.is_dir():
        for below in sorted(path.iterdir()):
            yield from _files(below)

"""The layers of the package, as data, and the checks that hold the imports to them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = "consoleproxy"
ROOT = Path(__file__).resolve().parent.parent / PACKAGE

#: From the top down. A part imports from lower lines only; those on one line are strangers.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"__main__"}),
    frozenset({"cli"}),
    frozenset({"demo"}),
    frozenset({"proxy", "manager"}),
    frozenset({"backends", "links"}),
    frozenset({"net", "ops"}),
    frozenset({"messages"}),
    frozenset({"access", "wire", "config"}),
    frozenset({"errors"}),
)

#: Who may know the start-up settings (a part stands for all its modules); everybody else gets plain arguments.
CONFIG_IMPORTERS = frozenset({"cli", "demo", "proxy.app", "manager.app", "ops.logs"})

#: Who may ask the package itself for its version.
ROOT_IMPORTERS = frozenset({"cli", "proxy.control", "proxy.pages"})

PURE = frozenset({"wire", "access"})

#: What would let a pure part wait, look at the clock, draw lots, speak, or touch files and sockets.
IMPURE_IMPORTS = frozenset(
    {
        "aiohttp", "asyncio", "http", "io", "logging", "os", "pathlib", "prometheus_client", "random", "secrets",
        "select", "selectors", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading",
        "time", "urllib.request", "uvloop",
    }
)  # fmt: skip
IMPURE_CALLS = frozenset({"open", "input", "print"})
AWAITING = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)

#: Licences that fit the tests, but not the package.
NEVER_IMPORTED = frozenset({"asyncvnc"})


@dataclass(frozen=True, slots=True)
class Module:
    """A module of the package; ``name`` is dotted and without the package's own name (``net.stream``)."""

    name: str
    is_package: bool
    tree: ast.Module

    @property
    def part(self) -> str:
        """The name that stands in ``LAYERS``."""
        return self.name.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Import:
    """One imported thing: ``name`` is dotted, as far down as the statement says."""

    name: str
    line: int


# --- the checks -----------------------------------------------------------------------


def faults(root: Path) -> list[str]:
    """Check every module under ``root`` and return a sentence for each fault."""
    return [fault for module in modules(root) for fault in _faults_of(module)]


def modules(root: Path) -> list[Module]:
    """Parse every module below ``root``, except the package's own ``__init__``."""
    found = []
    for path in sorted(root.rglob("*.py")):
        steps = path.relative_to(root).with_suffix("").parts
        is_package = steps[-1] == "__init__"
        name = ".".join(steps[:-1] if is_package else steps)
        if name:
            found.append(Module(name, is_package, ast.parse(path.read_text(), str(path))))
    return found


def imports(module: Module) -> Iterator[Import]:
    """Yield what a module imports, wherever in it: at the top, in a function, for the type checker or by a string."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (Import(f"{_origin(node, module)}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in {"import_module", "__import__"} and node.args:
            name = node.args[0]
            yield Import(str(name.value) if isinstance(name, ast.Constant) else "?", node.lineno)


def _faults_of(module: Module) -> Iterator[str]:
    here = _layer(module.part)
    if here is None:
        yield f"{module.name}: {module.part} stands in no layer"
        return
    for imported in imports(module):
        if fault := _fault_of_import(module, here, imported):
            yield f"{module.name}:{imported.line}: {fault}"
    if module.part in PURE:
        yield from (f"{module.name}:{line}: pure, but {fault}" for line, fault in _impurities(module))


def _fault_of_import(module: Module, here: int, imported: Import) -> str:
    first, _, below = imported.name.partition(".")
    if first == PACKAGE:
        return _fault_of_own_import(module, here, below)
    if first in NEVER_IMPORTED:
        return f"imports {first}, whose licence does not fit"
    return "imports what cannot be told beforehand" if first == "?" else ""


def _fault_of_own_import(module: Module, here: int, imported: str) -> str:
    part = imported.partition(".")[0]
    there = _layer(part)
    if there is None:
        return "" if _is_among(module.name, ROOT_IMPORTERS) else f"imports {part or 'everything'} of the package itself"
    if part == "config" and not _is_among(module.name, CONFIG_IMPORTERS | {"config"}):
        return "imports config, which is not for it"
    if part != module.part and there == here:
        return f"imports its stranger {part}"
    return f"imports {part} from above" if there < here else ""


def _impurities(module: Module) -> Iterator[tuple[int, str]]:
    for imported in imports(module):
        if any(f"{imported.name}.".startswith(f"{name}.") for name in IMPURE_IMPORTS):
            yield imported.line, f"imports {imported.name}"
    for node in ast.walk(module.tree):
        if isinstance(node, AWAITING):
            yield node.lineno, "waits"
        elif isinstance(node, ast.comprehension) and node.is_async:
            yield node.target.lineno, "waits"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
            yield node.lineno, f"calls {node.func.id}"


def _layer(part: str) -> int | None:
    return next((depth for depth, layer in enumerate(LAYERS) if part in layer), None)


def _is_among(name: str, allowed: frozenset[str]) -> bool:
    """Tell whether a module, or a package that it lies in, is in the list."""
    return any(name == entry or name.startswith(f"{entry}.") for entry in allowed)


def _origin(node: ast.ImportFrom, module: Module) -> str:
    """Spell out a relative import from the package's name down."""
    if not node.level:
        return node.module or ""
    here = [PACKAGE, *module.name.split(".")]
    up = node.level - 1 if module.is_package else node.level
    return ".".join([*here[: len(here) - up], *([node.module] if node.module else [])])


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", "") or getattr(node.func, "id", "")


# --- the package ----------------------------------------------------------------------


def test_the_package_keeps_its_layers() -> None:
    """No module of the package imports from above, from a stranger, or what its part may not know."""
    assert [] == faults(ROOT)


def test_the_map_names_every_part() -> None:
    """The package's docstring lists exactly the parts that are there, from the top down."""
    docstring = ast.get_docstring(ast.parse((ROOT / "__init__.py").read_text())) or ""
    listed = re.findall(r"^``(\w+)`` ", docstring, re.MULTILINE)
    assert {module.part for module in modules(ROOT)} - {"__main__"} == set(listed)
    assert sorted(listed, key=lambda part: _layer(part) or 0) == listed


def test_the_package_itself_imports_nothing() -> None:
    """Importing ``consoleproxy`` starts nothing and pulls in no part."""
    root = Module("", is_package=True, tree=ast.parse((ROOT / "__init__.py").read_text()))
    assert [] == list(imports(root))


# --- the checks themselves ------------------------------------------------------------


def package(folder: Path, path: str, source: str) -> Path:
    """Write a package with a single module."""
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source)
    return folder


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        ("wire/rfb.py", "from consoleproxy.net.stream import Channel", "imports net from above"),
        ("net/stream.py", "def f():\n    import consoleproxy.proxy.app", "imports proxy from above"),
        ("net/stream.py", "if TYPE_CHECKING:\n    from consoleproxy import links", "imports links from above"),
        ("net/__init__.py", "from ..proxy import app", "imports proxy from above"),
        ("net/stream.py", "from .. import proxy", "imports proxy from above"),
        ("net/stream.py", "importlib.import_module('consoleproxy.cli')", "imports cli from above"),
        ("net/stream.py", "importlib.import_module(name)", "imports what cannot be told beforehand"),
        ("proxy/app.py", "import consoleproxy.manager.store", "imports its stranger manager"),
        ("ops/metrics.py", "from consoleproxy.net import tasks", "imports its stranger net"),
        ("access/token.py", "from consoleproxy.wire import reader", "imports its stranger wire"),
        ("proxy/relay.py", "from consoleproxy.config import Settings", "imports config, which is not for it"),
        ("ops/metrics.py", "from consoleproxy import config", "imports config, which is not for it"),
        ("net/stream.py", "from consoleproxy import __version__", "imports __version__ of the package itself"),
        ("net/stream.py", "import consoleproxy", "imports everything of the package itself"),
        ("net/stream.py", "import asyncvnc", "imports asyncvnc, whose licence does not fit"),
        ("helpers/text.py", "", "helpers stands in no layer"),
        ("wire/rfb.py", "async def f(): ...", "pure, but waits"),
        ("wire/rfb.py", "x = [await y for y in z]", "pure, but waits"),
        ("wire/rfb.py", "async def f():\n    return [y async for y in z]", "pure, but waits"),
        ("wire/rfb.py", "from asyncio import Queue", "pure, but imports asyncio.Queue"),
        ("wire/rfb.py", "import os.path", "pure, but imports os.path"),
        ("wire/rfb.py", "from urllib import request", "pure, but imports urllib.request"),
        ("access/token.py", "def f():\n    import time", "pure, but imports time"),
        ("access/token.py", "key = open('key').read()", "pure, but calls open"),
    ],
)
def test_a_fault_is_found(tmp_path: Path, path: str, source: str, fault: str) -> None:
    """Each kind of wrong import and impurity is told, with its module."""
    found = faults(package(tmp_path, path, source))
    assert any(line.endswith(fault) for line in found), found
    assert all(line.startswith(path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")) for line in found)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("__main__.py", "from consoleproxy.cli import main"),
        ("cli/__init__.py", "from consoleproxy import __version__, config, demo"),
        ("cli/serve.py", "from consoleproxy.config import Settings"),
        ("proxy/app.py", "from consoleproxy.config import Settings\nfrom consoleproxy.wire import reader"),
        ("proxy/console.py", "from .relay import Relay\nfrom ..errors import Refused"),
        ("proxy/__init__.py", "from . import console"),
        ("proxy/pages.py", "from consoleproxy import __version__"),
        ("ops/logs.py", "from consoleproxy.config import Settings"),
        (
            "wire/rfb.py",
            "import struct\nfrom consoleproxy.errors import RemoteProtocolError\nfrom .reader import Reader",
        ),
        ("wire/rfb.py", "import ostrich, timeless\nsocket.open(1)"),
        (
            "config/__init__.py",
            "from consoleproxy.config.kinds import Port\nfrom consoleproxy.errors import ConfigError",
        ),
    ],
)
def test_a_fit_import_passes(tmp_path: Path, path: str, source: str) -> None:
    """Imports from below, from the same part, and by those who are listed are nobody's fault."""
    assert [] == faults(package(tmp_path, path, source))

"""The wheel: what is in it, and that it runs with nothing but the locked packages beside it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from urllib.request import urlopen

import pytest

import consoleproxy
import hatch_build

ROOT = Path(__file__).resolve().parent.parent
#: Seconds that a demo may take to come up, or to end, on a busy machine.
PATIENCE = 60


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the source folder."""
    return build("--wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel where only the runtime lock's packages are at hand, and return the command's path."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, symlinks=True)
    site = next(home.glob("lib/python*/site-packages"))
    for name in locked():
        link_distribution(name, site)
    pip = (sys.executable, "-m", "pip", "--quiet", "--python", home / "bin" / "python")
    run(*pip, "install", "--no-deps", "--no-index", wheel)
    return home / "bin" / "consoleproxy"


def build(kind: str, folder: Path) -> Path:
    """Build one archive and return its path."""
    run(sys.executable, "-m", "build", "--no-isolation", kind, "--outdir", folder, ROOT)
    return next(folder.iterdir())


def locked() -> list[str]:
    """Name what the runtime lock pins."""
    return re.findall(r"^([\w.-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE)


def link_distribution(name: str, site: Path) -> None:
    """Put an installed package into another environment, as links: quick, and without a download."""
    found = distribution(name)
    for top in {file.parts[0] for file in found.files or []} - {"..", "__pycache__"}:
        (site / top).symlink_to(str(found.locate_file(top)))


def environment() -> dict[str, str]:
    """The surroundings of a user's shell: nothing in them leads to the source folder."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command to its end and return what it printed; a failure shows what it said."""
    done = subprocess.run(
        command, cwd=cwd, env=environment(), check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def contents(archive: Path) -> set[str]:
    """List the files of a wheel."""
    with zipfile.ZipFile(archive) as opened:
        return {name for name in opened.namelist() if not name.endswith("/")}


def fetch(address: str) -> tuple[str, str]:
    """Return the media type and the text of a page."""
    with urlopen(address, timeout=PATIENCE) as answer:  # noqa: S310  # the address is the program's own
        return answer.headers.get_content_type(), answer.read().decode()


@contextmanager
def demo(program: Path, cwd: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Start the demo on free ports and hand out its process and what it says of itself."""
    with subprocess.Popen(
        [program, "demo", "--json"], cwd=cwd, env=environment(), text=True, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            # Asked, it removes its guest and its files; it is killed only when it does not listen.
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def test_the_wheel_carries_the_page_and_novnc(wheel: Path) -> None:
    """The wheel has every page file, noVNC's modules and all licence texts, and neither tests nor npm's own files."""
    files = contents(wheel)
    page = {file.name for file in (ROOT / "novnc_static").iterdir() if file.suffix in {".html", ".js", ".css", ".svg"}}
    assert "console.html" in page
    assert set() == {f"consoleproxy/static/{name}" for name in page} - files
    novnc = ("core/rfb.js", "vendor/pako/lib/zlib/inflate.js", "LICENSE.txt", "AUTHORS", "docs/LICENSE.MPL-2.0")
    assert set() == {f"consoleproxy/static/novnc/{name}" for name in novnc} - files
    assert f"consoleproxy-{consoleproxy.__version__}.dist-info/licenses/LICENSE" in files
    assert {"consoleproxy", f"consoleproxy-{consoleproxy.__version__}.dist-info"} == {
        name.partition("/")[0] for name in files
    }
    assert set() == {name for name in files if "node_modules" in name or name.endswith("package.json")}


def test_the_installed_program_tells_its_version(program: Path, tmp_path: Path) -> None:
    """``consoleproxy --version`` runs from the wheel, with the runtime lock's packages and no others."""
    assert consoleproxy.__version__ in run(program, "--version", cwd=tmp_path)
    where = run(program.with_name("python"), "-c", "import consoleproxy; print(consoleproxy.__file__)", cwd=tmp_path)
    assert where.startswith(str(program.parent.parent))


def test_the_installed_demo_serves_its_pages(program: Path, tmp_path: Path) -> None:
    """The demo of the wheel comes up by itself and serves the start page, the console page and noVNC."""
    with demo(program, tmp_path) as (_, told):
        assert {"start_url", "manager_url", "proxies", "instances"} <= told.keys()
        assert fetch(told["start_url"])[0] == "text/html"
        proxy = told["proxies"][0]["http_url"]
        assert fetch(urljoin(proxy, "/console"))[0] == "text/html"
        kind, script = fetch(urljoin(proxy, "/static/novnc/core/rfb.js"))
        assert kind == "text/javascript"
        assert "export default class RFB" in script


def test_an_interrupt_ends_the_demo_in_peace(program: Path, tmp_path: Path) -> None:
    """Ctrl+C ends the demo with exit code 0."""
    with demo(program, tmp_path) as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0


def test_a_build_without_npm_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where noVNC must be fetched and npm is missing, the build stops with the line that installs npm."""
    (tmp_path / "novnc_static").mkdir()
    (tmp_path / "novnc_static" / "package-lock.json").symlink_to(ROOT / "novnc_static" / "package-lock.json")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="sudo apt-get install -y npm"):
        hatch_build.install_novnc(tmp_path)


@pytest.mark.parametrize(
    ("commands", "said"),
    [
        ({"python3": "exit 0"}, "npm or python3-venv is missing"),
        ({"npm": "exit 0"}, "npm or python3-venv is missing"),
        ({"npm": "exit 0", "python3": "[[ $2 != *ensurepip* ]]"}, "npm or python3-venv is missing"),
        ({"npm": "exit 0", "python3": "[[ $1 == -V ]] && echo Python 3.9 || [[ $2 == *venv* ]]"}, "is Python 3.9."),
    ],
)
def test_make_says_what_is_missing(tmp_path: Path, commands: dict[str, str], said: str) -> None:
    """`make venv` on a bare machine, or with an old Python, stops with the line to type."""
    (tmp_path / "Makefile").symlink_to(ROOT / "Makefile")
    for name, script in commands.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{script}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        [str(shutil.which("make")), ".venv/bin/pip"],
        cwd=tmp_path,
        env={"PATH": str(tmp_path)},
        check=False,
        text=True,
        capture_output=True,
    )
    assert done.returncode != 0
    assert said in done.stderr
    assert "sudo apt-get install -y npm python3-venv" in done.stderr


@pytest.mark.slow
def test_the_source_archive_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """The source archive has all that a wheel needs: one built from it has the same files."""
    archive = build("--sdist", tmp_path / "sdist")
    run("tar", "-xzf", archive, "-C", tmp_path)
    source = tmp_path / archive.name.removesuffix(".tar.gz")
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path / "again", source)
    assert contents(wheel) == contents(next((tmp_path / "again").iterdir()))

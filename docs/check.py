"""Holds the documents to the program: `make docs` writes, `make lint` only looks.

README.md's table of settings stands between two markers and is what
``consoleproxy config --markdown`` prints. Links between the documents must lead
to files that are there.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ("*.md", "docs/**/*.md", "bench/*.md", "certs/*.md", "deploy/**/*.md")
BEGIN, END = "<!-- settings -->", "<!-- /settings -->"
LINK = re.compile(r"\]\((?!\w+:)([^)\s#]+)")


def main() -> int:
    """Check everything, write the table when told to, and return the exit code."""
    faults = [*stale_settings(write="--write" in sys.argv), *dead_links()]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def stale_settings(*, write: bool) -> Iterator[str]:
    """Tell that README.md's table is not the program's, or put it right."""
    readme = ROOT / "README.md"
    text = readme.read_text() if readme.exists() else ""
    if BEGIN not in text or END not in text.partition(BEGIN)[2]:
        yield f"README.md has no {BEGIN} and {END} to put the settings between"
        return
    before, _, rest = text.partition(BEGIN)
    fresh = f"{before}{BEGIN}\n{settings_table()}\n{END}{rest.partition(END)[2]}"
    if fresh == text:
        return
    if write:
        readme.write_text(fresh)
        print("README.md: settings written")
    else:
        yield "README.md: the settings are out of date; run:  make docs"


def settings_table() -> str:
    """Ask the program itself for its settings."""
    command = [sys.executable, "-m", "consoleproxy", "config", "--markdown"]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def dead_links() -> Iterator[str]:
    """Tell each link that leads to no file."""
    for pattern in DOCUMENTS:
        for document in sorted(ROOT.glob(pattern)):
            for target in LINK.findall(document.read_text()):
                if not (document.parent / target).exists():
                    yield f"{document.relative_to(ROOT)}: no such file: {target}"


if __name__ == "__main__":
    sys.exit(main())

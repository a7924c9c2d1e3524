"""Who this proxy is: an id that lasts, kept in the state folder, and an incarnation for each start."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from consoleproxy.errors import ConfigError

_FILE = "proxy-id"


def _random_id() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class Identity:
    """How a proxy is told from others. ``address`` is where browsers find it; empty means where it listens."""

    name: str = "proxy"
    address: str = ""
    proxy_id: str = field(default_factory=_random_id)
    incarnation: str = field(default_factory=_random_id)


def kept_proxy_id(folder: Path) -> str:
    """Return the id kept in ``folder``; at the first start make both. Raises ``ConfigError`` naming the file."""
    path = folder / _FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _place(path, _random_id())
        return str(uuid.UUID(path.read_text("ascii").strip()))
    except OSError as error:
        raise ConfigError(f"cannot keep the proxy's id in {str(path)!r}: {error.strerror or error}") from error
    except ValueError:
        raise ConfigError(f"{str(path)!r} holds no UUID: remove it, and the proxy gets a new id") from None


def _place(path: Path, text: str) -> None:
    """Write the file whole or not at all."""
    draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("x", encoding="ascii") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)

"""The key under which the manager's secrets lie in its store: a file of its own, beside no backup of the store.

Who holds the store alone learns no VNC password and no API secret. AES-256-GCM with a
random nonce of 12 bytes in front; what a secret belongs to is authenticated with it, so
that one cannot be moved to another's place.
"""

from __future__ import annotations

import base64
import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from consoleproxy.errors import ConfigError

KEY_SIZE = 32
NONCE_SIZE = 12


class MasterKey:
    """Seals and opens secrets. Get it with ``load``; ``key`` is 32 random bytes."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ConfigError(f"the master key has {len(key)} bytes, not {KEY_SIZE}")
        self._cipher = AESGCM(key)

    @classmethod
    def load(cls, path: Path | str) -> MasterKey:
        """Read the key file, or make one (mode 600) where there is none.

        Raises ``ConfigError`` where others may read the file, or it holds no key.
        """
        file = Path(path)
        try:
            if not file.exists():
                _make(file)
            mode = stat.S_IMODE(file.stat().st_mode)
            text = file.read_text("ascii")
        except OSError as error:
            raise ConfigError(f"master key {str(file)!r}: {error.strerror}") from None
        except ValueError:
            text, mode = "", 0o600
        if mode & 0o077:
            raise ConfigError(f"master key {str(file)!r} has mode {mode:03o}: nobody else may read it; set it to 600")
        return cls(_decode(text, file))

    def seal(self, secret: str, place: str) -> bytes:
        """Encrypt ``secret``; ``place`` names what it belongs to, and must be the same in ``open``."""
        nonce = secrets.token_bytes(NONCE_SIZE)
        return nonce + self._cipher.encrypt(nonce, secret.encode(), place.encode())

    def open(self, sealed: bytes, place: str) -> str:
        """Decrypt what ``seal`` returned; ``ConfigError`` where this is not its key or place."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], place.encode()).decode()
        except (InvalidTag, ValueError):
            raise ConfigError(
                f"the store's {place} does not open: the master key is not the one that the store was made with"
            ) from None


def _make(file: Path) -> None:
    """Put a whole file there or none: a key cut short would be taken for a damaged one."""
    partial = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    text = base64.b64encode(secrets.token_bytes(KEY_SIZE)) + b"\n"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        # A link, unlike a rename, does not replace the key that another start has made meanwhile.
        os.link(partial, file)
    except FileExistsError:
        pass
    finally:
        partial.unlink()
    _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _decode(text: str, file: Path) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_SIZE:
        raise ConfigError(f"master key {str(file)!r} holds no {KEY_SIZE} bytes in base64: restore it from its copy")
    return key

"""The certificate of the public ports: where it comes from, and when it is read again.

It is read from two files, again when they change, on SIGHUP, and by a call; or it is given. One
that is broken is told of and counted, and the one before is served on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry

from consoleproxy.errors import ConfigError
from consoleproxy.net.tls import KeyPair, TLSContexts
from consoleproxy.ops.metrics import tls_reload_failures, watch

log = logging.getLogger(__name__)

#: Seconds between two looks at the files.
LOOK_EVERY: Final = 2.0

#: What tells a file from the one that was there before.
_Signs: TypeAlias = tuple[tuple[int, int, int], ...]


class Certificate:
    """What is served, and its files. ``start`` watches them, ``close`` ends that.

    ``contexts`` always hold a good pair; ``on_change`` is called after each swap. Raises ``ConfigError``
    where the first pair is broken.
    """

    def __init__(
        self, chain_file: str, key_file: str, registry: CollectorRegistry, on_change: Callable[[], None]
    ) -> None:
        if not (chain_file and key_file):
            raise ConfigError("tls_cert and tls_key belong together: give both")
        self._files = (Path(chain_file), Path(key_file))
        self._on_change = on_change
        self._loaded = self._seen = self._signs()
        self.contexts = TLSContexts(KeyPair.read(*self._files))
        self._timer: asyncio.TimerHandle | None = None
        self._failures = tls_reload_failures(registry)
        self._warn_of_the_end()
        watch(
            registry,
            "consoleproxy_tls_not_after_seconds",
            "When the served certificate ends, in seconds since 1970",
            lambda: self.contexts.current.not_after,
        )

    def start(self) -> None:
        """Look at the files from now on."""
        self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def reload(self) -> bool:
        """Read the files again and serve what they hold; false when that is broken and nothing has changed."""
        self._loaded = self._seen = self._signs()
        try:
            pair = KeyPair.read(*self._files)
        except ConfigError as error:
            return self._refuse(error)
        return self.use(pair)

    def use(self, pair: KeyPair) -> bool:
        """Serve ``pair`` from now on; false when it is broken and nothing has changed."""
        try:
            self.contexts.use(pair)
        except ConfigError as error:
            return self._refuse(error)
        current = self.contexts.current
        log.info("certificate swapped", extra={"generation": current.number, "fingerprint": current.fingerprint})
        self._warn_of_the_end()
        self._on_change()
        return True

    def _refuse(self, error: ConfigError) -> bool:
        self._failures.inc()
        serving = self.contexts.current.fingerprint
        log.error("certificate not taken: %s; the one before is served on", error, extra={"fingerprint": serving})
        return False

    def _look(self) -> None:
        self.start()
        signs = self._signs()
        # Two files are not swapped in one moment: they are read when they have lain still for a while.
        if signs == self._seen != self._loaded:
            self.reload()
        self._seen = signs

    def _signs(self) -> _Signs:
        signs = []
        for path in self._files:
            try:
                status = path.stat()
                signs.append((status.st_ino, status.st_mtime_ns, status.st_size))
            except OSError:
                signs.append((0, 0, 0))
        return tuple(signs)

    def _warn_of_the_end(self) -> None:
        if self.contexts.current.not_after < time.time():
            log.warning("the TLS certificate has ended: browsers will not take it")

"""Certificates of a test, clients that trust them, and a town that serves them."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from consoleproxy.net.tls import KeyPair
from consoleproxy.ops.certs import make_certs
from tests.helpers.fake_vm import FakeVM
from tests.helpers.town import Town, town


@dataclass(frozen=True, slots=True)
class MadePair:
    """A server's pair, good for localhost and ``domain``, and the root that signed it."""

    pair: KeyPair
    root: str

    def client(self, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """Return a client that trusts the root, and speaks ``version`` only where one is given."""
        context = ssl.create_default_context(cadata=self.root)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context

    def write(self, folder: Path) -> tuple[str, str]:
        """Write chain and key, and return their paths; each file is replaced whole."""
        for name, content in (("chain.pem", self.pair.chain), ("key.pem", self.pair.key)):
            (folder / f"{name}.new").write_bytes(content)
            (folder / f"{name}.new").replace(folder / name)
        return str(folder / "chain.pem"), str(folder / "key.pem")


@cache
def made_pair(*, domain: str = "example.test", use_rsa: bool = False) -> MadePair:
    """Make a pair; the same one for the same arguments, while the tests run."""
    with TemporaryDirectory() as folder:
        make_certs(Path(folder), domain=domain, use_rsa=use_rsa)
        chain, key, root = (Path(folder, f"{name}.pem") for name in ("server-chain", "server-key", "ca-cert"))
        return MadePair(KeyPair(chain.read_bytes(), key.read_bytes()), root.read_text())


@asynccontextmanager
async def tls_town(
    made: MadePair | None = None,
    *,
    version: ssl.TLSVersion | None = None,
    vm: FakeVM | None = None,
    **changes: Any,  # noqa: ANN401 - whatever settings take
) -> AsyncIterator[Town]:
    """Run a town whose proxy serves ``made``; its viewers speak ``version`` only where one is given."""
    made = made or made_pair()
    with TemporaryDirectory() as folder:
        chain, key = made.write(Path(folder))
        async with town(vm=vm, tls_cert=chain, tls_key=key, **changes) as running:
            running.tls = made.client(version)
            yield running

"""A certificate that changes, seen from outside: by whichever process answers."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from pathlib import Path

import pytest

from consoleproxy.net.tls import TLSContexts
from tests.helpers.tls import MadePair, made_pair
from tests.helpers.town import town

pytestmark = pytest.mark.usefixtures("no_sockets_left_open")


async def see(port: int) -> str:
    """Return the fingerprint of what the port serves."""

    def ask() -> str:
        return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port), timeout=5)).hex()

    return hashlib.sha256(bytes.fromhex(await asyncio.get_running_loop().run_in_executor(None, ask))).hexdigest()


def fingerprint(made: MadePair) -> str:
    """Return the fingerprint that ``see`` should."""
    return TLSContexts(made.pair).current.fingerprint


async def test_a_swap_reaches_whoever_carries(tmp_path: Path) -> None:
    """After a reload every connection gets the new pair; after one of a broken pair, the old; the session goes on."""
    first, second = made_pair(), made_pair(domain="second.test")
    chain, key = first.write(tmp_path)
    async with town(tls_cert=chain, tls_key=key) as made:
        assert made.proxy.certificate is not None
        made.tls = first.client()
        viewer = await made.view()
        for pair in (second, first):
            pair.write(tmp_path)
            assert made.proxy.certificate.reload()
            async with asyncio.timeout(10):
                while [fingerprint(pair)] * 8 != [await see(made.port) for _ in range(8)]:  # noqa: ASYNC110 - a swap sends no event
                    await asyncio.sleep(0.05)
        Path(key).write_text("broken")
        assert not made.proxy.certificate.reload()
        assert [fingerprint(first)] * 8 == [await see(made.port) for _ in range(8)]
        await made.vm.send(b"still here")
        assert b"still here" == await viewer.read(10)
        await viewer.close()

"""TLS at the door: the handshake of a connection that came in, under its deadline, and what became of it."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from consoleproxy.errors import PeerClosed, TLSFailed
from consoleproxy.net.stream import SocketStream
from consoleproxy.net.tls import TLSContexts
from consoleproxy.net.tls_stream import TLSStream
from consoleproxy.ops.metrics import ProxyMetrics
from consoleproxy.proxy.request import plain_answer

log = logging.getLogger(__name__)

_SPEAKS_HTTPS: Final = plain_answer("400 Bad Request", "This port speaks https: write https:// in the address.")


class TLSDoor:
    """Lets connections in through TLS with what ``contexts`` holds at that moment."""

    def __init__(self, contexts: TLSContexts, metrics: ProxyMetrics) -> None:
        self._contexts = contexts
        self._metrics = metrics

    async def accept(self, stream: SocketStream, seconds: float) -> TLSStream:
        """Shake hands within ``seconds``; raise ``PeerClosed`` where it fails, after it was counted.

        ``stream`` belongs to what is returned, and stays the caller's where nothing is.
        """
        try:
            async with asyncio.timeout(seconds):
                try:
                    return await TLSStream.accept(stream, self._contexts.context())
                except TLSFailed as error:
                    if error.kind == "plain-http":
                        await stream.write(_SPEAKS_HTTPS)
                    raise
        except TimeoutError as error:
            raise self._counted(PeerClosed(f"no handshake after {seconds:g} s"), "timeout") from error
        except TLSFailed as error:
            raise self._counted(error, error.kind) from error
        except PeerClosed as error:
            raise self._counted(error, "closed") from error

    def _counted(self, error: PeerClosed, reason: str) -> PeerClosed:
        self._metrics.tls_failures.labels(reason).inc()
        # Anybody can cause these: they are counted, and told only to who looks for one.
        log.debug("no TLS with a client", extra={"reason": reason, "detail": str(error)})
        return error

"""The one list of metrics. The registry is passed in: two proxies in one process do not mix."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SETUP_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)


class ProxyMetrics:
    """What a proxy counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.ended = Counter(
            "consoleproxy_consoles_ended",
            "Consoles that ended or were refused, by end reason and the phase they had reached",
            ["reason", "phase"],
            registry=registry,
        )
        self.setup_seconds = Histogram(
            "consoleproxy_setup_seconds",
            "Seconds from the request to the browser's picture",
            buckets=_SETUP_SECONDS,
            registry=registry,
        )
        self.bytes = Counter(
            "consoleproxy_relayed_bytes",
            "RFB bytes carried by consoles that have ended",
            ["direction"],
            registry=registry,
        )
        self.tls_failures = Counter(
            "consoleproxy_tls_handshake_failures",
            "Connections that did not get through the TLS handshake",
            ["reason"],
            registry=registry,
        )

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Add a gauge that calls ``read`` whenever it is asked for."""
        watch(self.registry, name, text, read)


def watch(registry: CollectorRegistry, name: str, text: str, read: Callable[[], float]) -> None:
    """Add a gauge to ``registry`` that calls ``read`` whenever it is asked for."""
    Gauge(name, text, registry=registry).set_function(read)


def tls_reload_failures(registry: CollectorRegistry) -> Counter:
    """Return the counter of certificates that were broken, so that the one before is served on."""
    return Counter("consoleproxy_tls_reload_failures", "Certificates that were not taken", registry=registry)

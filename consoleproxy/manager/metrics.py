"""What the manager counts."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from consoleproxy.manager.control import ManagerService


class ManagerMetrics(Collector):
    """The manager's metrics in a registry of their own; ``refresh`` before they are read.

    Sessions are counted in the store, so that the numbers survive a restart.
    """

    def __init__(self, service: ManagerService, *, plaintext_listeners: int) -> None:
        self.registry = CollectorRegistry()
        self._service = service
        self._plaintext_listeners = plaintext_listeners
        self._sessions: dict[tuple[str, str], int] = {}
        self._proxies: dict[str, int] = {}
        self._calls = Counter(
            "consoleproxy_api_calls",
            "API calls by command and HTTP status",
            ["command", "status"],
            registry=self.registry,
        )
        self.registry.register(self)

    def observe_call(self, command: str, status: int) -> None:
        """Count an API call."""
        self._calls.labels(command, str(status)).inc()

    async def refresh(self) -> None:
        """Read what stands in the store."""
        self._sessions = await self._service.session_counts()
        proxies = await self._service.list_proxies()
        up = sum(proxy.is_up for proxy in proxies)
        self._proxies = {"up": up, "down": len(proxies) - up}

    def collect(self) -> Iterator[Metric]:
        """Yield what was read last, and what the service counts since its start."""
        sessions = GaugeMetricFamily("consoleproxy_manager_sessions", "Sessions", labels=["state", "reason"])
        for (state, reason), number in self._sessions.items():
            sessions.add_metric([state, reason], number)
        yield sessions
        links = GaugeMetricFamily(
            "consoleproxy_manager_proxies", "Proxies by the state of their link", labels=["state"]
        )
        for state, number in self._proxies.items():
            links.add_metric([state], number)
        yield links
        for name, text, counts in (
            ("assignments", "New endpoints by the reason for their proxy", self._service.assignments),
            ("refusals", "Endpoints and consoles refused, by reason", self._service.refusals),
        ):
            family = CounterMetricFamily(f"consoleproxy_manager_{name}", text, labels=["reason"])
            for reason, number in counts.items():
                family.add_metric([reason], number)
            yield family
        reports = CounterMetricFamily("consoleproxy_manager_reports", "Reports of proxies")
        reports.add_metric([], self._service.reports)
        yield reports
        yield GaugeMetricFamily(
            "consoleproxy_plaintext_listeners",
            "Ports without TLS that other machines can reach",
            value=self._plaintext_listeners,
        )

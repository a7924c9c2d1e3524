"""What the manager counts: sessions, proxies, reports, assignments, refusals, calls."""

from __future__ import annotations

from pathlib import Path

import pytest

from consoleproxy.errors import UsedError
from consoleproxy.manager.control import ManagerService
from consoleproxy.manager.metrics import ManagerMetrics
from consoleproxy.messages import LoadReport, SessionEnd
from tests.manager.managers import ADMIN, Clock, hello, link, request, running_manager


async def numbers(service: ManagerService, plaintext: int = 0) -> dict[tuple[str, ...], float]:
    """Return every sample but the times of creation: the name without its prefix, and the labels' values."""
    metrics = ManagerMetrics(service, plaintext_listeners=plaintext)
    await metrics.refresh()
    return {
        (sample.name.removeprefix("consoleproxy_"), *sample.labels.values()): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


async def test_a_new_manager_has_counted_nothing(tmp_path: Path) -> None:
    """The families are there from the start, so that an alert on them is not blind."""
    async with running_manager(tmp_path, Clock()) as service:
        expected = {
            ("manager_sessions", "reserved", ""): 0.0,
            ("manager_sessions", "active", ""): 0.0,
            ("manager_proxies", "up"): 0.0,
            ("manager_proxies", "down"): 0.0,
            ("manager_reports_total",): 0.0,
            ("plaintext_listeners",): 0.0,
        }
        assert expected == await numbers(service)
        names = {family.name for family in ManagerMetrics(service, plaintext_listeners=0).registry.collect()}
        assert {"sessions", "proxies", "reports", "assignments", "refusals"} == {
            name.removeprefix("consoleproxy_manager_") for name in names if "_manager_" in name
        }


async def test_sessions_count_by_state_and_end_reason_and_survive_a_restart(tmp_path: Path) -> None:
    """One reserved, one active and one ended session are three numbers, also for the next manager."""
    clock = Clock()
    expected = {
        ("manager_sessions", "reserved", ""): 1.0,
        ("manager_sessions", "active", ""): 1.0,
        ("manager_sessions", "ended", "browser-closed"): 1.0,
    }
    async with running_manager(tmp_path, clock) as service:
        await service.register(hello("one"))
        active, ended, _ = [await link(service, f"vm-{number}") for number in range(3)]
        for grant in (active, ended):
            await service.authorise("one", request(grant))
        end = SessionEnd(ended.session_id, ended.vm_id, "browser-closed", 1.0, 2, 3)
        await service.report("one", "1", LoadReport(seq=1, sessions=1, ended=(end,)))
        found = await numbers(service)
        assert expected.items() <= found.items(), found
        assert 1 == found["manager_reports_total",]
    async with running_manager(tmp_path, clock) as service:
        assert expected.items() <= (await numbers(service)).items()


async def test_proxies_count_by_their_link(tmp_path: Path) -> None:
    """A proxy whose link was lost is down, the other one up."""
    async with running_manager(tmp_path, Clock()) as service:
        await service.register(hello("one"))
        await service.register(hello("two"))
        await service.link_lost("two", "1")
        found = await numbers(service)
        assert (1, 1) == (found["manager_proxies", "up"], found["manager_proxies", "down"])


async def test_assignments_and_refusals_count_by_reason(tmp_path: Path) -> None:
    """The first console of a VM goes by the policy, the next to the same proxy; each refusal has its word."""
    async with running_manager(tmp_path, Clock()) as service:
        await service.create_endpoint(ADMIN, "vm-0")
        await service.register(hello("one"))
        grant = await link(service)
        await link(service)
        await service.create_endpoint(ADMIN, "nowhere")
        await service.create_endpoint(ADMIN, "off")
        await service.authorise("one", request(grant))
        with pytest.raises(UsedError):
            await service.authorise("one", request(grant))
        found = await numbers(service)
        assert {"least-loaded": 1.0, "sticky": 1.0} == reasons(found, "assignments")
        assert {"no-proxy": 1.0, "unknown": 1.0, "no-screen": 1.0, "used": 1.0} == reasons(found, "refusals")


def reasons(found: dict[tuple[str, ...], float], name: str) -> dict[str, float]:
    """Return the numbers of a counter by its one label."""
    return {key[1]: value for key, value in found.items() if key[0] == f"manager_{name}_total"}


async def test_calls_count_by_command_and_status(tmp_path: Path) -> None:
    """Each answer of the API is counted."""
    async with running_manager(tmp_path, Clock()) as service:
        metrics = ManagerMetrics(service, plaintext_listeners=1)
        for status in (200, 200, 401):
            metrics.observe_call("listSystemVms", status)
        values = [
            metrics.registry.get_sample_value(
                "consoleproxy_api_calls_total", {"command": "listSystemVms", "status": status}
            )
            for status in ("200", "401", "500")
        ]
        assert [2, 1, None] == values
        assert 1 == metrics.registry.get_sample_value("consoleproxy_plaintext_listeners")

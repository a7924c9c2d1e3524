"""From the settings to what the carrying part has to know, which never sees a setting."""

from __future__ import annotations

from consoleproxy.config import Settings
from consoleproxy.proxy.console import Limits
from consoleproxy.proxy.plan import Door, Plan


def port_numbers(settings: Settings) -> list[int]:
    """Return the public ports in the order of the doors; 0 means any free one."""
    if settings.single_port is not None:
        return [settings.single_port]
    return [settings.page_port, settings.websocket_port]


def plan_of(settings: Settings, *, processes: int = 1) -> Plan:
    """Return the plan of one of ``processes`` that share what is limited for the whole proxy."""
    return Plan(
        doors=_doors(settings),
        limits=_limits(settings),
        request_timeout=settings.request_timeout,
        stall_timeout=settings.stall_timeout,
        max_pending=settings.max_pending,
        max_pending_per_address=settings.max_pending_per_address,
        session_bandwidth=settings.session_bandwidth,
        proxy_bandwidth=-(-settings.proxy_bandwidth // processes),
        allowed_origins=settings.allowed_origins,
    )


def _doors(settings: Settings) -> tuple[Door, ...]:
    if settings.single_port is not None:
        return (Door(has_pages=True, has_consoles=True),)
    return Door(has_pages=True, has_consoles=False), Door(has_pages=False, has_consoles=True)


def _limits(settings: Settings) -> Limits:
    return Limits(
        authorise=settings.authorise_timeout,
        vm_connect=settings.vm_connect_timeout,
        vm_handshake=settings.vm_handshake_timeout,
        browser_handshake=settings.browser_handshake_timeout,
        goodbye=settings.close_timeout,
        max_message=settings.max_message,
    )

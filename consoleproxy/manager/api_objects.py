"""PURE: what the API's answers say of an endpoint, a session, an instance, a proxy and a setting.

The fields are CloudStack's, as far as they apply; what is empty there is left out here.
``description`` of an instance and ``version`` of a proxy are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from consoleproxy.manager.endpoint import Endpoint
from consoleproxy.manager.model import EndpointResult, Instance, ProxyRecord, Session
from consoleproxy.manager.settings import SettingValue

Row = dict[str, object]

_KINDS = {"number": "Number", "boolean": "Boolean"}


def console_endpoint(made: EndpointResult) -> Row:
    """Return the object ``consoleendpoint`` (fact 3.2): addresses on success, else the reason."""
    if made.endpoint is None:
        return {"success": False, "details": made.details}
    row: Row = {"success": made.success, "url": made.endpoint.url, "websocket": _websocket(made.endpoint)}
    return {**row, "details": made.details} if made.details else row


def console_session(session: Session, instance: Instance | None, account_names: Mapping[str, str]) -> Row:
    """Return the object ``consolesession`` (fact 3.3); ``instance`` may be gone."""
    row: Row = {
        "id": session.id,
        "created": date(session.created),
        "account": account_names.get(session.account_id, ""),
        "accountid": session.account_id,
        "virtualmachineid": session.instance_id,
        "virtualmachinename": instance.name if instance else "",
        "acquired": date(session.acquired),
        "removed": date(session.removed),
        "consoleendpointcreatoraddress": session.creator_address,
        "clientaddress": session.client_address,
    }
    return {name: value for name, value in row.items() if value}


def virtual_machine(instance: Instance, account_names: Mapping[str, str]) -> Row:
    """Return the object ``virtualmachine``; nothing of its VNC server."""
    return {
        "id": instance.id,
        "name": instance.name,
        "displayname": instance.display_name,
        "description": instance.description,
        "account": account_names.get(instance.account_id, ""),
        "accountid": instance.account_id,
        "state": instance.state,
    }


def system_vm(proxy: ProxyRecord) -> Row:
    """Return the object ``systemvm`` of a proxy; one that drains is ``Stopping``."""
    state = "Stopped" if not proxy.is_up else "Stopping" if proxy.is_draining else "Running"
    return {
        "id": proxy.id,
        "systemvmtype": "consoleproxy",
        "name": proxy.name,
        "publicip": proxy.address,
        "state": state,
        "agentstate": "Up" if proxy.is_up else "Disconnected",
        "activeviewersessions": proxy.active_sessions,
        "version": proxy.version,
    }


def configuration(setting: SettingValue) -> Row:
    """Return the object ``configuration``."""
    return {
        "category": "Advanced",
        "name": setting.name,
        "value": setting.value,
        "defaultvalue": setting.default,
        "description": setting.help,
        "type": _KINDS.get(setting.kind, "String"),
        "isdynamic": True,
    }


def date(moment: float | None) -> str:
    """Return Unix seconds as CloudStack writes dates; nothing for ``None``."""
    return "" if moment is None else datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S%z")


def _websocket(endpoint: Endpoint) -> Row:
    """Return the addresses for a program; the port is a text there."""
    row: Row = {
        "host": endpoint.host,
        "port": str(endpoint.port),
        "path": endpoint.path,
        "token": endpoint.token,
    }
    return {**row, "extra": endpoint.extra} if endpoint.extra else row

"""The commands of the API: what each asks the manager, and its answer's rows (CloudStack facts 3.2 and 3.3).

To add one, write a function that takes a ``Call`` and put it into ``COMMANDS``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from consoleproxy.errors import ConfigError
from consoleproxy.manager import api_objects as objects
from consoleproxy.manager.api_parameters import ApiError, Parameters
from consoleproxy.manager.model import Account, EndpointResult, Instance, ProxyRecord, Session
from consoleproxy.manager.settings import SettingValue

#: Characters of a setting's value, as in CloudStack.
MAX_SETTING = 4096


class ApiService(Protocol):
    """What the API asks of the manager (``control.ManagerService``, or a test's stand-in)."""

    async def account_by_api_key(self, key: str, /) -> Account | None:
        """Return the account with this API key."""

    async def create_endpoint(
        self, caller: Account, instance_id: str, /, *, extra: str = "", creator_address: str = ""
    ) -> EndpointResult:
        """Return a new one-time console, or a sentence that says why there is none."""

    async def list_instances(self, account_id: str | None = None, /) -> Sequence[Instance]:
        """Return an account's instances, everybody's for ``None``."""

    async def list_sessions(  # noqa: PLR0913  # one argument for each filter
        self,
        *,
        account_id: str | None = None,
        instance_id: str | None = None,
        session_id: str | None = None,
        creator_address: str | None = None,
        client_address: str | None = None,
        start: float | None = None,
        end: float | None = None,
        is_active: bool | None = None,
        is_acquired: bool | None = None,
    ) -> Sequence[Session]:
        """Return the sessions that fit, newest first; ``None`` fits all."""

    async def list_proxies(self) -> Sequence[ProxyRecord]:
        """Return all proxies."""

    async def list_accounts(self) -> Sequence[Account]:
        """Return all accounts."""

    def list_settings(self) -> Sequence[SettingValue]:
        """Return all live settings."""

    async def update_setting(self, name: str, value: str, /) -> SettingValue:
        """Change a setting; ``ConfigError`` for an unknown name or a bad value."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request whose caller is known; ``address`` is where the caller is."""

    service: ApiService
    caller: Account
    parameters: Parameters
    address: str

    @property
    def scope(self) -> str | None:
        """Whose rows the caller may see: its own account's id, or ``None`` for everybody's."""
        return None if self.caller.is_admin else self.caller.id

    def rows(self, name: str, rows: Sequence[objects.Row]) -> objects.Row:
        """Return the page of ``rows`` that was asked for, with how many there are in all."""
        page = rows[self.parameters.page()]
        return {"count": len(rows), name: list(page)} if rows else {}


@dataclass(frozen=True, slots=True)
class Command:
    """A command as clients name it; what ``run`` returns stands in ``<name>response``."""

    name: str
    run: Callable[[Call], Awaitable[objects.Row]]
    needs_admin: bool = False

    @property
    def answer_name(self) -> str:
        """The one key of the answer."""
        return f"{self.name.lower()}response"


async def create_console_endpoint(call: Call) -> objects.Row:
    """Make a console; most failures are answers with ``success`` false (fact 3.2)."""
    parameters = call.parameters
    made = await call.service.create_endpoint(
        call.caller,
        parameters.required("virtualmachineid"),
        extra=_extra_token(parameters),
        creator_address=call.address,
    )
    return {"consoleendpoint": objects.console_endpoint(made)}


async def list_console_sessions(call: Call) -> objects.Row:
    """List sessions, newest first; without an admin's key one's own only (fact 3.3)."""
    parameters, caller = call.parameters, call.caller
    for name in ("domainid", "userid", "hostid"):
        if parameters.text(name):
            raise ApiError(ApiError.PARAMETER, f"Parameter {name} has no meaning here: there are accounts alone.")
    is_active = parameters.flag("activeonly", default=True) or None
    is_acquired = None if is_active else parameters.flag("acquired", default=False) or None
    sessions = await call.service.list_sessions(
        account_id=(parameters.text("accountid") or None) if caller.is_admin else caller.id,
        instance_id=parameters.text("virtualmachineid") or None,
        session_id=parameters.text("id") or None,
        creator_address=parameters.text("consoleendpointcreatoraddress") or None,
        client_address=parameters.text("clientaddress") or None,
        start=parameters.moment("startdate"),
        end=parameters.moment("enddate", is_end=True),
        is_active=is_active,
        is_acquired=is_acquired,
    )
    instances = {instance.id: instance for instance in await call.service.list_instances()}
    accounts = await _account_names(call)
    rows = [objects.console_session(session, instances.get(session.instance_id), accounts) for session in sessions]
    return call.rows("consolesession", _with_keyword(call, rows, "virtualmachinename", "account"))


async def list_virtual_machines(call: Call) -> objects.Row:
    """List instances; without an admin's key one's own only."""
    parameters = call.parameters
    accounts = await _account_names(call)
    rows = [objects.virtual_machine(instance, accounts) for instance in await call.service.list_instances(call.scope)]
    ids = {text for text in [parameters.text("id"), *parameters.text("ids", longest=MAX_SETTING).split(",")] if text}
    name, state = parameters.text("name").lower(), parameters.text("state").lower()
    account = parameters.text("account")
    found = [
        row
        for row in rows
        if (not ids or row["id"] in ids)
        and (name in str(row["name"]).lower() or name in str(row["displayname"]).lower())
        and (not state or str(row["state"]).lower() == state)
        and (not account or row["account"] == account)
    ]
    return call.rows("virtualmachine", _with_keyword(call, found, "name", "displayname"))


async def list_system_vms(call: Call) -> objects.Row:
    """List the proxies, as CloudStack lists its system VMs of the type ``consoleproxy``."""
    rows = [objects.system_vm(proxy) for proxy in await call.service.list_proxies()]
    found = [row for row in rows if _fits(call, row, "id", "name", "systemvmtype", "state")]
    return call.rows("systemvm", _with_keyword(call, found, "name"))


async def list_configurations(call: Call) -> objects.Row:
    """List the live settings."""
    rows = [objects.configuration(setting) for setting in call.service.list_settings()]
    found = [row for row in rows if _fits(call, row, "name", "category")]
    return call.rows("configuration", _with_keyword(call, found, "name", "description"))


async def update_configuration(call: Call) -> objects.Row:
    """Change a live setting; an empty ``value`` is one, where the setting is a text."""
    name = call.parameters.required("name")
    if not call.parameters.has("value"):
        raise ApiError(ApiError.PARAMETER, "Unable to execute the command due to missing parameter value.")
    try:
        changed = await call.service.update_setting(name, call.parameters.text("value", longest=MAX_SETTING))
    except ConfigError as error:
        raise ApiError(ApiError.PARAMETER, str(error)) from None
    return {"configuration": objects.configuration(changed)}


def _extra_token(parameters: Parameters) -> str:
    """Return the extra token; one that no proxy would take back is refused now, not when the link is opened."""
    text = parameters.text("token")
    # Cc: control characters; Cs: half a character, which has no UTF-8.
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in text):
        raise ApiError(ApiError.PARAMETER, "Parameter token holds a control character.")
    return text


async def _account_names(call: Call) -> Mapping[str, str]:
    if not call.caller.is_admin:
        return {call.caller.id: call.caller.name}
    return {account.id: account.name for account in await call.service.list_accounts()}


def _fits(call: Call, row: objects.Row, *names: str) -> bool:
    """Tell whether the row holds what the parameters of these names say, in any case."""
    return all(call.parameters.text(name).lower() in {"", str(row[name]).lower()} for name in names)


def _with_keyword(call: Call, rows: Sequence[objects.Row], *names: str) -> Sequence[objects.Row]:
    """Keep the rows that hold the keyword in one of these fields."""
    keyword = call.parameters.text("keyword").lower()
    return [row for row in rows if any(keyword in str(row.get(name, "")).lower() for name in names)]


COMMANDS: Mapping[str, Command] = {
    command.name.lower(): command
    for command in (
        Command("createConsoleEndpoint", create_console_endpoint),
        Command("listConsoleSessions", list_console_sessions),
        Command("listVirtualMachines", list_virtual_machines),
        Command("listSystemVms", list_system_vms, needs_admin=True),
        Command("listConfigurations", list_configurations, needs_admin=True),
        Command("updateConfiguration", update_configuration, needs_admin=True),
    )
}

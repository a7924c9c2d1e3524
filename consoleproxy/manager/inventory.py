"""The inventory file: accounts and their instances, in YAML.

::

    accounts:
      - name: alice
        api_key: "..."
        secret_key: "..."
        admin: false             # default
    instances:
      - id: 5d1a2c4e-...         # default: made from the name, the same each time
        name: web-1
        display_name: Web server # default: the name
        description: ...         # default: nothing
        account: alice
        state: Running           # default
        host: 192.0.2.10
        port: 5901
        password: "..."          # default: none

An account's ``id`` may be given too. Each error names the place: ``instances[2].port``.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from consoleproxy.errors import ConfigError
from consoleproxy.manager.model import Account, Instance

MAX_PORT = 65535
#: An instance's possible states (CloudStack's words).
STATES = frozenset(
    {"Starting", "Running", "Stopping", "Stopped", "Migrating", "Restoring", "Destroyed", "Error", "Unknown"}
)
_NAMESPACE = uuid.UUID("6f9a6c0e-3c2b-5d57-9a43-0f2d8c0a7c11")


@dataclass(frozen=True, slots=True)
class Inventory:
    """What one file says."""

    accounts: tuple[Account, ...] = ()
    instances: tuple[Instance, ...] = ()


def read_inventory(path: Path | str) -> Inventory:
    """Read an inventory file, or raise a ``ConfigError`` that names the file, the place and the mend."""
    try:
        text = Path(path).read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"inventory: cannot read {str(path)!r}: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"inventory: {str(path)!r} is not UTF-8 text") from None
    return parse_inventory(text, str(path))


def parse_inventory(text: str, name: str = "inventory") -> Inventory:
    """Make sense of an inventory's text; ``name`` is the file, for errors."""
    try:
        whole = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: 2026-13-45 is no date
        raise ConfigError(f"{name} is not YAML: {error}") from None
    try:
        top = _Fields({} if whole is None else whole, "the file")
        accounts = tuple(_account(fields) for fields in top.entries("accounts"))
        ids = {account.name: account.id for account in accounts}
        instances = tuple(_instance(fields, ids) for fields in top.entries("instances"))
        top.finish()
        _refuse_repeats("accounts", [{"name": a.name, "api_key": a.api_key, "id": a.id} for a in accounts])
        _refuse_repeats("instances", [{"id": instance.id} for instance in instances])
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    return Inventory(accounts, instances)


class _Fields:
    """One mapping of the file. What is taken is ticked off; ``finish`` refuses the rest."""

    def __init__(self, value: object, place: str) -> None:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{place} is {_kind(value)}, not a mapping of names to values")
        self.place = place
        self._left: dict[Any, Any] = dict(value)

    def text(self, name: str, default: str | None = None) -> str:
        value = self._take(name, default)
        if not isinstance(value, str):
            raise ConfigError(f"{self._at(name)} is {_kind(value)}, not a text: put it between quotes")
        if default is None and not value.strip():
            raise ConfigError(f"{self._at(name)} is empty")
        return value

    def port(self, name: str) -> int:
        value = self._take(name, None)
        if type(value) is not int or not 1 <= value <= MAX_PORT:
            raise ConfigError(f"{self._at(name)} is {value!r}, not a port from 1 to {MAX_PORT}")
        return value

    def yes_or_no(self, name: str) -> bool:
        value = self._take(name, default=False)
        if not isinstance(value, bool):
            raise ConfigError(f"{self._at(name)} is {_kind(value)}, not true or false")
        return value

    def choice(self, name: str, default: str, words: frozenset[str]) -> str:
        value = self.text(name, default)
        if value not in words:
            raise ConfigError(f"{self._at(name)} is {value!r}, not one of {', '.join(sorted(words))}")
        return value

    def entries(self, name: str) -> Iterator[_Fields]:
        value = self._take(name, [])
        if value is None:
            return
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ConfigError(f"{name} is {_kind(value)}, not a list")
        for index, entry in enumerate(value):
            fields = _Fields(entry, f"{name}[{index}]")
            yield fields
            fields.finish()

    def finish(self) -> None:
        for name in self._left:
            raise ConfigError(f"{self._at(str(name))} is not known here")

    def _take(self, name: str, default: object) -> Any:  # noqa: ANN401 - what YAML holds; checked by who asks
        value = self._left.pop(name, default)
        if value is None and default is None:
            raise ConfigError(f"{self._at(name)} is missing")
        return default if value is None else value

    def _at(self, name: str) -> str:
        return name if self.place == "the file" else f"{self.place}.{name}"


def _account(fields: _Fields) -> Account:
    name = fields.text("name")
    return Account(
        id=fields.text("id", "") or str(uuid.uuid5(_NAMESPACE, f"account {name}")),
        name=name,
        api_key=fields.text("api_key"),
        secret_key=fields.text("secret_key"),
        is_admin=fields.yes_or_no("admin"),
    )


def _instance(fields: _Fields, accounts: Mapping[str, str]) -> Instance:
    name, owner = fields.text("name"), fields.text("account")
    if owner not in accounts:
        raise ConfigError(f"{fields.place}.account is {owner!r}, which is none of the accounts")
    return Instance(
        id=fields.text("id", "") or str(uuid.uuid5(_NAMESPACE, f"instance {owner} {name}")),
        name=name,
        display_name=fields.text("display_name", "") or name,
        description=fields.text("description", ""),
        account_id=accounts[owner],
        state=fields.choice("state", "Running", STATES),
        host=fields.text("host"),
        port=fields.port("port"),
        password=fields.text("password", ""),
    )


def _refuse_repeats(place: str, entries: Sequence[Mapping[str, str]]) -> None:
    seen: dict[tuple[str, str], int] = {}
    for index, entry in enumerate(entries):
        for field, value in entry.items():
            first = seen.setdefault((field, value), index)
            if first != index:
                # An API key may be half of what signs: its place says enough.
                raise ConfigError(f"{place}[{index}].{field} is the same as that of {place}[{first}]")


def _kind(value: object) -> str:
    kinds = {dict: "a mapping", list: "a list", str: "a text", bool: "true or false", type(None): "nothing"}
    return kinds.get(type(value), "a number" if isinstance(value, int | float) else f"a {type(value).__name__}")

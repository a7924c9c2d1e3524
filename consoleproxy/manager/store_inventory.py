"""SQL of accounts, instances, settings and secrets: operations for ``Store``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection, Row, delete, select
from sqlalchemy.dialects.sqlite import insert

from consoleproxy.errors import ConfigError
from consoleproxy.manager.inventory import Inventory
from consoleproxy.manager.masterkey import MasterKey
from consoleproxy.manager.model import Account, Instance
from consoleproxy.manager.store_schema import ACCOUNT, INSTANCE, SECRET, SETTING


def account_by_api_key(connection: Connection, key: MasterKey, api_key: str) -> Account | None:
    """Return the account whose API key this is."""
    row = connection.execute(select(ACCOUNT).where(ACCOUNT.c.api_key == api_key)).one_or_none()
    return None if row is None else account_of(row, key)


def list_accounts(connection: Connection, key: MasterKey) -> list[Account]:
    """Return every account, by name."""
    return [account_of(row, key) for row in connection.execute(select(ACCOUNT).order_by(ACCOUNT.c.name))]


def find_instance(connection: Connection, key: MasterKey, instance_id: str) -> Instance | None:
    """Return one instance."""
    row = connection.execute(select(INSTANCE).where(INSTANCE.c.id == instance_id)).one_or_none()
    return None if row is None else instance_of(row, key)


def list_instances(connection: Connection, key: MasterKey, account_id: str | None) -> list[Instance]:
    """Return the instances of one account, or of all, by name."""
    query = select(INSTANCE).order_by(INSTANCE.c.name, INSTANCE.c.id)
    if account_id is not None:
        query = query.where(INSTANCE.c.account_id == account_id)
    return [instance_of(row, key) for row in connection.execute(query)]


def put_inventory(connection: Connection, key: MasterKey, inventory: Inventory) -> None:
    """Make the accounts, and the instances that came from a file, what the inventory says.

    Instances that the API added stay, unless the inventory names them too.
    """
    connection.execute(delete(ACCOUNT))
    if inventory.accounts:
        connection.execute(insert(ACCOUNT), [_account_row(account, key) for account in inventory.accounts])
    connection.execute(delete(INSTANCE).where(INSTANCE.c.is_from_file))
    _put_instances(connection, key, inventory.instances, is_from_file=True)


def put_instance(connection: Connection, key: MasterKey, instance: Instance) -> None:
    """Add an instance, or replace what was known of it; ``ConfigError`` where its account is not known."""
    owner = connection.execute(select(ACCOUNT.c.id).where(ACCOUNT.c.id == instance.account_id)).one_or_none()
    if owner is None:
        raise ConfigError(f"the instance's account {instance.account_id!r} is not known")
    _put_instances(connection, key, [instance], is_from_file=False)


def remove_instance(connection: Connection, instance_id: str) -> bool:
    """Forget an instance; say whether there was one."""
    return connection.execute(delete(INSTANCE).where(INSTANCE.c.id == instance_id)).rowcount > 0


def read_settings(connection: Connection) -> dict[str, str]:
    """Return the settings that somebody has changed."""
    return {row.name: row.value for row in connection.execute(select(SETTING))}


def write_setting(connection: Connection, name: str, value: str) -> None:
    """Keep a setting."""
    put = insert(SETTING).values(name=name, value=value)
    connection.execute(put.on_conflict_do_update(index_elements=["name"], set_={"value": value}))


def secret(connection: Connection, key: MasterKey, name: str, make: Callable[[], str]) -> str:
    """Return a secret of the manager's own, made the first time."""
    row = connection.execute(select(SECRET).where(SECRET.c.name == name)).one_or_none()
    if row is not None:
        return key.open(row.value_sealed, f"secret {name}")
    value = make()
    connection.execute(insert(SECRET).values(name=name, value_sealed=key.seal(value, f"secret {name}")))
    return value


def account_of(row: Row[Any], key: MasterKey) -> Account:
    """Read a row of ``account``."""
    opened = key.open(row.secret_key_sealed, f"account {row.id}")
    return Account(row.id, row.name, row.api_key, opened, row.is_admin)


def instance_of(row: Row[Any], key: MasterKey) -> Instance:
    """Read a row of ``instance``."""
    return Instance(
        id=row.id,
        name=row.name,
        display_name=row.display_name,
        description=row.description,
        account_id=row.account_id,
        state=row.state,
        host=row.host,
        port=row.port,
        password=key.open(row.password_sealed, f"instance {row.id}"),
    )


def _account_row(account: Account, key: MasterKey) -> dict[str, object]:
    return {
        "id": account.id,
        "name": account.name,
        "api_key": account.api_key,
        "secret_key_sealed": key.seal(account.secret_key, f"account {account.id}"),
        "is_admin": account.is_admin,
    }


def _put_instances(
    connection: Connection, key: MasterKey, instances: Iterable[Instance], *, is_from_file: bool
) -> None:
    for instance in instances:
        values = {
            "id": instance.id,
            "name": instance.name,
            "display_name": instance.display_name,
            "description": instance.description,
            "account_id": instance.account_id,
            "state": instance.state,
            "host": instance.host,
            "port": instance.port,
            "password_sealed": key.seal(instance.password, f"instance {instance.id}"),
            "is_from_file": is_from_file,
        }
        put = insert(INSTANCE).values(values)
        connection.execute(put.on_conflict_do_update(index_elements=["id"], set_=values))

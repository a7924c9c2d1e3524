"""The inventory file: what it gives, and what each mistake is told."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consoleproxy.errors import ConfigError
from consoleproxy.manager.inventory import Inventory, parse_inventory, read_inventory

GOOD = """
accounts:
  - {name: alice, api_key: ka, secret_key: sa}
  - {name: root, api_key: kr, secret_key: sr, admin: true, id: account-root}
instances:
  - {name: web, account: alice, host: 192.0.2.10, port: 5901}
  - id: vm-2
    name: db
    display_name: "Datenbank <1>"
    description: It's big
    account: root
    state: Stopped
    host: db.example.test
    port: 5902
    password: "0123"
"""


def test_a_file_gives_accounts_and_instances(tmp_path: Path) -> None:
    """Every field arrives, and what is left out has its default."""
    path = tmp_path / "inventory.yaml"
    path.write_text(GOOD)
    inventory = read_inventory(path)
    alice, root = inventory.accounts
    web, database = inventory.instances
    assert (("alice", "ka", "sa", False), "account-root", True) == (
        (alice.name, alice.api_key, alice.secret_key, alice.is_admin),
        root.id,
        root.is_admin,
    )
    assert ("web", "web", "", alice.id, "Running", "192.0.2.10", 5901, "") == (
        web.name,
        web.display_name,
        web.description,
        web.account_id,
        web.state,
        web.host,
        web.port,
        web.password,
    )
    assert ("vm-2", "Datenbank <1>", "It's big", "account-root", "Stopped", "0123") == (
        database.id,
        database.display_name,
        database.description,
        database.account_id,
        database.state,
        database.password,
    )


def test_ids_are_the_same_each_time() -> None:
    """An id that is left out comes from the name: sessions and links find their VM after a restart."""
    assert parse_inventory(GOOD) == parse_inventory(GOOD)
    assert 36 == len(parse_inventory(GOOD).instances[0].id)


def test_an_empty_file_says_nothing() -> None:
    """No account, no instance, no error."""
    assert Inventory() == parse_inventory("") == parse_inventory("accounts:\ninstances: []\n")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("port: 5902", "port: '5902'", r"instances\[1\]\.port is '5902', not a port"),
        ("port: 5902", "port: 65536", r"instances\[1\]\.port is 65536"),
        ("port: 5902", "port: true", r"instances\[1\]\.port is True"),
        ("    port: 5902\n", "", r"instances\[1\]\.port is missing"),
        ('password: "0123"', "password: 123", r"instances\[1\]\.password is a number, not a text"),
        ("account: root", "account: nobody", r"instances\[1\]\.account is 'nobody'"),
        ("state: Stopped", "state: Sleeping", r"instances\[1\]\.state is 'Sleeping', not one of Destroyed"),
        ("name: alice", "nam: alice", r"accounts\[0\]\.name is missing"),
        ("admin: true", "admin: 'yes'", r"accounts\[1\]\.admin is a text, not true or false"),
        ("admin: true", "role: root", r"accounts\[1\]\.role is not known"),
        ("api_key: kr", "api_key: ka", r"accounts\[1\]\.api_key is the same as that of accounts\[0\]"),
        ("secret_key: sa", "secret_key: ''", r"accounts\[0\]\.secret_key is empty"),
        ("instances:", "machines:", "machines is not known"),
        (
            "{name: web, account: alice, host: 192.0.2.10, port: 5901}",
            "web",
            r"instances\[0\] is a text, not a mapping",
        ),
        ("accounts:", "accounts: {}\nold:", "accounts is a mapping, not a list"),
        ("accounts:", "[", "is not YAML"),
        ("It's big", "2026-13-45", "is not YAML"),
        ("admin: true", "admin: !!python/object/apply:os.getpid []", "is not YAML"),
    ],
)
def test_a_mistake_is_told_with_its_place(before: str, after: str, told: str) -> None:
    """The error names the file and the place."""
    with pytest.raises(ConfigError, match=f"(?s)^some.yaml.*{told}") as caught:
        parse_inventory(GOOD.replace(before, after, 1), "some.yaml")
    assert "sa" not in str(caught.value).split()


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """No such file, and no text, are two sentences."""
    with pytest.raises(ConfigError, match="No such file"):
        read_inventory(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_inventory(tmp_path / "bytes")


@given(st.text(alphabet="accountsinstances:[]{}-? \n'\"&*!|>%@`,#0", max_size=60))
def test_any_text_is_an_inventory_or_a_config_error(text: str) -> None:
    """Nothing else comes out of a file."""
    with contextlib.suppress(ConfigError):
        assert isinstance(parse_inventory(text), Inventory)

"""Who a proxy is."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from consoleproxy.errors import ConfigError
from consoleproxy.links.state import Identity, kept_proxy_id


def test_the_id_lasts(tmp_path: Path) -> None:
    """The first start makes a UUID, later ones find it, and nothing else lies in the folder."""
    folder = tmp_path / "state" / "proxy"
    made = kept_proxy_id(folder)
    assert made == str(uuid.UUID(made)) == kept_proxy_id(folder)
    assert ["proxy-id"] == [path.name for path in folder.iterdir()]


def test_a_damaged_id_is_told(tmp_path: Path) -> None:
    """The error names the file and the mend."""
    (tmp_path / "proxy-id").write_text("half a UU")
    with pytest.raises(ConfigError, match=r"proxy-id' holds no UUID: remove it"):
        kept_proxy_id(tmp_path)


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """The error names the place."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot keep the proxy's id in"):
        kept_proxy_id(tmp_path / "file")


def test_each_start_is_another_incarnation() -> None:
    """Two starts with one id differ in their incarnation."""
    first, second = Identity(proxy_id="p"), Identity(proxy_id="p")
    assert first.incarnation != second.incarnation

"""The master key's file, and what lies under it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from consoleproxy.errors import ConfigError
from consoleproxy.manager.masterkey import MasterKey


def test_the_first_start_makes_the_key(tmp_path: Path) -> None:
    """The file appears with mode 600, and the next start opens what this one sealed."""
    path = tmp_path / "key"
    sealed = MasterKey.load(path).seal("pässword", "instance 1")
    assert 0o600 == path.stat().st_mode & 0o7777
    assert [path] == list(tmp_path.iterdir())
    assert "pässword" == MasterKey.load(path).open(sealed, "instance 1")


def test_a_secret_keeps_its_place(tmp_path: Path) -> None:
    """A sealed secret opens neither in another's place, nor altered, nor under another key."""
    key, other = MasterKey.load(tmp_path / "key"), MasterKey.load(tmp_path / "other")
    sealed = key.seal("secret", "a")
    for opener, text, place in (
        (key, sealed, "b"),
        (other, sealed, "a"),
        (key, sealed[:-1], "a"),
        (key, b"", "a"),
    ):
        with pytest.raises(ConfigError, match="master key is not the one"):
            opener.open(text, place)
    assert sealed != key.seal("secret", "a")


@pytest.mark.parametrize("text", [b"", b"short", b"\xff\xfe", base64.b64encode(bytes(31))])
def test_a_damaged_key_is_told(tmp_path: Path, text: bytes) -> None:
    """A file that holds no key is named, and left as it is."""
    path = tmp_path / "key"
    path.write_bytes(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=r"master key .*key' holds no"):
        MasterKey.load(path)
    assert text == path.read_bytes()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """Who loosened the file's mode is told how to mend it."""
    path = tmp_path / "key"
    MasterKey.load(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match="set it to 600"):
        MasterKey.load(path)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """No folder, no key: the path stands in the error."""
    with pytest.raises(ConfigError, match="No such file"):
        MasterKey.load(tmp_path / "none" / "key")

"""The live settings: their texts, limits and units."""

from __future__ import annotations

import pytest

from consoleproxy.errors import ConfigError
from consoleproxy.manager.settings import SETTINGS, LiveSettings


def test_every_default_is_a_value_that_may_be_given() -> None:
    """Setting each default again changes nothing."""
    settings = LiveSettings({name: setting.default for name, setting in SETTINGS.items()})
    assert [setting.default for setting in SETTINGS.values()] == [settings.text(name) for name in SETTINGS]


def test_cloudstacks_names_keep_their_units() -> None:
    """The interval is given in milliseconds, the retention in hours."""
    settings = LiveSettings({"consoleproxy.loadscan.interval": "750", "console.session.cleanup.retention.hours": "2"})
    assert (0.75, 7200.0, 50) == (settings.interval, settings.retention, settings.session_max)


@pytest.mark.parametrize(
    ("name", "text", "kept"),
    [
        ("consoleproxy.sslEnabled", "TRUE", "true"),
        ("consoleproxy.session.max", "007", "7"),
        ("consoleproxy.url.domain", "*.Example.test", "*.Example.test"),
        ("consoleproxy.url.domain", "a", "a"),
        ("consoleproxy.allocation", "first-available", "first-available"),
    ],
)
def test_a_value_is_kept_in_its_one_spelling(name: str, text: str, kept: str) -> None:
    """What means the same is shown the same."""
    assert kept == LiveSettings().change(name, text).value


@pytest.mark.parametrize(
    ("name", "text", "mend"),
    [
        ("consoleproxy.loadscan.interval", "499", "500 or more"),
        ("consoleproxy.session.max", "0", "1 or more"),
        ("consoleproxy.session.max", "-1", "1 or more"),
        ("consoleproxy.session.max", "٣", "1 or more"),
        ("consoleproxy.sslEnabled", "yes", "true or false"),
        ("consoleproxy.allocation", "random", "least-loaded or first-available"),
        ("consoleproxy.url.domain", "*", "a host name"),
        ("consoleproxy.url.domain", "a b", "a host name"),
        ("consoleproxy.url.domain", "http://a", "a host name"),
        ("consoleproxy.url.domain", "a.", "a host name"),
        ("consoleproxy.sessionmax", "5", "did you mean consoleproxy.session.max"),
    ],
)
def test_a_bad_value_is_refused_with_its_mend(name: str, text: str, mend: str) -> None:
    """The error says what would do, and the value stays."""
    settings = LiveSettings()
    with pytest.raises(ConfigError, match=mend):
        settings.change(name, text)
    assert LiveSettings().pushed() == settings.pushed()


@pytest.mark.parametrize(
    ("ssl", "domain", "on"), [("true", "a.test", True), ("true", "", False), ("false", "a", False)]
)
def test_ssl_counts_with_a_domain_only(*, ssl: str, domain: str, on: bool) -> None:
    """SSL without a domain is off (CloudStack fact 3.6)."""
    settings = LiveSettings({"consoleproxy.sslEnabled": ssl, "consoleproxy.url.domain": domain})
    assert on == settings.has_ssl

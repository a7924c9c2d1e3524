"""The live settings: what an administrator changes while everything runs.

To add one, add an entry to ``SETTINGS``. Names that CloudStack has keep its unit
(milliseconds for intervals). Start-up settings are ``consoleproxy.config``'s, not these.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from consoleproxy.errors import ConfigError
from consoleproxy.manager.allocate import LEAST_LOADED, POLICIES

INTERVAL = "consoleproxy.loadscan.interval"
SESSION_MAX = "consoleproxy.session.max"
SSL = "consoleproxy.sslEnabled"
DOMAIN = "consoleproxy.url.domain"
NEEDS_EXTRA = "consoleproxy.extra.security.validation.enabled"
CHECKS_SOURCE = "novnc.console.sourceip.check.enabled"
ALLOCATION = "consoleproxy.allocation"
RETENTION = "console.session.cleanup.retention.hours"

_DOMAIN = re.compile(r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a setting's text may be: ``parse`` returns it in its one spelling, or raises ``ValueError``."""

    name: str
    wanted: str
    parse: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Setting:
    """One live setting. ``is_pushed`` says that the proxies get it too."""

    name: str
    kind: Kind
    default: str
    help: str
    is_pushed: bool = False


@dataclass(frozen=True, slots=True)
class SettingValue:
    """A setting with its value of now; values are texts, as CloudStack's API shows them."""

    name: str
    value: str
    default: str
    help: str
    kind: str


def _count(low: int, unit: str = "") -> Kind:
    def parse(text: str) -> str:
        if not re.fullmatch("[0-9]{1,9}", text) or int(text) < low:
            raise ValueError(text)
        return str(int(text))

    return Kind("number", f"a whole number{unit and f' of {unit}'}, {low} or more", parse)


def _yes_or_no(text: str) -> str:
    if text.lower() not in {"true", "false"}:
        raise ValueError(text)
    return text.lower()


def _policy(text: str) -> str:
    if text not in POLICIES:
        raise ValueError(text)
    return text


def _domain(text: str) -> str:
    if text and not _DOMAIN.fullmatch(text):
        raise ValueError(text)
    return text


_YES_OR_NO = Kind("boolean", "true or false", _yes_or_no)

SETTINGS: Mapping[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting(
            INTERVAL,
            _count(500, "milliseconds"),
            "5000",
            "time between two reports of a proxy, in milliseconds; after three missed ones it counts as down",
            is_pushed=True,
        ),
        Setting(SESSION_MAX, _count(1), "50", "consoles on one proxy beyond which it gets no new VM"),
        Setting(
            ALLOCATION,
            Kind("choice", " or ".join(POLICIES), _policy),
            LEAST_LOADED,
            "which proxy a VM without an earlier session gets: least-loaded or first-available",
        ),
        Setting(SSL, _YES_OR_NO, "false", "console addresses are https; needs a domain too", is_pushed=True),
        Setting(
            DOMAIN,
            Kind("text", "a host name, *.DOMAIN, or nothing", _domain),
            "",
            "host name in console addresses; *.DOMAIN puts the proxy's address in front, dots as dashes",
            is_pushed=True,
        ),
        Setting(NEEDS_EXTRA, _YES_OR_NO, "false", "createConsoleEndpoint needs a token, which the viewer must know"),
        Setting(
            CHECKS_SOURCE,
            _YES_OR_NO,
            "false",
            "a link opens only from the address that asked for it",
            is_pushed=True,
        ),
        Setting(RETENTION, _count(1, "hours"), "240", "time for which ended sessions are listed, in hours"),
    )
}


class LiveSettings:
    """The values of now. ``given`` are those that differ from the defaults; ``ConfigError`` for a bad one."""

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        self._texts = {name: setting.default for name, setting in SETTINGS.items()}
        for name, text in (given or {}).items():
            self.change(name, text)

    def text(self, name: str) -> str:
        """Return a value as text."""
        return self._texts[name]

    def change(self, name: str, text: str) -> SettingValue:
        """Change a value from now on, or raise a ``ConfigError`` that says what would do."""
        self._texts[name] = check(name, text)
        return self.shown(name)

    def shown(self, name: str) -> SettingValue:
        """Return a setting with its value."""
        setting = SETTINGS[name]
        return SettingValue(name, self._texts[name], setting.default, setting.help, setting.kind.name)

    def pushed(self) -> dict[str, str]:
        """Return what the proxies are told."""
        return {name: self._texts[name] for name, setting in SETTINGS.items() if setting.is_pushed}

    @property
    def interval(self) -> float:
        """The time between two reports, in seconds."""
        return int(self.text(INTERVAL)) / 1000

    @property
    def session_max(self) -> int:
        """Sessions beyond which a proxy gets no new VM."""
        return int(self.text(SESSION_MAX))

    @property
    def domain(self) -> str:
        """The domain of console addresses, or nothing."""
        return self.text(DOMAIN)

    @property
    def has_ssl(self) -> bool:
        """Whether addresses are https: switched on, and a domain set (CloudStack fact 3.6)."""
        return self.text(SSL) == "true" and bool(self.domain)

    @property
    def needs_extra(self) -> bool:
        """Whether each link needs an extra token."""
        return self.text(NEEDS_EXTRA) == "true"

    @property
    def policy(self) -> str:
        """How ``allocate`` chooses."""
        return self.text(ALLOCATION)

    @property
    def retention(self) -> float:
        """How long ended sessions are kept, in seconds."""
        return int(self.text(RETENTION)) * 3600.0


def check(name: str, text: str) -> str:
    """Return ``text`` in its one spelling, or raise a ``ConfigError`` that says what would do."""
    if name not in SETTINGS:
        close = difflib.get_close_matches(name, SETTINGS, n=1)
        raise ConfigError(f"there is no setting {name!r}" + (f"; did you mean {close[0]}?" if close else ""))
    kind = SETTINGS[name].kind
    try:
        return kind.parse(text)
    except ValueError:
        raise ConfigError(f"{name} is {text!r}: give {kind.wanted}") from None

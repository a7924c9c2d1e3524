"""Start-up settings, each written once: a field of ``Settings`` with its kind, help and example.

From the fields come the flags (``--max-sessions``), the environment names
(``CONSOLEPROXY_MAX_SESSIONS``), the keys of the TOML file (``max_sessions``), the table in the
README and what ``consoleproxy config`` prints. To add a setting, add a field; to add a way
of writing one, add a kind to ``kinds``.

A later source wins: TOML file, environment, flag. A name that nobody knows is an error in
each of them, because a misspelt limit is no limit. Settings that change while the program
runs are the manager's, not these.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from consoleproxy.config.kinds import (
    ADDRESS,
    ADDRESS_PORT,
    COUNT_OR_AUTO,
    FILE,
    HOST,
    ORIGINS,
    PORT,
    PORT_OR_OFF,
    SECRET,
    TEXT,
    TIMEOUT,
    YES_OR_NO,
    Kind,
    choice,
    count,
    duration,
    size,
    size_or_off,
)
from consoleproxy.config.secrets import SecretReader, read_text
from consoleproxy.errors import ConfigError

ENVIRONMENT_PREFIX = "CONSOLEPROXY_"
#: Names the TOML file, as ``--config`` does; the one environment name that is no setting.
CONFIG_NAME = "CONSOLEPROXY_CONFIG"

# A Kubernetes Service called consoleproxy or consoleproxy-x puts such names into every pod beside it.
_SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
_SERVICE_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://.*")

_LISTENING, _ACCESS, _LIMITS, _DEADLINES, _LOG = "Listening", "Access", "Limits", "Deadlines", "Log"
_DEMO, _MANAGER, _LINK = "Demo", "Manager", "Link between proxy and manager"


def _setting(default: object, kind: Kind, group: str, text: str, example: str) -> Any:  # noqa: ANN401 - what dataclasses.field gives
    """A setting: ``text`` is its help, ``example`` a value that somebody would choose instead of the default."""
    metadata = {"kind": kind, "group": group, "help": text, "example": example}
    return dataclasses.field(default=default, repr=kind is not SECRET, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that is decided before the program starts; times in seconds, sizes in bytes."""

    listen_address: str = _setting("127.0.0.1", ADDRESS, _LISTENING, "address that browsers connect to", "192.0.2.10")
    single_port: int | None = _setting(
        6080,
        PORT_OR_OFF,
        _LISTENING,
        "one port for pages and consoles; 0 takes any free one, off uses page_port and websocket_port",
        "443",
    )
    page_port: int = _setting(
        80,
        PORT,
        _LISTENING,
        "port for pages when single_port is off; 443 where tls_cert is given; 0 takes any free one",
        "8000",
    )
    websocket_port: int = _setting(
        8080,
        PORT,
        _LISTENING,
        "port for consoles when single_port is off; 8443 where tls_cert is given; 0 takes any free one",
        "8001",
    )
    tls_cert: str = _setting(
        "",
        FILE,
        _LISTENING,
        "PEM file of the public ports' certificate chain, read again when it changes; empty serves in clear",
        "/etc/consoleproxy/chain.pem",
    )
    tls_key: str = _setting("", FILE, _LISTENING, "PEM file of its private key", "/etc/consoleproxy/key.pem")
    public_address: str = _setting(
        "", HOST, _LISTENING, "host name in printed URLs; empty means listen_address", "consoles.example.test"
    )
    ops_listen: str = _setting(
        "127.0.0.1:9180",
        ADDRESS_PORT,
        _LISTENING,
        "the operators' port (metrics, health); empty switches it off",
        "192.0.2.10:9180",
    )
    workers: int | None = _setting(
        None,
        COUNT_OR_AUTO,
        _LISTENING,
        "processes that carry consoles; auto is one for each core, 0 has the main process carry them, as in the demo",
        "4",
    )
    allowed_origins: tuple[str, ...] = _setting(
        (), ORIGINS, _ACCESS, "pages of other hosts that may open consoles", "https://cloud.example.test"
    )
    check_source_address: bool = _setting(
        default=False,
        kind=YES_OR_NO,
        group=_ACCESS,
        text="a link opens only from the address that asked for it (CloudStack: novnc.console.sourceip.check.enabled)",
        example="true",
    )
    token_key: str = _setting(
        "",
        SECRET,
        _ACCESS,
        "the manager's key of the tokens, CloudStack's JSON; empty takes its store's",
        "@/run/secrets/token-key",
    )
    token_key_previous: str = _setting(
        "", SECRET, _ACCESS, "the key before, accepted during a rotation", "@/run/secrets/token-key-previous"
    )
    max_sessions: int = _setting(2000, count(1), _LIMITS, "consoles that may be open at once", "500")
    max_pending: int = _setting(512, count(1), _LIMITS, "connections of a process that are not yet a console", "1000")
    max_pending_per_address: int = _setting(64, count(1), _LIMITS, "the same, of one address", "16")
    max_message: int = _setting(1024**2, size(1024), _LIMITS, "longest websocket message of a browser", "64KiB")
    session_bandwidth: int = _setting(
        0, size_or_off(1024), _LIMITS, "bytes a second that a console may carry, in each direction", "2MiB"
    )
    proxy_bandwidth: int = _setting(
        0, size_or_off(1024), _LIMITS, "bytes a second that all consoles together may carry, likewise", "100MiB"
    )
    request_timeout: float = _setting(10.0, TIMEOUT, _DEADLINES, "time for a browser to send its request head", "5s")
    browser_handshake_timeout: float = _setting(15.0, TIMEOUT, _DEADLINES, "time for a browser's VNC handshake", "30s")
    authorise_timeout: float = _setting(10.0, TIMEOUT, _DEADLINES, "time for the manager to admit a viewer", "5s")
    vm_connect_timeout: float = _setting(10.0, TIMEOUT, _DEADLINES, "time to connect to a VM's host", "3s")
    vm_handshake_timeout: float = _setting(10.0, TIMEOUT, _DEADLINES, "time for a VM's VNC handshake", "30s")
    stall_timeout: float = _setting(
        60.0, TIMEOUT, _DEADLINES, "time for a browser or virtual machine that reads nothing to go on", "2m"
    )
    close_timeout: float = _setting(5.0, TIMEOUT, _DEADLINES, "time for a browser to take its end", "1s")
    drain_timeout: float = _setting(
        3600.0, duration(0), _DEADLINES, "time for open consoles to end by themselves after SIGTERM", "5m"
    )
    log_level: str = _setting(
        "info", choice("debug", "info", "warning", "error"), _LOG, "least that is logged", "debug"
    )
    log_format: str = _setting("text", choice("text", "json"), _LOG, "lines for people or for machines", "json")
    demo_vms: int = _setting(2, count(0), _DEMO, "built-in virtual machines of the demo", "4")
    demo_qemu: str = _setting(
        "auto", choice("auto", "on", "off"), _DEMO, "start a real virtual machine; auto where QEMU is installed", "off"
    )
    tls: bool = _setting(
        default=False,
        kind=YES_OR_NO,
        group=_DEMO,
        text="the demo's proxies speak TLS, with a certificate made for it",
        example="true",
    )
    proxies: int = _setting(1, count(1), _DEMO, "proxies of the demo; more than one run as processes of their own", "3")
    manager_listen: str = _setting(
        "127.0.0.1:6081",
        ADDRESS_PORT,
        _MANAGER,
        "where the manager answers API, proxies and, in the demo, the start page",
        "192.0.2.1:6081",
    )
    manager_cert: str = _setting(
        "", FILE, _MANAGER, "PEM file of the manager's certificate chain; empty serves plain HTTP", "manager.pem"
    )
    manager_key: str = _setting("", FILE, _MANAGER, "PEM file of its private key", "manager.key")
    inventory: str = _setting("", FILE, _MANAGER, "YAML file of accounts and instances", "inventory.yaml")
    state_folder: str = _setting(
        "consoleproxy-state",
        FILE,
        _MANAGER,
        "where a manager keeps its store, and a proxy its id",
        "/var/lib/consoleproxy",
    )
    manager_url: str = _setting(
        "", TEXT, _LINK, "the manager that a proxy belongs to", "https://manager.example.test:6081"
    )
    manager_ca: str = _setting("", FILE, _LINK, "PEM file of the CA that signed the manager's certificate", "ca.pem")
    link_secret: str = _setting(
        "", SECRET, _LINK, "what proxies show their manager; both sides have the same", "@/run/secrets/link"
    )
    proxy_name: str = _setting(
        "", TEXT, _LINK, "how the manager calls a proxy; empty takes the machine's name", "v-2-VM"
    )


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and for each by name where its value came from."""

    settings: Settings
    origins: Mapping[str, str]


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` a flag for each setting; hand what it parsed to ``load`` or ``load_all``."""
    parser.add_argument("--config", metavar="FILE", help=f"TOML file of settings (environment: {CONFIG_NAME})")
    for title, specs in groupby(dataclasses.fields(Settings), key=lambda spec: spec.metadata["group"]):
        group = parser.add_argument_group(title)
        for spec in specs:
            kind: Kind = spec.metadata["kind"]
            bare: dict[str, Any] = {"nargs": "?", "const": "true"} if kind is YES_OR_NO else {}
            # A flag that is not given leaves no trace, so that it hides no other source.
            group.add_argument(
                flag_name(spec.name),
                metavar=kind.metavar,
                default=argparse.SUPPRESS,
                help=f"{spec.metadata['help']} (default: {show(spec.name, spec.default) or 'empty'})",
                **bare,
            )


def load_all(flags: Mapping[str, object], environ: Mapping[str, str], secrets: SecretReader) -> Loaded:
    """Read the TOML file, if one is named, and load every source."""
    path = str(flags.get("config") or environ.get(CONFIG_NAME) or "")
    return load(flags, environ, read_text(path, "--config") if path else "", toml_path=path, secrets=secrets)


def load(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    toml_text: str = "",
    *,
    toml_path: str = "",
    secrets: SecretReader | None = None,
) -> Loaded:
    """Put the settings together, or raise a ``ConfigError`` that names setting, origin, value and mend.

    ``flags`` is what ``argparse`` found (other names in it are ignored), ``environ`` the
    whole environment. Without ``secrets``, secrets are taken as they stand.
    """
    given = dict(_from_toml(toml_text, toml_path))
    given.update(_from_environment(environ))
    given.update((name, (str(flags[name]), f"flag {flag_name(name)}")) for name in _SPECS if name in flags)
    values: dict[str, Any] = {}
    for name, (text, origin) in given.items():
        values[name] = _parse(name, secrets.read(text, name) if secrets and is_secret(name) else text, origin)
    if values.get("tls_cert"):
        values = {**_TLS_PORTS, **values}
    settings = Settings(**values)
    if settings.single_port is None and settings.page_port == settings.websocket_port != 0:
        raise ConfigError(f"page_port and websocket_port are both {settings.page_port}: give two, or a single_port")
    return Loaded(settings, {name: given[name][1] if name in given else "default" for name in _SPECS})


def show(name: str, value: object) -> str:
    """Return a setting's value as text that its sources take; a secret is ``(hidden)``."""
    if is_secret(name):
        return "(hidden)" if value else ""
    return str(_SPECS[name].metadata["kind"].show(value))


def is_secret(name: str) -> bool:
    """Whether the setting's value must never be shown."""
    return _SPECS[name].metadata["kind"] is SECRET


def flag_name(name: str) -> str:
    """Return the setting's flag."""
    return "--" + name.replace("_", "-")


def environment_name(name: str) -> str:
    """Return the setting's environment name."""
    return ENVIRONMENT_PREFIX + name.upper()


def nearest(word: str, words: Iterable[str]) -> str:
    """Return a question to end an error with, or nothing when no known word is near."""
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def settings_table() -> str:
    """Return the README's table of all settings, in Markdown."""
    lines = ["| Setting | Flag | Environment | Default | Meaning |", "|---|---|---|---|---|"]
    for name, spec in _SPECS.items():
        default, example = show(name, spec.default), spec.metadata["example"]
        lines.append(
            f"| `{name}` | `{flag_name(name)}` | `{environment_name(name)}` | {f'`{default}`' if default else 'empty'} "
            f"| {spec.metadata['help']}{f', for example `{example}`' if example else ''} |"
        )
    return "\n".join(lines) + "\n"


#: A whole number with more bits fits no setting, and the interpreter refuses to write it as text.
MOST_BITS = 64

#: CloudStack's ports with TLS (fact 1.1), which hold where no other was chosen.
_TLS_PORTS = {"page_port": 443, "websocket_port": 8443}

_SPECS = {spec.name: spec for spec in dataclasses.fields(Settings)}


def _parse(name: str, text: str, origin: str) -> object:
    kind: Kind = _SPECS[name].metadata["kind"]
    try:
        return kind.parse(text)
    except ValueError:
        raise ConfigError(f"{name} is {text!r} (from {origin}): give {kind.wanted}") from None


def _from_toml(text: str, path: str) -> Iterator[tuple[str, tuple[str, str]]]:
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise ConfigError(f"{path} is not TOML: {str(error) or 'too deep'}") from None
    for name, value in table.items():
        if name not in _SPECS:
            raise ConfigError(f"{path}: there is no setting {name!r}{nearest(name, _SPECS)}")
        yield name, (_toml_text(name, value, path), f"file {path}")


def _toml_text(name: str, value: object, path: str) -> str:
    """TOML's own types become the text that the other sources would give."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise ConfigError(f"{path}: {name} is a number too large: give {_SPECS[name].metadata['kind'].wanted}")
    if isinstance(value, str | int | float):
        return str(value)
    raise ConfigError(f"{path}: {name} is a {type(value).__name__}: give {_SPECS[name].metadata['kind'].wanted}")


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, str]]]:
    known = {environment_name(name): name for name in _SPECS}
    for variable, text in environ.items():
        if variable in known and not _SERVICE_LINK_VALUE.fullmatch(text):
            yield known[variable], (text, f"environment {variable}")
        elif variable.startswith(ENVIRONMENT_PREFIX) and not _is_known(variable, text):
            raise ConfigError(f"there is no setting {variable} (environment){nearest(variable, known)}")


def _is_known(variable: str, text: str) -> bool:
    """Whether a name that is no setting may stand in the environment all the same."""
    is_service_link = _SERVICE_LINK.fullmatch(variable) or _SERVICE_LINK_VALUE.fullmatch(text)
    return variable == CONFIG_NAME or bool(is_service_link)

"""``consoleproxy demo``, ``manager`` and ``proxy``: the commands that serve until they are stopped."""

from __future__ import annotations

import argparse
import dataclasses
import os
import socket
import sys
from pathlib import Path

from consoleproxy.cli.parser import Commands
from consoleproxy.config import Loaded, Settings, add_flags, load_all
from consoleproxy.config.secrets import SecretReader
from consoleproxy.errors import ConfigError

_PRECEDENCE = """\

Each setting is also an environment name (CONSOLEPROXY_SINGLE_PORT) and a key of the TOML
file (single_port); a flag wins over the environment, the environment over the file.
"""

_DEMO_EXAMPLES = (
    """\
examples:
  consoleproxy demo
  consoleproxy demo --proxies 3
  consoleproxy demo --single-port 8000 --demo-vms 4
  consoleproxy demo --json            any free ports, and one line of JSON for scripts
"""
    + _PRECEDENCE
)

_MANAGER_EXAMPLES = (
    """\
examples:
  consoleproxy manager --inventory inventory.yaml --link-secret @link.secret
  consoleproxy manager --inventory inventory.yaml --link-secret @link.secret \\
      --manager-listen 192.0.2.1:6081 --manager-cert manager.pem --manager-key manager.key

The API is at /client/api, as CloudStack's clients expect it. The inventory names accounts
with their API keys, and instances with their VNC servers (docs/README.md shows one).
"""
    + _PRECEDENCE
)

_PROXY_EXAMPLES = (
    """\
examples:
  consoleproxy proxy --manager-url http://127.0.0.1:6081 --link-secret @link.secret
  consoleproxy proxy --manager-url https://manager.example.test:6081 --manager-ca ca.pem \\
      --link-secret @link.secret --listen-address 0.0.0.0 --public-address 192.0.2.10

Pages are on port 80 and consoles on 8080, unless flags say otherwise; --single-port joins them.
"""
    + _PRECEDENCE
)


_RELOAD_EXAMPLES = (
    """\
examples:
  consoleproxy reload --state-folder /var/lib/consoleproxy

Consoles that run go on, no connection is refused. The proxy takes the arguments that it was
started with, and reads its files again. A new program that does not come up changes nothing:
the exit status is 1 then, and the reason is told. Without workers certificates are read again.
"""
    + _PRECEDENCE
)


def add_commands(commands: Commands) -> None:
    """Add the three commands."""
    demo = commands.add_parser(
        "demo",
        help="demo VMs, manager and proxy, by one command",
        description="Start demo VMs, a manager and a proxy, and print where to look.",
        epilog=_DEMO_EXAMPLES,
    )
    demo.add_argument("--json", action="store_true", help="use free ports and print the addresses as one line of JSON")
    add_flags(demo)
    demo.set_defaults(run=_demo)
    manager = commands.add_parser(
        "manager",
        help="the control plane: API, store, links to the proxies",
        description="Run the manager: it decides who may open which console, on which proxy.",
        epilog=_MANAGER_EXAMPLES,
    )
    add_flags(manager)
    manager.set_defaults(run=_manager)
    proxy = commands.add_parser(
        "proxy",
        help="a proxy that belongs to a manager",
        description="Run a proxy: it takes its keys and settings from the manager, and reports its sessions to it.",
        epilog=_PROXY_EXAMPLES,
    )
    proxy.add_argument("--json", action="store_true", help="once ready, print its addresses as one line of JSON")
    proxy.add_argument("--respawn", action="store_true", help="start again after a crash, where systemd does not")
    add_flags(proxy)
    proxy.set_defaults(run=_proxy)
    reload = commands.add_parser(
        "reload",
        help="replace a running proxy by the program as it is now, without a cut",
        description="Have the proxy of a state folder replace itself, once the new program has proved itself.",
        epilog=_RELOAD_EXAMPLES,
    )
    add_flags(reload)
    reload.set_defaults(run=_reload)
    # Not for people, so without help: what the supervisor starts.
    worker = commands.add_parser("worker", description="Carry consoles for the supervisor that started this.")
    worker.add_argument("descriptor", type=int)
    worker.set_defaults(run=_worker)


def _load(arguments: argparse.Namespace) -> Loaded:
    return load_all(vars(arguments), os.environ, SecretReader(sys.stdin))


# The programs are imported where they are run, so that the other commands need not wait for servers.


def _demo(arguments: argparse.Namespace) -> int:
    from consoleproxy import demo  # noqa: PLC0415

    demo.run(_load(arguments).settings, json_output=arguments.json)
    return 0


def _manager(arguments: argparse.Namespace) -> int:
    from consoleproxy.manager import app  # noqa: PLC0415

    settings = _load(arguments).settings
    _need(settings, "link_secret")
    app.run(settings)
    return 0


def _proxy(arguments: argparse.Namespace) -> int:
    from consoleproxy.ops.logs import start_logging  # noqa: PLC0415
    from consoleproxy.proxy.app import program  # noqa: PLC0415
    from consoleproxy.proxy.workers import probe, respawn  # noqa: PLC0415

    settings = _proxy_settings(arguments)
    folder = Path(settings.state_folder)
    if probe.is_asked():
        program.probe(settings, folder)
    elif arguments.respawn and settings.workers and not respawn.is_child():
        start_logging(settings.log_level, settings.log_format)
        return respawn.run()
    else:
        program.run(settings, folder, json_output=arguments.json, reread=lambda: _proxy_settings(arguments))
    return 0


def _proxy_settings(arguments: argparse.Namespace) -> Settings:
    loaded = _load(arguments)
    settings = loaded.settings
    _need(settings, "manager_url", "link_secret")
    if loaded.origins["single_port"] == "default":
        settings = dataclasses.replace(settings, single_port=None)
    if settings.workers is None:
        settings = dataclasses.replace(settings, workers=len(os.sched_getaffinity(0)))
    return dataclasses.replace(settings, proxy_name=settings.proxy_name or socket.gethostname())


def _reload(arguments: argparse.Namespace) -> int:
    from consoleproxy.proxy.workers import reload  # noqa: PLC0415

    why_not = reload.run(Path(_load(arguments).settings.state_folder))
    if why_not:
        print(f"consoleproxy: not reloaded: {why_not}", file=sys.stderr)
    return 1 if why_not else 0


def _worker(arguments: argparse.Namespace) -> int:
    from consoleproxy.proxy.workers import worker  # noqa: PLC0415

    worker.run(arguments.descriptor)
    return 0


def _need(settings: Settings, *names: str) -> None:
    for name in names:
        if not getattr(settings, name):
            flag = name.replace("_", "-")
            raise ConfigError(
                f"{name} is needed: give --{flag}, CONSOLEPROXY_{name.upper()} or {name} in the TOML file"
            )

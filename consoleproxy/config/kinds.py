"""What the texts of settings may look like, and what they become."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_PORT = 65535
MAX_PROCESSES = 512

_SIZES = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_SECONDS = {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_YES_AND_NO = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_ORIGIN = re.compile(r"null|[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[^\s\[\]/?#@:*]+)(:[0-9]{1,5})?/?|[^\s\[\]/?#@:*]+")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a setting's text may look like.

    ``wanted`` ends the sentence "give ..."; ``parse`` returns the value or raises
    ``ValueError``; ``show`` turns the value into text that ``parse`` reads.
    """

    metavar: str
    wanted: str
    parse: Callable[[str], object]
    show: Callable[[Any], str] = str


def count(low: int) -> Kind:
    """A whole number of at least ``low``."""
    return Kind("N", f"a whole number, {low} or more", lambda text: _number(text, low, float("inf")))


def choice(*words: str) -> Kind:
    """One of ``words``."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return Kind("|".join(words), f"{', '.join(words[:-1])} or {words[-1]}", parse)


def duration(low: float) -> Kind:
    """Seconds, of at least ``low``."""
    wanted = f"seconds, {low:g} or more, such as 10, 10s, 500ms, 5m or 1h"
    return Kind("TIME", wanted, lambda text: _scaled(text, _SECONDS, low), lambda value: _show_scaled(value, _SECONDS))


def size(low: int) -> Kind:
    """Bytes, of at least ``low``."""

    def parse(text: str) -> int:
        value = _scaled(text, _SIZES, low)
        if value != int(value):
            raise ValueError(text)
        return int(value)

    wanted = f"bytes, {_show_scaled(low, _SIZES)} or more, such as 65536, 64KiB or 1MiB"
    return Kind("SIZE", wanted, parse, lambda value: _show_scaled(value, _SIZES))


def size_or_off(low: int) -> Kind:
    """Bytes, of at least ``low``, or 0, which is written ``off``."""
    some = size(low)
    return Kind(
        f"{some.metavar}|off",
        f"{some.wanted}, or off",
        lambda text: 0 if text == "off" else some.parse(text),
        lambda value: some.show(value) if value else "off",
    )


def _number(text: str, low: int, high: float) -> int:
    if not re.fullmatch("-?[0-9]{1,15}", text) or not low <= int(text) <= high:
        raise ValueError(text)
    return int(text)


def _scaled(text: str, units: Mapping[str, float], low: float) -> float:
    parts = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([A-Za-z]*)", text)
    if parts is None or parts[2] not in units or float(parts[1]) * units[parts[2]] < low:
        raise ValueError(text)
    return float(parts[1]) * units[parts[2]]


def _show_scaled(value: float, units: Mapping[str, float]) -> str:
    """Write ``value`` in the largest unit that leaves a whole number, else in the plain one."""
    for unit in sorted(filter(None, units), key=units.__getitem__, reverse=True):
        if value and units[unit] >= 1 and value % units[unit] == 0:
            return f"{value / units[unit]:.0f}{unit}"
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _yes_or_no(text: str) -> bool:
    if text.lower() not in _YES_AND_NO:
        raise ValueError(text)
    return _YES_AND_NO[text.lower()]


def _address(text: str) -> str:
    ipaddress.ip_address(text)
    return text


def _host(text: str) -> str:
    return text if not text or _HOST.fullmatch(text) else _address(text)


def _address_and_port(text: str) -> str:
    if text:
        host, _, port = text.rpartition(":")
        _number(port, 0, MAX_PORT)
        is_bracketed = host.startswith("[") and host.endswith("]")
        bare = host[1:-1] if is_bracketed else host
        if (":" in bare) != is_bracketed:
            raise ValueError(text)
        _address(bare)
    return text


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    if not all(map(_ORIGIN.fullmatch, origins)):
        raise ValueError(text)
    return origins


ADDRESS = Kind("ADDRESS", "an IP address of this machine; 0.0.0.0 or :: means all of them", _address)
ADDRESS_PORT = Kind("ADDRESS:PORT", "an address and port such as 127.0.0.1:9180 or [::1]:9180", _address_and_port)
HOST = Kind("HOST", "a host name or address, without scheme and port", _host)
PORT = Kind("PORT", f"a port, 0 to {MAX_PORT}", lambda text: _number(text, 0, MAX_PORT))
PORT_OR_OFF = Kind(
    "PORT|off",
    f"a port, 0 to {MAX_PORT}, or off",
    lambda text: None if text == "off" else _number(text, 0, MAX_PORT),
    lambda value: "off" if value is None else str(value),
)
COUNT_OR_AUTO = Kind(
    "N|auto",
    "a whole number, 0 or more, or auto",
    lambda text: None if text == "auto" else _number(text, 0, MAX_PROCESSES),
    lambda value: "auto" if value is None else str(value),
)
ORIGINS = Kind("A,B", "origins such as https://cloud.example.test, or host names, between commas", _origins, ",".join)
TIMEOUT = duration(0.01)
YES_OR_NO = Kind("true|false", "true or false", _yes_or_no, lambda value: str(value).lower())
#: Never shown; ``@FILE`` and ``-`` are read before it is parsed.
TEXT = Kind("TEXT", "a text", str)
FILE = Kind("FILE", "a path", str)
SECRET = Kind("SECRET", "a text, @FILE or - for standard input", str)

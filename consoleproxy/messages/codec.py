"""Messages as JSON text, and back: those of our own link, and by ``Codec`` those of other links.

A message is one object: ``kind``, ``id`` where it is a request or an answer, and the
fields of its dataclass. Fields that nobody knows are ignored, so that either side can be
the older one; a kind that nobody knows is for the caller to answer with a ``Fault``.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar, cast

from consoleproxy import errors
from consoleproxy.errors import LinkRefused, Refused, RemoteProtocolError
from consoleproxy.messages import (
    AccessAnswer,
    AccessRequest,
    Ack,
    Done,
    Drain,
    Fault,
    KeysPush,
    Kill,
    LoadReport,
    ProxyDescription,
    Refusal,
    SessionEnd,
    SessionOpened,
    SettingsPush,
    Target,
    Welcome,
)

#: Characters of one message; a full list of sixteen thousand sessions fits.
MAX_MESSAGE = 4 * 1024 * 1024
#: Numbers stay below this: a database's.
_LARGEST = 2**63

_Message = TypeVar("_Message")

Message: TypeAlias = (
    ProxyDescription
    | Welcome
    | AccessRequest
    | AccessAnswer
    | LoadReport
    | Ack
    | SettingsPush
    | KeysPush
    | Kill
    | Drain
    | Done
    | Refusal
    | Fault
)

KINDS: Mapping[str, type[Message]] = {
    "hello": ProxyDescription,
    "welcome": Welcome,
    "authorise": AccessRequest,
    "decision": AccessAnswer,
    "report": LoadReport,
    "ack": Ack,
    "settings": SettingsPush,
    "keys": KeysPush,
    "kill": Kill,
    "drain": Drain,
    "done": Done,
    "refused": Refusal,
    "error": Fault,
}
#: The ``reason`` of a ``Refusal`` that is about the proxy itself.
LINK_REFUSED = "link-refused"
_REFUSALS: Mapping[str, type[Refused]] = {
    error.reason: error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, Refused)
}


@dataclass(frozen=True, slots=True)
class Envelope(Generic[_Message]):
    """A message as it came: ``message`` is None for an unknown kind, ``id`` None where there was none."""

    kind: str
    id: int | None
    message: _Message | None


class Codec(Generic[_Message]):
    """The messages of one link: ``kinds`` are their names, ``parts`` the dataclasses inside them."""

    def __init__(self, kinds: Mapping[str, type[_Message]], parts: Sequence[type]) -> None:
        self._kinds = kinds
        self._names = {shape: kind for kind, shape in kinds.items()}
        #: The types of each message's fields, and of what lies inside one.
        self._fields: Mapping[type, Mapping[str, Any]] = {
            shape: typing.get_type_hints(shape) for shape in (*kinds.values(), *parts)
        }

    def to_json(self, message: _Message, message_id: int | None = None) -> str:
        """Write ``message``; an answer bears the id of what it answers. The text may hold secrets."""
        head: dict[str, Any] = {"kind": self._names[type(message)]}
        if message_id is not None:
            head["id"] = message_id
        fields = dataclasses.asdict(cast("Any", message))
        return json.dumps(head | fields, separators=(",", ":"), default=dict)

    def from_json(self, text: str) -> Envelope[_Message]:
        """Read a message, or raise ``RemoteProtocolError``, which never holds any of its values."""
        if len(text) > MAX_MESSAGE:
            raise RemoteProtocolError(f"a message is longer than {MAX_MESSAGE}", close_code=1009)
        try:
            fields = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            raise RemoteProtocolError("a message is not JSON") from None
        if not isinstance(fields, dict) or not isinstance(kind := fields.get("kind"), str):
            raise RemoteProtocolError("a message is not an object with a kind")
        message_id = fields.get("id")
        if message_id is not None and type(message_id) is not int:
            raise RemoteProtocolError("a message's id is not a number")
        shape = self._kinds.get(kind)
        message = None if shape is None else self._read_shape(shape, fields, kind)
        return Envelope(kind, message_id, cast("_Message | None", message))

    def _read(self, wanted: Any, value: object, name: str) -> Any:  # noqa: ANN401 - any of the types that a field may have
        """Return ``value`` as ``wanted``, which is a type of a message's field."""
        if dataclasses.is_dataclass(wanted):
            return self._read_shape(cast("type[Any]", wanted), value, name)
        origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
        if origin in (types.UnionType, typing.Union):
            return None if value is None else self._read(arguments[0], value, name)
        if origin is tuple and isinstance(value, list):
            return tuple(self._read(arguments[0], item, name) for item in value)
        if origin is Mapping and isinstance(value, dict):
            return {key: self._read(arguments[1], item, name) for key, item in value.items()}
        return _read_plain(wanted, value, name)

    def _read_shape(self, shape: type[Any], value: object, name: str) -> object:
        if not isinstance(value, dict):
            raise RemoteProtocolError(f"a message's {name} has the wrong type")
        wanted = self._fields[shape]
        values = {key: self._read(wanted[key], value[key], f"{name}.{key}") for key in wanted if key in value}
        missing = [spec.name for spec in dataclasses.fields(shape) if _is_needed(spec) and spec.name not in values]
        if missing:
            raise RemoteProtocolError(f"a message's {name}.{missing[0]} is missing")
        return shape(**values)


_LINK: Codec[Message] = Codec(KINDS, (Target, SessionOpened, SessionEnd))


def to_json(message: Message, message_id: int | None = None) -> str:
    """Write a message of our own link; an answer bears the id of what it answers. The text may hold secrets."""
    return _LINK.to_json(message, message_id)


def from_json(text: str) -> Envelope[Message]:
    """Read a message of our own link, or raise ``RemoteProtocolError``, which never holds any of its values."""
    return _LINK.from_json(text)


def to_refusal(error: Refused | LinkRefused) -> Refusal:
    """Turn a no into its message."""
    return Refusal(error.reason if isinstance(error, Refused) else LINK_REFUSED, str(error))


def from_refusal(refusal: Refusal) -> Refused | LinkRefused:
    """Turn the message back into the error to raise; ``Refused`` itself for a reason that is not known."""
    if refusal.reason == LINK_REFUSED:
        return LinkRefused(refusal.detail)
    return _REFUSALS.get(refusal.reason, Refused)(refusal.detail or refusal.reason)


def _read_plain(wanted: type, value: object, name: str) -> object:
    if isinstance(value, int | float) and not -_LARGEST < value < _LARGEST:
        raise RemoteProtocolError(f"a message's {name} is too large")
    if isinstance(value, str) and not _is_whole(value):
        raise RemoteProtocolError(f"a message's {name} holds half a character")
    if wanted is float and type(value) is int:
        return float(value)
    # Exactly: true is no number.
    if type(value) is not wanted:
        raise RemoteProtocolError(f"a message's {name} has the wrong type")
    return value


def _is_whole(text: str) -> bool:
    """Say whether the text could be stored and sent on."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_constant(name: str) -> float:
    """Refuse NaN and Infinity, which are not JSON."""
    raise ValueError(name)


def _is_needed(spec: dataclasses.Field[Any]) -> bool:
    return spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING

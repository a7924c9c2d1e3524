"""The vocabulary of handshakes: what a conversation asks of whoever runs it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Read:
    """Answer with exactly ``size`` bytes from the peer."""

    size: int


@dataclass(frozen=True, slots=True)
class Send:
    """Send ``data`` to the peer; the answer is ``b""``."""

    data: bytes


@dataclass(frozen=True, slots=True)
class StartTLS:
    """Start TLS as the client, now, on the same connection; the answer is ``b""``.

    Refused by the runner when bytes of the peer are still unread: they came in
    clear and must not be taken for the peer's encrypted words.
    """

    server_name: str


Step: TypeAlias = Read | Send | StartTLS

#: A handshake: yields steps, is sent the answers, returns its result.
Conversation: TypeAlias = Generator[Step, bytes, T]

"""From an end's word back to its error, where an order to end a console comes over a line."""

from __future__ import annotations

from collections.abc import Mapping

from consoleproxy import errors
from consoleproxy.errors import Killed, SessionEnded

_ENDINGS: Mapping[str, type[SessionEnded]] = {
    error.reason: error
    for error in vars(errors).values()
    if isinstance(error, type) and issubclass(error, SessionEnded)
}


def ending(reason: str) -> type[SessionEnded]:
    """Return the error of ``reason``; ``Killed`` for a word that is not known."""
    return _ENDINGS.get(reason, Killed)

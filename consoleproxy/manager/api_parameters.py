"""The parameters of an API request, and what is wrong with them in CloudStack's numbers."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

#: Bytes of a request's body.
MAX_BODY = 64 * 1024
#: Parameters of a request; clients send about ten.
MAX_PARAMETERS = 100
#: Characters of a value where the command does not say otherwise, as in CloudStack.
MAX_VALUE = 255
#: Rows of a page, and of an answer that asked for none (CloudStack's ``default.page.size``).
MAX_PAGE = 500
#: Seconds in which a client must have sent its request.
BODY_DEADLINE = 10.0

_FORM = "application/x-www-form-urlencoded"
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class ApiError(Exception):
    """The request is refused: ``status`` is the HTTP status and CloudStack's error code, the text is for the client.

    The text names parameters and never repeats a value, which might be a secret.
    """

    UNAUTHORISED: Final = 401
    MALFORMED: Final = 430
    PARAMETER: Final = 431
    UNSUPPORTED: Final = 432
    INTERNAL: Final = 530
    UNAVAILABLE: Final = 534

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters by their names, which are the same in any case. They may hold secrets.

    ``sent`` is what the signature is computed over. Each reader raises ``ApiError`` 431
    for a value that does not fit; an empty value counts as none.
    """

    sent: tuple[tuple[str, str], ...] = field(repr=False)
    by_name: dict[str, str] = field(repr=False)

    def has(self, name: str) -> bool:
        """Tell whether the parameter stands in the request, be it empty."""
        return name in self.by_name

    def text(self, name: str, default: str = "", *, longest: int = MAX_VALUE) -> str:
        """Return the value, or ``default`` where there is none."""
        value = self.by_name.get(name, "")
        if len(value) > longest:
            raise ApiError(ApiError.PARAMETER, f"Parameter {name} is longer than {longest} characters.")
        return value or default

    def required(self, name: str) -> str:
        """Return the value, which must be there."""
        if not (value := self.text(name)):
            raise ApiError(ApiError.PARAMETER, f"Unable to execute the command due to missing parameter {name}.")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """Return ``true`` or ``false`` as a bool."""
        value = self.text(name).lower()
        if value not in {"", "true", "false"}:
            raise ApiError(ApiError.PARAMETER, f"Parameter {name} is neither true nor false.")
        return value == "true" if value else default

    def number(self, name: str, default: int) -> int:
        """Return a whole number."""
        value = self.text(name, str(default))
        if not re.fullmatch(r"-?\d{1,9}", value, re.ASCII):
            raise ApiError(ApiError.PARAMETER, f"Parameter {name} is no whole number.")
        return int(value)

    def moment(self, name: str, *, is_end: bool = False) -> float | None:
        """Return a date as Unix seconds, ``None`` where there is none.

        A date without a zone is UTC; a day alone means its first moment, or its last with ``is_end``.
        """
        if not (value := self.text(name)):
            return None
        try:
            moment = datetime.fromisoformat(value)
            if is_end and _DAY.fullmatch(value):
                moment += timedelta(days=1, microseconds=-1)
        except (ValueError, OverflowError):
            raise ApiError(
                ApiError.PARAMETER, f"Parameter {name} is no date: write 2030-12-31 or 2030-12-31T23:59:59+0000."
            ) from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

    def page(self) -> slice:
        """Return which rows of a list are asked for: ``page`` counts from 1, ``pagesize`` -1 means all."""
        page, size = self.number("page", 1), self.number("pagesize", MAX_PAGE)
        if page < 1 or (size < 1 and size != -1):
            raise ApiError(ApiError.PARAMETER, "Parameters page and pagesize count from 1.")
        if size > MAX_PAGE:
            raise ApiError(ApiError.PARAMETER, f"Parameter pagesize is above the limit of {MAX_PAGE}.")
        return slice(None) if size == -1 else slice((page - 1) * size, page * size)


async def read_parameters(request: web.Request) -> Parameters:
    """Read the query and the form of a request; raise ``ApiError`` for what is no list of parameters."""
    body = await read_body(request)
    if body and request.content_type != _FORM:
        raise ApiError(415, f"The body of a request is {_FORM}.")
    try:
        form = body.decode()
    except ValueError:
        raise _malformed() from None
    return parse_parameters(request.rel_url.raw_query_string, form)


def parse_parameters(*texts: str) -> Parameters:
    """Return the parameters of percent-encoded texts; none may be given twice, in any case."""
    try:
        sent = [pair for text in texts for pair in _pairs(text)]
    except ValueError:
        raise _malformed() from None
    by_name: dict[str, str] = {}
    for name, value in sent:
        if name.lower() in by_name:
            raise ApiError(ApiError.PARAMETER, "A parameter is given more than once.")
        by_name[name.lower()] = value
    return Parameters(tuple(sent), by_name)


async def read_body(request: web.Request) -> bytes:
    """Return the body, at most ``MAX_BODY`` bytes of it in ``BODY_DEADLINE`` seconds; else raise ``ApiError``."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_DEADLINE):
            while piece := await request.content.readany():
                body += piece
                if len(body) > MAX_BODY:
                    raise ApiError(413, f"The body of a request is at most {MAX_BODY} bytes.")
    except TimeoutError:
        raise ApiError(408, "The request did not arrive in time.") from None
    except web.RequestPayloadError:
        raise ApiError(400, "The body of the request is damaged.") from None
    return bytes(body)


def _pairs(text: str) -> list[tuple[str, str]]:
    text.encode()  # a stray byte in the address line is a surrogate here: it fails now, not in the store
    return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)


def _malformed() -> ApiError:
    return ApiError(
        ApiError.MALFORMED,
        f"The parameters are malformed: at most {MAX_PARAMETERS}, in percent-encoded UTF-8, are read.",
    )

"""SQL of proxies and sessions: operations for ``Store``. Each is one step that nothing comes between."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, delete, func, literal, literal_column, or_, select, update
from sqlalchemy.dialects.sqlite import insert

from consoleproxy.errors import LinkRefused, UnknownError, UsedError, WrongProxyError
from consoleproxy.manager.model import ProxyRecord, Session
from consoleproxy.manager.store_schema import ACCOUNT, PROXY, SESSION
from consoleproxy.messages import LoadReport, ProxyDescription, SessionEnd, SessionOpened

PROXY_LOST = "proxy-lost"
#: Seconds that a viewer who was let in may take to appear in its proxy's list.
OPENING_TIME = 60.0

_IS_ACTIVE = SESSION.c.acquired.is_not(None) & SESSION.c.removed.is_(None)
_IS_RESERVED = SESSION.c.acquired.is_(None) & SESSION.c.removed.is_(None)
_SESSION_COLUMNS = [SESSION.c[field.name] for field in fields(Session)]


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions to list; None does not care. ``start`` and ``end`` bound the time of creation."""

    account_id: str | None = None
    instance_id: str | None = None
    session_id: str | None = None
    proxy_id: str | None = None
    creator_address: str | None = None
    client_address: str | None = None
    start: float | None = None
    end: float | None = None
    is_active: bool | None = None
    is_acquired: bool | None = None


# --- choosing and consuming -----------------------------------------------------------


def list_proxies(connection: Connection, now: float) -> list[ProxyRecord]:
    """Return every proxy with its load, the one that was known first first."""
    return [_proxy_of(row) for row in connection.execute(_PROXIES_WITH_LOAD, {"now": now})]


def last_proxy(connection: Connection, instance_id: str) -> str | None:
    """Return the proxy of the instance's newest session."""
    return connection.execute(_LAST_PROXY, {"instance": instance_id}).scalar()


def add_session(connection: Connection, session: Session) -> None:
    """Keep a new session."""
    connection.execute(insert(SESSION), {column.name: getattr(session, column.name) for column in _SESSION_COLUMNS})


def find_session(connection: Connection, session_id: str) -> Session | None:
    """Return one session."""
    row = connection.execute(_SESSION_BY_ID, {"id": session_id}).one_or_none()
    return None if row is None else Session(*row)


def consume(
    connection: Connection,
    session_id: str,
    *,
    proxy_id: str,
    client_address: str,
    now: float,
    check: Callable[[Session], None],
) -> None:
    """Acquire the session, once. ``check`` may refuse before that.

    Raises ``UnknownError``, what ``check`` raises, ``UsedError`` or ``WrongProxyError``;
    then the session is as it was. The last statement alone decides who of several wins.
    """
    session = find_session(connection, session_id)
    if session is None:
        raise UnknownError(f"session {session_id} is not known")
    check(session)
    if session.proxy_id != proxy_id:
        raise WrongProxyError(f"session {session_id} was assigned to proxy {session.proxy_id}, not to {proxy_id}")
    taken = (
        update(SESSION)
        .where(SESSION.c.id == session_id, SESSION.c.proxy_id == proxy_id, _IS_RESERVED)
        .values(acquired=now, client_address=client_address)
    )
    if connection.execute(taken).rowcount != 1:
        raise UsedError(f"session {session_id} was used")


def creator_name(connection: Connection, session_id: str) -> str:
    """Return the name of the account that made the session's link; empty where it is gone."""
    return str(connection.execute(_CREATOR, {"id": session_id}).scalar() or "")


# --- what proxies tell ----------------------------------------------------------------


def register(connection: Connection, hello: ProxyDescription, *, now: float, alive_since: float) -> None:
    """Note a proxy and what it carries. ``alive_since``: who was seen after that is alive.

    Raises ``LinkRefused`` where another proxy that is alive has one of its ports. Sessions that
    the proxy does not name are ended as lost; those that it does are active, whatever was thought.
    """
    _clear_address(connection, hello, alive_since)
    before = connection.execute(select(PROXY).where(PROXY.c.proxy_id == hello.proxy_id)).one_or_none()
    is_same_start = before is not None and before.incarnation == hello.incarnation
    values: dict[str, object] = {
        "name": hello.name,
        "incarnation": hello.incarnation,
        "address": hello.address,
        "page_port": hello.page_port,
        "websocket_port": hello.websocket_port,
        "is_tls": hello.is_tls,
        "capacity": hello.capacity,
        "is_up": True,
        "is_draining": hello.is_draining or bool(before is not None and is_same_start and before.is_draining),
        "last_seen": now,
        "version": hello.version,
    }
    put = insert(PROXY).values(proxy_id=hello.proxy_id, id=str(uuid.uuid4()), created=now, **values)
    connection.execute(put.on_conflict_do_update(index_elements=["proxy_id"], set_=values))
    _end(connection, hello.proxy_id, hello.ended, now)
    _open(connection, hello.proxy_id, hello.sessions, now)
    # A newly started proxy carries nothing from before, not even what it was just about to open.
    before_time = now - OPENING_TIME if is_same_start else now + 1
    _end_unlisted(connection, hello.proxy_id, hello.sessions, acquired_before=before_time, now=now)


def note_report(connection: Connection, proxy_id: str, incarnation: str, report: LoadReport, *, now: float) -> None:
    """Note a report; ``LinkRefused`` unless it comes from the proxy's present start.

    A proxy that was given up meanwhile is refused too: its next hello lists what still runs.
    """
    mine = (PROXY.c.proxy_id == proxy_id) & (PROXY.c.incarnation == incarnation) & PROXY.c.is_up
    seen = {"last_seen": now, **({"is_draining": True} if report.is_draining else {})}
    if connection.execute(update(PROXY).where(mine).values(seen)).rowcount != 1:
        raise LinkRefused(f"proxy {proxy_id} has not said hello, was given up, or has been started again since")
    _open(connection, proxy_id, report.opened, now)
    _end(connection, proxy_id, report.ended, now)
    if report.is_full:
        _end_unlisted(connection, proxy_id, report.opened, acquired_before=now - OPENING_TIME, now=now)


def mark_down(connection: Connection, proxy_id: str, incarnation: str) -> None:
    """Give the proxy no more consoles, unless it has been started again since."""
    mine = (PROXY.c.proxy_id == proxy_id) & (PROXY.c.incarnation == incarnation)
    connection.execute(update(PROXY).where(mine).values(is_up=False))


def mark_draining(connection: Connection, proxy_id: str) -> bool:
    """Give the proxy no more consoles until it is started again; say whether it is known."""
    return connection.execute(update(PROXY).where(PROXY.c.proxy_id == proxy_id).values(is_draining=True)).rowcount > 0


def end_lost(connection: Connection, *, seen_before: float, now: float) -> None:
    """Mark proxies as down that were not heard of since ``seen_before``, and end their sessions."""
    silent = PROXY.c.last_seen < seen_before
    connection.execute(update(PROXY).where(silent, PROXY.c.is_up).values(is_up=False))
    lost = _IS_ACTIVE & SESSION.c.proxy_id.in_(select(PROXY.c.proxy_id).where(silent))
    connection.execute(update(SESSION).where(lost).values(removed=now, end_reason=PROXY_LOST))


def purge(connection: Connection, *, ended_before: float) -> None:
    """Forget sessions that ended, or were over without a use, before that time; and proxies not seen since."""
    unused = _IS_RESERVED & (SESSION.c.expires < ended_before)
    connection.execute(delete(SESSION).where(or_(SESSION.c.removed < ended_before, unused)))
    connection.execute(delete(PROXY).where(~PROXY.c.is_up, PROXY.c.last_seen < ended_before))


# --- lists ----------------------------------------------------------------------------


def list_sessions(connection: Connection, wanted: SessionFilter) -> list[Session]:
    """Return the sessions that pass the filter, newest first."""
    query = select(*_SESSION_COLUMNS).order_by(SESSION.c.created.desc(), literal_column("rowid").desc())
    return [Session(*row) for row in connection.execute(_filtered(query, wanted))]


def count_sessions(connection: Connection, now: float) -> dict[tuple[str, str], int]:
    """Count sessions by state (reserved, active, ended) and end reason."""
    ended = select(SESSION.c.end_reason, func.count()).where(SESSION.c.removed.is_not(None))
    counts = {("ended", reason): number for reason, number in connection.execute(ended.group_by(SESSION.c.end_reason))}
    states = {"active": _IS_ACTIVE, "reserved": _IS_RESERVED & (SESSION.c.expires > now)}
    for state, condition in states.items():
        counts[state, ""] = connection.execute(select(func.count()).select_from(SESSION).where(condition)).scalar_one()
    return counts


def _filtered(query: Select[Any], wanted: SessionFilter) -> Select[Any]:
    exact = {
        SESSION.c.account_id: wanted.account_id,
        SESSION.c.instance_id: wanted.instance_id,
        SESSION.c.id: wanted.session_id,
        SESSION.c.proxy_id: wanted.proxy_id,
        SESSION.c.creator_address: wanted.creator_address,
        SESSION.c.client_address: wanted.client_address,
    }
    for column, value in exact.items():
        query = query if value is None else query.where(column == value)
    query = query if wanted.start is None else query.where(SESSION.c.created >= wanted.start)
    query = query if wanted.end is None else query.where(SESSION.c.created <= wanted.end)
    if wanted.is_active is not None:
        query = query.where(_IS_ACTIVE if wanted.is_active else ~_IS_ACTIVE)
    if wanted.is_acquired is not None:
        acquired = SESSION.c.acquired
        query = query.where(acquired.is_not(None) if wanted.is_acquired else acquired.is_(None))
    return query


# --- steps ----------------------------------------------------------------------------


def _clear_address(connection: Connection, hello: ProxyDescription, alive_since: float) -> None:
    """Make sure that no other proxy stands where this one does; a dead one has lost its place."""
    ports = {hello.page_port, hello.websocket_port} - {0}
    same_port = or_(PROXY.c.page_port.in_(ports), PROXY.c.websocket_port.in_(ports))
    others = select(PROXY).where(PROXY.c.address == hello.address, PROXY.c.proxy_id != hello.proxy_id, same_port)
    rows = connection.execute(others).all()
    for row in rows:
        if row.is_up and row.last_seen >= alive_since:
            raise LinkRefused(f"proxy {row.proxy_id} ({row.name}) is alive at {hello.address}, on the same port")
    for row in rows:
        connection.execute(update(PROXY).where(PROXY.c.proxy_id == row.proxy_id).values(is_up=False))


def _open(connection: Connection, proxy_id: str, sessions: Iterable[SessionOpened], now: float) -> None:
    """Sessions that run are active, also those that were given up when their proxy was silent."""
    for session in sessions:
        given_up = or_(SESSION.c.removed.is_(None), SESSION.c.end_reason == PROXY_LOST)
        is_new = or_(SESSION.c.acquired.is_(None), SESSION.c.removed.is_not(None))
        connection.execute(
            update(SESSION)
            .where(SESSION.c.id == session.session_id, SESSION.c.proxy_id == proxy_id, given_up, is_new)
            .values(
                acquired=func.coalesce(SESSION.c.acquired, now),
                removed=None,
                end_reason="",
                client_address=session.viewer_address,
            )
        )


def _end(connection: Connection, proxy_id: str, ends: Iterable[SessionEnd], now: float) -> None:
    """Each session ends once: who was ended keeps its time and reason."""
    for end in ends:
        connection.execute(
            update(SESSION)
            .where(SESSION.c.id == end.session_id, SESSION.c.proxy_id == proxy_id, SESSION.c.removed.is_(None))
            .values(acquired=func.coalesce(SESSION.c.acquired, now), removed=now, end_reason=end.reason)
        )


def _end_unlisted(
    connection: Connection, proxy_id: str, listed: Iterable[SessionOpened], *, acquired_before: float, now: float
) -> None:
    known = {session.session_id for session in listed}
    active = select(SESSION.c.id).where(
        _IS_ACTIVE, SESSION.c.proxy_id == proxy_id, SESSION.c.acquired < acquired_before
    )
    lost = [{"lost": session_id} for session_id in connection.scalars(active) if session_id not in known]
    if lost:
        ending = update(SESSION).where(SESSION.c.id == bindparam("lost"))
        connection.execute(ending.values(removed=literal(now), end_reason=PROXY_LOST), lost)


def _proxy_of(row: Row[Any]) -> ProxyRecord:
    return ProxyRecord(**{field.name: getattr(row, field.name) for field in fields(ProxyRecord)})


# Built once: building a query costs more than running it.
_LAST_PROXY = (
    select(SESSION.c.proxy_id)
    .where(SESSION.c.instance_id == bindparam("instance"))
    .order_by(SESSION.c.created.desc(), literal_column("rowid").desc())
    .limit(1)
)
_SESSION_BY_ID = select(*_SESSION_COLUMNS).where(SESSION.c.id == bindparam("id"))
_CREATOR = select(ACCOUNT.c.name).where(ACCOUNT.c.id == SESSION.c.account_id, SESSION.c.id == bindparam("id"))
_ACTIVE_COUNT = select(func.count()).where(SESSION.c.proxy_id == PROXY.c.proxy_id, _IS_ACTIVE)
# Several unopened links of one VM hold one place.
_RESERVED_COUNT = select(func.count(SESSION.c.instance_id.distinct())).where(
    SESSION.c.proxy_id == PROXY.c.proxy_id, _IS_RESERVED, SESSION.c.expires > bindparam("now")
)
_PROXIES_WITH_LOAD = select(
    PROXY,
    _ACTIVE_COUNT.correlate(PROXY).scalar_subquery().label("active_sessions"),
    _RESERVED_COUNT.correlate(PROXY).scalar_subquery().label("reserved_sessions"),
).order_by(PROXY.c.created, PROXY.c.proxy_id)

"""One-time sessions, as the demo's control plane keeps them."""

from __future__ import annotations

import dataclasses
import secrets
from urllib.parse import parse_qs, urlsplit

import pytest

from consoleproxy.access.grant import Grant
from consoleproxy.access.token import TokenKey, TokenKeys, decode
from consoleproxy.errors import ExpiredError, UnknownError, UsedError
from consoleproxy.manager.endpoint import ProxyAddress, endpoint, root_url
from consoleproxy.messages import AccessAnswer, AccessRequest, SessionEnd, SessionOpened
from tests.helpers import authority as service_module
from tests.helpers.authority import ConsoleService, Instance

VM = Instance("vm-1", "web", "Web", "", "198.51.100.7", 5901, "secret12")


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def key() -> TokenKey:
    """A token key."""
    return TokenKey.generate(secrets.token_bytes)


@pytest.fixture
def service(clock: Clock, key: TokenKey) -> ConsoleService:
    """A control plane with one VM."""
    made = ConsoleService(key, lambda: ProxyAddress("203.0.113.1", 80, 8080), clock=clock)
    made.add_instance(VM)
    return made


def request(service: ConsoleService, key: TokenKey) -> AccessRequest:
    """Make an endpoint and return what its proxy would ask."""
    grant = Grant.from_fields(decode(service.create_endpoint("vm-1").token, TokenKeys(key)))
    return AccessRequest(
        grant.session_id, grant.vm_id, grant.host, grant.port, "192.0.2.9", grant.password, grant.ticket
    )


def test_a_session_is_consumed_once(service: ConsoleService, key: TokenKey) -> None:
    """The first request is answered, the second is told that the link was used."""
    asked = request(service, key)
    assert AccessAnswer() == service.authorise(asked)
    with pytest.raises(UsedError):
        service.authorise(asked)


def test_a_ticket_lives_one_to_two_minutes(service: ConsoleService, key: TokenKey, clock: Clock) -> None:
    """In the next minute it is good, in the one after it is not, and it is not consumed by that."""
    asked = request(service, key)
    clock.now += 120
    with pytest.raises(ExpiredError):
        service.authorise(asked)
    clock.now -= 60
    assert AccessAnswer() == service.authorise(asked)


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("session_id", "made up", UnknownError),
        ("vm_id", "another", UnknownError),
        ("ticket", "forged", ExpiredError),
        ("password", "another", ExpiredError),
    ],
)
def test_what_does_not_fit_is_refused_and_consumes_nothing(
    service: ConsoleService, key: TokenKey, field: str, value: str, error: type[Exception]
) -> None:
    """A wrong field is refused, and the right request still works afterwards."""
    asked = request(service, key)
    with pytest.raises(error):
        service.authorise(dataclasses.replace(asked, **{field: value}))  # type: ignore[arg-type]  # texts all
    assert AccessAnswer() == service.authorise(asked)


def test_an_unknown_instance_has_no_console(service: ConsoleService) -> None:
    """Nobody gets a link to a VM that is not ours."""
    with pytest.raises(UnknownError):
        service.create_endpoint("nobody")


def test_active_sessions_are_counted(service: ConsoleService, key: TokenKey) -> None:
    """From ``opened`` to ``ended``, and an unknown session changes nothing."""
    asked = request(service, key)
    service.authorise(asked)
    service.opened(SessionOpened(asked.session_id, "vm-1", "192.0.2.9", 0))
    assert 1 == service.active_sessions
    service.ended(SessionEnd("unknown", "vm-1", "idle", 1, 0, 0))
    assert 1 == service.active_sessions
    service.ended(SessionEnd(asked.session_id, "vm-1", "idle", 1, 0, 0))
    assert 0 == service.active_sessions


def test_old_sessions_are_forgotten(
    service: ConsoleService, key: TokenKey, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unused ones after their ticket, used ones later; and never more than the limit is remembered."""
    unused, used = request(service, key), request(service, key)
    service.authorise(used)
    clock.now += service_module.UNUSED_LIFE + 1
    service.create_endpoint("vm-1")
    with pytest.raises(UnknownError):
        service.authorise(unused)
    with pytest.raises(UsedError):
        service.authorise(used)
    clock.now += service_module.ENDED_LIFE + 1
    service.create_endpoint("vm-1")
    with pytest.raises(UnknownError):
        service.authorise(used)
    monkeypatch.setattr(service_module, "MOST_REMEMBERED", 5)
    for _ in range(20):
        service.create_endpoint("vm-1")
    assert 5 == len(service._sessions)  # noqa: SLF001


def test_addresses() -> None:
    """The page's URL keeps every character of token and extra token, and names the port only where needed."""
    made = endpoint(ProxyAddress("203.0.113.1", 80, 8080), "a+b/c==", "x&y")
    url = urlsplit(made.url)
    assert ("http", "203.0.113.1", "/resource/noVNC/vnc.html") == url[:3]
    query = {"autoconnect": ["true"], "port": ["8080"], "token": ["a+b/c=="], "extra": ["x&y"]}
    assert query == parse_qs(url.query)
    assert ("203.0.113.1", 8080, "websockify") == (made.host, made.port, made.path)
    assert "a+b" not in repr(made)
    assert "https://c.test" == root_url(ProxyAddress("c.test", 443, 8443, is_tls=True))
    assert "http://[2001:db8::1]:6080" == root_url(ProxyAddress("2001:db8::1", 6080, 6080))

"""A manager on a store of its own, its accounts and VMs, and the requests that proxies make of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from consoleproxy.access.grant import Grant
from consoleproxy.access.token import decode
from consoleproxy.manager.control import ManagerService
from consoleproxy.manager.inventory import Inventory
from consoleproxy.manager.masterkey import MasterKey
from consoleproxy.manager.model import Account, Instance
from consoleproxy.manager.settings import LiveSettings
from consoleproxy.manager.store import Store
from consoleproxy.messages import AccessRequest, ProxyDescription, SessionInfo

ALICE = Account("account-a", "alice", "key-a", "secret-a", is_admin=False)
BOB = Account("account-b", "bob", "key-b", "secret-b", is_admin=False)
ADMIN = Account("account-c", "admin", "key-c", "secret-c", is_admin=True)


class Clock:
    """Time that a test moves; it starts at a full minute."""

    def __init__(self) -> None:
        self.now = 1_700_000_040.0

    def __call__(self) -> float:
        return self.now


def instance(name: str, *, owner: Account = ALICE, state: str = "Running", port: int = 5901) -> Instance:
    """Return a VM; its id is its name."""
    return Instance(name, name, name.title(), "", owner.id, state, "198.51.100.7", port, "secret12")


INVENTORY = Inventory(
    (ALICE, BOB, ADMIN),
    (
        *(instance(f"vm-{number}") for number in range(10)),
        instance("off", state="Stopped"),
        instance("bobs", owner=BOB),
    ),
)


def hello(
    name: str,
    *,
    incarnation: str = "1",
    capacity: int = 50,
    sessions: tuple[SessionInfo, ...] = (),
    address: str = "",
) -> ProxyDescription:
    """Return what a proxy says first; its id is its name."""
    return ProxyDescription(
        version="1",
        proxy_id=name,
        incarnation=incarnation,
        name=name,
        address=address or f"{name}.example.test",
        page_port=80,
        websocket_port=8080,
        is_tls=False,
        capacity=capacity,
        sessions=sessions,
    )


@asynccontextmanager
async def running_store(folder: Path, clock: Clock) -> AsyncIterator[Store]:
    """Open the store in ``folder``; opening the same one later is a restart."""
    store = await Store.open(folder / "manager.sqlite", MasterKey.load(folder / "master.key"), clock)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def running_manager(folder: Path, clock: Clock) -> AsyncIterator[ManagerService]:
    """Run a manager on the store in ``folder``, with the inventory."""
    async with running_store(folder, clock) as store:
        service = ManagerService(store, LiveSettings(), clock)
        await service.load_inventory(INVENTORY)
        yield service


async def link(service: ManagerService, vm: str = "vm-0", *, extra: str = "", caller: Account = ADMIN) -> Grant:
    """Make an endpoint and return what its token allows."""
    made = await service.create_endpoint(caller, vm, extra=extra, creator_address="192.0.2.1")
    assert made.endpoint is not None, made.details
    return Grant.from_fields(decode(made.endpoint.token, service.token_keys()))


def request(grant: Grant, viewer: str = "192.0.2.9") -> AccessRequest:
    """Return what a proxy asks for the viewer of a link."""
    return AccessRequest(grant.session_id, grant.vm_id, grant.host, grant.port, viewer, grant.password, grant.ticket)


def opened(grant: Grant) -> SessionInfo:
    """Return a session as its proxy lists it."""
    return SessionInfo(grant.session_id, grant.vm_id, "192.0.2.9", 0.0)

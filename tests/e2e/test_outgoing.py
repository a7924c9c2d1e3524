"""The demo connects to its VMs and its own manager, and to nothing else; the kernel's own record says so."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from tests.e2e.real_manager import LOOK
from tests.e2e.real_parts import demo
from tests.helpers import parts
from tests.helpers.viewer import Viewer

#: System calls that make a socket, and those that can name a peer.
WATCHED = "socket,connect,sendto,sendmsg,sendmmsg"
SOCKET = re.compile(r"\bsocket\((\w+), (\w+)")
ADDRESS = re.compile(r"\b(\w+)\(.*?\{sa_family=(\w+)(?:, sin6?_port=htons\((\d+)\).*?\"([^\"]+)\")?")

KEY_A = b"\x04\x01\x00\x00\x00\x00\x00a" + b"\x04\x00\x00\x00\x00\x00\x00a"


def vnc_ports(told: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Return the ports on which the demo listens beside those that it tells of: its screens', and its guests'."""
    process = psutil.Process(told["pid"])
    known = {urlsplit(told[name]).port for name in ("start_url", "manager_ops_url")}
    known |= {urlsplit(proxy[name]).port for proxy in told["proxies"] for name in ("http_url", "ops_url")}
    screens = [port for port in listening(process) if port not in known]
    children = process.children(recursive=True)
    guests = [port for child in children for port in listening(child) if port not in known]
    return screens, guests


def listening(process: psutil.Process) -> list[int]:
    """Return the ports on which a process listens, which must be on loopback."""
    connections = process.net_connections(kind="inet")
    addresses = [each.laddr for each in connections if each.status == psutil.CONN_LISTEN]
    assert {"127.0.0.1"} == {address.ip for address in addresses}
    return [address.port for address in addresses]


async def new_link(session: aiohttp.ClientSession, told: dict[str, Any], vm_id: str) -> tuple[int, str]:
    """Choose a VM on the start page, fetch the page that it leads to, and return port and token of the console."""
    async with session.post(f"{told['manager_url']}/demo/console", json={"id": vm_id}) as answer:
        url = (await answer.json())["url"]
    async with session.get(url) as page:
        assert "text/html" == page.content_type
    query = parse_qs(urlsplit(url).query)
    return int(query["port"][0]), query["token"][0]


async def use(port: int, token: str) -> None:
    """Open a console, type, see the answer, and end it."""
    viewer = await Viewer.open(port, token)
    await viewer.enter()
    await viewer.websocket.send(KEY_A + LOOK)
    assert b"\x00" == await viewer.read(1)
    # The rest of the answer has to be read, else the goodbye's would stay behind it.
    _, (code, _) = await asyncio.gather(viewer.close(), viewer.closed())
    assert 1000 == code


async def refusal(port: int, token: str) -> int:
    """Open a console that is refused and return the close code."""
    viewer = await Viewer.open(port, token)
    code, _ = await viewer.closed()
    return code


def spoil(token: str) -> str:
    """Change one character in the middle."""
    middle = len(token) // 2
    return token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]


def peers(trace: str) -> Counter[tuple[str, str, str, int]]:
    """Count the addresses that system calls named: call, family, host, port."""
    found = (match.groups(default="") for match in ADDRESS.finditer(trace))
    return Counter((call, family, host, int(port or 0)) for call, family, port, host in found)


@pytest.mark.parametrize("proxies", [1, pytest.param(2, marks=pytest.mark.slow)])
async def test_the_demo_connects_to_its_vms_and_its_manager_alone(tmp_path: Path, proxies: int) -> None:
    """Each console that opens costs one connection, to its VM; a refused one costs none, and no name is looked up."""
    trace = tmp_path / "trace"
    watching = ("-f", "-qq", "--seccomp-bpf", "-s", "0", "-e", f"trace={WATCHED}", "-o", str(trace))
    under = (parts.require("strace"), *watching, "--")
    async with demo("--proxies", str(proxies), under=under) as told, aiohttp.ClientSession() as session:
        assert proxies == len(told["proxies"])
        screens, guests = vnc_ports(told)
        assert len(told["instances"]) == len(screens) + len(guests)
        for instance in told["instances"]:
            link = await new_link(session, told, instance["id"])
            assert 4400 == await refusal(link[0], spoil(link[1]))
            await use(*link)
            assert 4410 == await refusal(*link)
    found = trace.read_text()
    met = peers(found)
    # The start page asks the API like anybody else, and proxies of their own dial their manager.
    assert met.pop(("connect", "AF_INET", "127.0.0.1", urlsplit(told["manager_url"]).port or 0)) >= proxies
    # A guest is connected to once more: the demo waits for its greeting.
    assert Counter(("connect", "AF_INET", "127.0.0.1", port) for port in (*screens, *guests, *guests)) == met
    # No other kind of socket: no netlink, no UDP, and so no DNS. A proxy of its own listens for its operator, too.
    kinds = {("AF_INET", "SOCK_STREAM"), *([("AF_UNIX", "SOCK_SEQPACKET")] if proxies > 1 else [])}
    assert kinds == set(SOCKET.findall(found))

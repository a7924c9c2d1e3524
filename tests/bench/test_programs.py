"""The generator's protocol, what tools print, and the whole thing once, briefly."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.certificate import make_certificate
from bench.errors import BenchError
from bench.generator import Generator
from bench.ops_metrics import read_sessions_by_worker
from bench.peers.listening import Command, Listening, read_command, read_listening
from bench.processes import ROOT, running, wait_until
from bench.profile import Cost, costs, read_calls
from bench.verify import faults

#: A generator that does nothing but keep to the protocol.
POLITE = """\
echo ready; read word; echo measuring; echo 'tick {"live": 3}'; echo 'done {"units": 7}'; read word; echo closed
"""
STRACE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 61.06    0.001234           1      1005         3 read
 38.94    0.000789           0      1000           write
------ ----------- ----------- --------- --------- ----------------
100.00    0.002023           1      2005         3 total
"""


def test_a_generator_is_led_line_by_line(tmp_path: Path) -> None:
    """Ticks on the way are kept, the figures come back, and it ends."""
    log = tmp_path / "log"
    with running(["sh", "-c", POLITE], core=1, log=log, stdin=subprocess.PIPE) as process:
        generator = Generator(process, log, 1.0)
        generator.ready()
        generator.go()
        assert {"units": 7} == generator.done()
        generator.close()
        assert 0 == process.returncode
    assert [{"live": 3}] == generator.ticks


def test_a_generator_that_fails_is_quoted(tmp_path: Path) -> None:
    """What it said instead, and the end of its log, are in the error."""
    log = tmp_path / "log"
    text = """echo because >&2; echo '{"error": "no relay"}'"""
    with running(["sh", "-c", text], core=1, log=log, stdin=subprocess.PIPE) as process:
        process.wait(10)
        with pytest.raises(BenchError, match="no relay") as caught:
            Generator(process, log, 1.0).ready()
    assert "because" in str(caught.value)


def is_running(pid: int) -> bool:
    """Say whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_nothing_is_left_of_a_program(tmp_path: Path) -> None:
    """A child that a program left behind goes with it."""
    with running(["sh", "-c", "sleep 60 & echo $!"], core=0, log=tmp_path / "log") as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
    wait_until(lambda: not is_running(child), "the child is gone")


def test_a_child_with_a_group_of_its_own_goes_with_its_program(tmp_path: Path) -> None:
    """It would live on without its parent, as a worker without its supervisor."""
    with running(["sh", "-c", "setsid sleep 60 & echo $!; wait"], core=0, log=tmp_path / "log") as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
    wait_until(lambda: not is_running(child), "the child is gone")


def test_a_certificate_is_made_and_served(tmp_path: Path) -> None:
    """A server takes it, a client that trusts it is content, and nobody else may read the key."""
    made = make_certificate(tmp_path)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(made.both)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(made.chain, made.key)
    ssl.create_default_context(cafile=str(made.chain))
    assert {0o600} == {path.stat().st_mode & 0o777 for path in (made.key, made.both)}


def test_sessions_of_workers_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the worker's name; a proxy without workers has none."""
    text = 'consoleproxy_worker_sessions{worker="0"} 3.0\nconsoleproxy_worker_sessions{worker="1"} 4.0\nother 5.0\n'
    monkeypatch.setattr("bench.ops_metrics._read", lambda url: text if "with" in url else "other 5.0\n")
    assert {"0": 3, "1": 4} == read_sessions_by_worker("http://with")
    assert {} == read_sessions_by_worker("http://none")


def test_relays_of_others_are_read() -> None:
    """One that listens and one that a command starts; what is not like that is told."""
    assert Listening("mine", "127.0.0.1", 80, 12, is_raw=True) == read_listening("mine=127.0.0.1:80,12,raw")
    assert Command("mine", "./relay {port}", is_raw=False) == read_command("mine=./relay {port}")
    assert Listening("mine", "127.0.0.1", 80, 12, is_raw=True, is_tls=True) == read_listening(
        "mine=127.0.0.1:80,12,raw,tls"
    )
    assert Command("mine", "./relay {port}", is_raw=False, is_tls=True) == read_command("mine,tls=./relay {port}")
    for text in ("mine", "mine=1:2", "mine=1:x,3", "mine=1:2,3,tcp"):
        with pytest.raises(BenchError, match="is not like NAME="):
            read_listening(text)
    for text in ("mine", "mine=", "mine=./relay", "mine,tcp=./relay {port}"):
        with pytest.raises(BenchError, match="is not like NAME="):
            read_command(text)


def test_stacks_are_summed_up() -> None:
    """A function's own samples, and those of what it calls, over all of its lines."""
    stacks = ['process 7:"run";main (a.py:1);work (a.py:5) 3', "main (a.py:2);work (a.py:6) 1", "main (a.py:2) 2"]
    assert [Cost("work (a.py)", 4, 4), Cost("main (a.py)", 2, 6)] == costs(stacks)


def test_system_calls_are_read() -> None:
    """With errors or without; the last line is no call."""
    assert {"read": 1005, "write": 1000} == read_calls(STRACE)


def test_a_verification_that_compared_nothing_is_no_success() -> None:
    """Mismatches, errors and idleness all speak against the relay."""
    assert [] == faults({"mismatches": 0, "errors": 0, "hashes_compared": 5})
    assert ["1 mismatches"] == faults({"mismatches": 1, "hashes_compared": 5})
    assert ["2 errors", "nothing was compared"] == faults({"errors": 2})


def _do_without(reason: str) -> None:
    """Skip for ``reason``, and fail where ``CI`` is ``true``, as for every other part."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _require_network() -> None:
    """Skip where the benchmark cannot be built, or has no right to a network of its own."""
    for command in ("cc", "unshare", "taskset", "setpriv"):
        if shutil.which(command) is None:
            _do_without(f"{command} is missing; install it with: sudo apt-get install -y gcc libc6-dev util-linux")
    if not Path("/usr/include/openssl/ssl.h").exists():
        _do_without("OpenSSL's headers are missing; install them with: sudo apt-get install -y libssl-dev")
    flags = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    if subprocess.run(["unshare", "--net", *flags, "true"], capture_output=True, check=False).returncode:
        _do_without("there is no right to make a network namespace here")


@pytest.mark.parametrize("flags", [(), ("--kind", "tls", "--peer", "haproxy")], ids=["ours", "haproxy-tls"])
def test_bytes_arrive_as_they_were_sent(flags: Sequence[str]) -> None:
    """A real relay under random load, for two seconds: every byte that can be compared is the same."""
    _require_network()
    if "haproxy" in flags and shutil.which("haproxy") is None:
        _do_without("HAProxy is missing; install it with: sudo apt-get install -y --no-install-recommends haproxy")
    command = [sys.executable, "-m", "bench", "verify", "--seconds", "2", "--sessions", "8", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    assert 0 == done.returncode, done.stderr
    figures, _, verdict = done.stdout.rpartition("}")
    assert "byte-exact" in verdict
    assert 0 == json.loads(figures + "}")["mismatches"]

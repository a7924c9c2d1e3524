"""The public port under the eyes of two scanners: nothing old, nothing weak, nothing to complain of."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.helpers import parts
from tests.helpers.tls import made_pair, tls_town

pytestmark = pytest.mark.slow

SCAN_SECONDS = 100


async def run(*command: str) -> str:
    """Run a scanner to its end and return what it prints."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    try:
        async with asyncio.timeout(SCAN_SECONDS):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return said.decode()


@pytest.mark.parametrize("use_rsa", [False, True], ids=["ecdsa", "rsa"])
async def test_sslscan_finds_modern_tls_only(tmp_path: Path, use_rsa: bool) -> None:  # noqa: FBT001
    """TLS 1.2 and 1.3 with forward secrecy and AEAD; no renegotiation, no compression, no Heartbleed."""
    report = tmp_path / "report.xml"
    async with tls_town(made_pair(use_rsa=use_rsa), request_timeout=10) as made:
        await run(parts.require("sslscan"), "--no-colour", f"--xml={report}", f"127.0.0.1:{made.port}")
    found = ET.parse(report).getroot().find("ssltest")  # noqa: S314 - our own scanner wrote it
    assert found is not None
    enabled = {
        f"{each.get('type')} {each.get('version')}" for each in found.iter("protocol") if each.get("enabled") == "1"
    }
    assert {"tls 1.2", "tls 1.3"} == enabled
    kind = "RSA" if use_rsa else "ECDSA"
    modern = {
        *("TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"),
        *(f"ECDHE-{kind}-{name}" for name in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")),
    }
    assert modern == {each.get("cipher") for each in found.iter("cipher")}
    assert ["0"] == [each.get("supported") for each in found.iter("renegotiation")]
    assert {"0"} == {each.get("supported") for each in found.iter("compression")} | {"0"}
    assert {"0"} == {each.get("vulnerable") for each in found.iter("heartbleed")}


async def test_testssl_has_nothing_to_say(tmp_path: Path) -> None:
    """Its sections on protocols, ciphers, forward secrecy and preferences end without a finding."""
    report = tmp_path / "report.json"
    sections = ("--protocols", "--standard", "--pfs", "--server-preference", "--renegotiation", "--compression")
    quiet = ("--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--jsonfile", str(report))
    async with tls_town(request_timeout=10, max_pending_per_address=200) as made:
        said = await run(parts.require("testssl"), *quiet, *sections, f"127.0.0.1:{made.port}")
    findings = {found["id"]: found for found in json.loads(report.read_text())}
    # That its own openssl lacks Russian ciphers is no finding of ours.
    findings.pop("engine_problem", None)
    assert {"OK", "INFO"} == {found["severity"] for found in findings.values()}, said
    assert "offered" == findings["TLS1_2"]["finding"]
    assert "not offered" == findings["TLS1_1"]["finding"]

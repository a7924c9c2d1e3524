"""A certificate for a run: made anew each time, signed by itself, gone with the run's folder."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_ADDRESS = "127.0.0.1"
_LIFE = dt.timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files: the certificate, its key, and both in one, as some programs want them."""

    chain: Path
    key: Path
    both: Path


def make_certificate(folder: Path) -> Certificate:
    """Make a key on P-256 and a certificate of it for 127.0.0.1, in ``folder``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _ADDRESS)])
    begin = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    address = x509.IPAddress(ipaddress.ip_address(_ADDRESS))
    builder = builder.not_valid_before(begin).not_valid_after(begin + _LIFE)
    builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    chain_text = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    key_text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return Certificate(
        _write(folder / "tls-chain.pem", chain_text),
        _write(folder / "tls-key.pem", key_text),
        _write(folder / "tls-both.pem", key_text + chain_text),
    )


def _write(path: Path, text: str) -> Path:
    """Write a file that nobody else may read."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path

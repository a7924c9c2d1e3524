"""Makes certificates for development: a root CA, an intermediate CA, a server's and a client's.

They have the shape of real ones (an intermediate, a wildcard, separate uses), so that what works
with them works with real ones. Nobody but who made them should trust this root.

Imports nothing of the package, so that ``certs/make_certs.py`` runs without the rest of it.
"""

from __future__ import annotations

import ipaddress
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

RSA_BITS = 2048
CA_DAYS = 3650
# Browsers refuse a server's certificate that lives longer than 398 days.
LEAF_DAYS = 397
# Clocks differ: a certificate is good from a day ago.
BACKDATING = timedelta(days=1)

FILES = (
    "ca-key.pem",
    "ca-cert.pem",
    "intermediate-key.pem",
    "intermediate-cert.pem",
    "ca-chain.pem",
    "server-key.pem",
    "server-cert.pem",
    "server-chain.pem",
    "client-key.pem",
    "client-cert.pem",
    "client-chain.pem",
    "haproxy.pem",
)
SECRET_FILES = frozenset(name for name in FILES if name.endswith("-key.pem") or name == "haproxy.pem")

_LOCAL = ("localhost", "127.0.0.1", "::1")

_SERVER = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
_CLIENT = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key; the key is a secret."""

    certificate: x509.Certificate
    key: Key

    def certificate_pem(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self) -> bytes:
        """The key, unencrypted PKCS#8."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def make_certs(
    out: Path,
    *,
    domain: str = "example.test",
    hosts: Sequence[str] = (),
    use_rsa: bool = False,
    force: bool = False,
) -> list[Path]:
    """Write all certificates and keys into the folder ``out``, and return their paths.

    The server's certificate is good for ``domain``, any name right below it, ``localhost``,
    127.0.0.1, ::1 and ``hosts``, names or addresses. Keys are ECDSA P-256, or RSA with ``use_rsa``. What every file is
    for stands in ``certs/README.md``. Raises ``FileExistsError`` when a file is there already,
    unless ``force``; then nothing has been written.
    """
    names = [out / name for name in FILES]
    present = [path for path in names if path.exists()]
    if present and not force:
        raise FileExistsError(f"{present[0]} is there already")
    contents = _contents(_names([f"*.{domain}", domain, *_LOCAL, *hosts]), domain, use_rsa=use_rsa)
    out.mkdir(parents=True, exist_ok=True)
    for path in names:
        _write(path, contents[path.name], 0o600 if path.name in SECRET_FILES else 0o644)
    return names


def _contents(names: x509.SubjectAlternativeName, domain: str, *, use_rsa: bool) -> Mapping[str, bytes]:
    root = _issue("consoleproxy development root CA", None, [], use_rsa=use_rsa, path_length=1)
    middle = _issue("consoleproxy development intermediate CA", root, [], use_rsa=use_rsa, path_length=0)
    server = _issue(f"*.{domain}", middle, [_SERVER, names], use_rsa=use_rsa)
    client = _issue("consoleproxy client", middle, [_CLIENT], use_rsa=use_rsa)
    identities = {"ca": root, "intermediate": middle, "server": server, "client": client}
    files = {f"{name}-key.pem": identity.key_pem() for name, identity in identities.items()}
    files |= {f"{name}-cert.pem": identity.certificate_pem() for name, identity in identities.items()}
    files["ca-chain.pem"] = middle.certificate_pem() + root.certificate_pem()
    for name, identity in (("server", server), ("client", client)):
        files[f"{name}-chain.pem"] = identity.certificate_pem() + middle.certificate_pem()
    files["haproxy.pem"] = files["server-chain.pem"] + server.key_pem()
    return files


def _issue(
    name: str,
    issuer: Identity | None,
    extensions: Sequence[x509.ExtensionType],
    *,
    use_rsa: bool,
    path_length: int | None = None,
) -> Identity:
    """Sign a new key's certificate by ``issuer``, or by itself without one; with ``path_length`` it is an authority."""
    key: Key = rsa.generate_private_key(65537, RSA_BITS) if use_rsa else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer_key = issuer.key if issuer else key
    is_authority = path_length is not None
    start = datetime.now(UTC) - BACKDATING
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=CA_DAYS if is_authority else LEAF_DAYS))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=path_length), critical=True)
        .add_extension(_usage(is_authority=is_authority, use_rsa=use_rsa), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return Identity(builder.sign(issuer_key, hashes.SHA256()), key)


def _names(hosts: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_name(host) for host in dict.fromkeys(hosts)])


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, is_authority: bool, use_rsa: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        # TLS 1.2 without forward secrecy, which old clients of RSA servers may want to try.
        key_encipherment=use_rsa and not is_authority,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write a file whole or not at all; a key is never readable to others, not even for a moment."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise

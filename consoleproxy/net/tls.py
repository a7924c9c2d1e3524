"""Which certificate is served: key pairs in, server contexts out, swapped while connections go on.

A pair is tried in a context of its own first, so one that is broken changes nothing. Nothing here
touches a disk: the key of a pair that came over the link never lies on one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from consoleproxy.errors import ConfigError
from consoleproxy.net.tls_state import tls_fault

#: TLS 1.2: forward secrecy and AEAD only (RFC 9325 section 4.2). TLS 1.3 has nothing else.
CIPHERS: Final = ":".join(
    f"ECDHE-{kind}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for kind in ("ECDSA", "RSA")
)
#: Seconds after which a context should be made anew, so that its session tickets get new keys.
TICKET_LIFE: Final = 12 * 3600.0

_ServerNameCallback: TypeAlias = Callable[[ssl.SSLSocket | ssl.SSLObject, str | None, ssl.SSLContext], None]


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate chain, the server's own first, and its private key; both PEM. The key is a secret."""

    chain: bytes
    key: bytes = field(repr=False)

    @classmethod
    def read(cls, chain_file: Path, key_file: Path) -> KeyPair:
        """Read both files; raise ``ConfigError`` that names the one that cannot be read."""
        return cls(_read(chain_file), _read(key_file))


@dataclass(frozen=True, slots=True)
class Generation:
    """What is served now. ``not_after`` is when the first pair's certificate ends, in seconds since 1970.

    ``fingerprint`` is SHA-256 over the first certificate, in hex; ``number`` grows with each swap.
    """

    context: ssl.SSLContext
    number: int
    fingerprint: str
    not_after: float


class TLSContexts:
    """The server contexts of a process. ``context`` is for a new connection; those that run keep theirs.

    ``use`` swaps in other ``pairs``; the first serves everybody who asks for no name that another
    certificate has. ``clock`` counts seconds.
    """

    def __init__(self, *pairs: KeyPair, clock: Callable[[], float] = time.monotonic) -> None:
        self.pairs = pairs
        self.current = _generation(pairs, 1)
        self._clock = clock
        self._made = clock()

    def use(self, *pairs: KeyPair) -> None:
        """Serve ``pairs`` from now on; raise ``ConfigError`` that says what is wrong, and change nothing then."""
        self.current = _generation(pairs, self.current.number + 1)
        self.pairs = pairs
        self._made = self._clock()

    def context(self) -> ssl.SSLContext:
        """Return the context for a new connection; it is made anew in time, so that tickets get new keys."""
        if self._clock() - self._made > TICKET_LIFE:
            # Tried again at the next connection, where there is no room for it now.
            with contextlib.suppress(ConfigError):
                self.current = _generation(self.pairs, self.current.number)
                self._made = self._clock()
        return self.current.context


def _generation(pairs: Sequence[KeyPair], number: int) -> Generation:
    if not pairs:
        raise ConfigError("TLS without any certificate")
    by_name: dict[str, ssl.SSLContext] = {}
    made = [(_own_certificate(pair), _context(pair)) for pair in pairs]
    for certificate, context in reversed(made):
        by_name |= dict.fromkeys(_names(certificate), context)
    own, context = made[0]
    if len(made) > 1:
        context.sni_callback = _chooser(by_name)
    fingerprint = hashlib.sha256(own.public_bytes(Encoding.DER)).hexdigest()
    return Generation(context, number, fingerprint, own.not_valid_after_utc.timestamp())


def _own_certificate(pair: KeyPair) -> x509.Certificate:
    """Return the server's own certificate, after all that can be said about the pair has been looked at."""
    try:
        certificate = x509.load_pem_x509_certificates(pair.chain)[0]
    except ValueError as error:
        raise ConfigError("the TLS certificate is not PEM: give the chain, the server's own first") from error
    try:
        key = load_pem_private_key(pair.key, password=None)
    except TypeError as error:
        raise ConfigError("the TLS key is encrypted: give one without a passphrase") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError("the TLS key is not a private key in PEM") from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise ConfigError(
            "the TLS key belongs to another certificate than the first of the chain: "
            "give the key of the server's own, which must come first"
        )
    return certificate


def _context(pair: KeyPair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    try:
        _load(context, pair)
    except OSError as error:
        raise ConfigError(f"the TLS certificate cannot be used: {_words(error)}") from error
    return context


def _load(context: ssl.SSLContext, pair: KeyPair) -> None:
    # OpenSSL reads names of files only; this one is memory.
    descriptor = os.memfd_create("tls-pair")
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(pair.chain + b"\n" + pair.key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _words(error: OSError) -> str:
    return tls_fault(error) if isinstance(error, ssl.SSLError) else str(error.strerror)


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [name.lower() for name in names.get_values_for_type(x509.DNSName)]


def _chooser(by_name: dict[str, ssl.SSLContext]) -> _ServerNameCallback:
    def choose(session: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        asked = (name or "").lower()
        wildcard = f"*.{asked.partition('.')[2]}"
        if (context := by_name.get(asked) or by_name.get(wildcard)) is not None:
            session.context = context

    return choose


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error

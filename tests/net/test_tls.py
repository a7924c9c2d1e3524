"""Certificates and contexts: what is taken, what is refused in words, what is spoken with whom."""

from __future__ import annotations

import hashlib
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from consoleproxy.errors import ConfigError
from consoleproxy.net.tls import TICKET_LIFE, KeyPair, TLSContexts
from consoleproxy.net.tls_state import TLSState
from tests.helpers.tls import made_pair

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def shake_hands(
    server: ssl.SSLContext, client: ssl.SSLContext, *, name: str = "localhost", session: ssl.SSLSession | None = None
) -> ssl.SSLObject:
    """Let both speak until they agree; return the client's side."""
    there = TLSState(server)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(incoming, outgoing, server_hostname=name, session=session)
    for _ in range(4):
        for side in (here, there.session):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
            there.incoming.write(outgoing.read())
            incoming.write(there.outgoing.read())
    with pytest.raises(ssl.SSLWantReadError):
        here.read(1)  # the tickets of TLS 1.3 come after the handshake
    return here


def certificate_of(side: ssl.SSLObject) -> str:
    """Return the fingerprint of what the server has shown."""
    return hashlib.sha256(side.getpeercert(binary_form=True) or b"").hexdigest()


@pytest.mark.parametrize("version", [TLS12, TLS13])
@pytest.mark.parametrize("use_rsa", [False, True], ids=["ecdsa", "rsa"])
def test_both_versions_speak_with_forward_secrecy(version: ssl.TLSVersion, use_rsa: bool) -> None:  # noqa: FBT001
    """TLS 1.2 and 1.3 agree on an AEAD cipher, and on HTTP/1.1 where the client asks."""
    made = made_pair(use_rsa=use_rsa)
    client = made.client(version)
    client.set_alpn_protocols(["h2", "http/1.1"])
    side = shake_hands(TLSContexts(made.pair).context(), client)
    cipher, _, bits = side.cipher() or ("", "", 0)
    assert bits >= 128
    assert cipher.startswith(("ECDHE-", "TLS_"))
    assert any(kind in cipher for kind in ("GCM", "CHACHA20"))
    assert "http/1.1" == side.selected_alpn_protocol()
    assert side.compression() is None


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_are_refused(version: ssl.TLSVersion) -> None:
    """TLS 1.0 and 1.1 get an alert about the version."""
    client = made_pair().client(version)
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match=r"(?i)version|protocol"):
        shake_hands(TLSContexts(made_pair().pair).context(), client)


@pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA"])
def test_ciphers_without_forward_secrecy_or_aead_are_refused(cipher: str) -> None:
    """RSA key exchange, classic Diffie-Hellman and CBC find no cipher in common."""
    made = made_pair(use_rsa=True)
    client = made.client(TLS12)
    client.set_ciphers(cipher)
    with pytest.raises(ssl.SSLError, match="NO_SHARED_CIPHER"):
        shake_hands(TLSContexts(made.pair).context(), client)


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_a_session_is_resumed(version: ssl.TLSVersion) -> None:
    """A client that comes again with its ticket is spared the certificate; after a swap it is not."""
    made = made_pair()
    contexts, client = TLSContexts(made.pair), made.client(version)
    first = shake_hands(contexts.context(), client)
    assert not first.session_reused
    again = shake_hands(contexts.context(), client, session=first.session)
    assert again.session_reused
    contexts.use(made.pair)
    assert not shake_hands(contexts.context(), client, session=first.session).session_reused


def test_ticket_keys_are_renewed_in_time() -> None:
    """After twelve hours a context of the same generation takes over, and old tickets count no more."""
    now = [0.0]
    made = made_pair()
    contexts, client = TLSContexts(made.pair, clock=lambda: now[0]), made.client(TLS13)
    first = shake_hands(contexts.context(), client)
    now[0] = TICKET_LIFE + 1
    assert not shake_hands(contexts.context(), client, session=first.session).session_reused
    assert 1 == contexts.current.number


def test_each_name_gets_its_certificate() -> None:
    """SNI chooses among several pairs, also by wildcard; who asks for another name gets the first."""
    first, second = made_pair(), made_pair(domain="other.test")
    contexts = TLSContexts(first.pair, second.pair)
    lax = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    lax.check_hostname, lax.verify_mode = False, ssl.CERT_NONE
    shown = {
        name: certificate_of(shake_hands(contexts.context(), lax, name=name))
        for name in ("example.test", "other.test", "A.OTHER.test", "a.b.other.test", "nobody.test", "localhost")
    }
    one, two = contexts.current.fingerprint, TLSContexts(second.pair).current.fingerprint
    assert one != two
    assert [one, two, two, one, one, one] == list(shown.values())


def test_a_swap_serves_the_new_pair() -> None:
    """``use`` counts a generation and serves the new certificate; ``not_after`` is the new one's."""
    contexts = TLSContexts(made_pair().pair)
    before = contexts.current
    contexts.use(made_pair(domain="second.test").pair)
    side = shake_hands(contexts.context(), made_pair(domain="second.test").client())
    assert (2, contexts.current.fingerprint) == (contexts.current.number, certificate_of(side))
    assert before.fingerprint != contexts.current.fingerprint
    assert before.not_after <= contexts.current.not_after


def encrypted(key: bytes) -> bytes:
    """Return ``key`` under a passphrase."""
    secret = BestAvailableEncryption(b"passphrase")
    return load_pem_private_key(key, None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret)


PAIR, OTHER = made_pair().pair, made_pair(domain="second.test").pair
BROKEN = {
    "no certificate": (KeyPair(b"hello", PAIR.key), "certificate is not PEM"),
    "empty": (KeyPair(b"", b""), "certificate is not PEM"),
    "half a certificate": (KeyPair(PAIR.chain[:300], PAIR.key), "certificate is not PEM"),
    "no key": (KeyPair(PAIR.chain, PAIR.chain), "key is not a private key"),
    "half a key": (KeyPair(PAIR.chain, PAIR.key[:100]), "key is not a private key"),
    "encrypted key": (KeyPair(PAIR.chain, encrypted(PAIR.key)), "key is encrypted"),
    "another's key": (KeyPair(PAIR.chain, OTHER.key), "belongs to another certificate"),
    "chain upside down": (
        KeyPair(
            b"".join(
                reversed(
                    [
                        part + b"-----END CERTIFICATE-----\n"
                        for part in PAIR.chain.split(b"-----END CERTIFICATE-----\n")[:-1]
                    ]
                )
            ),
            PAIR.key,
        ),
        "must come first",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_pair_is_refused_and_changes_nothing(name: str) -> None:
    """Each fault is said in words, at the start and at a swap, and what was served is served on."""
    pair, words = BROKEN[name]
    with pytest.raises(ConfigError, match=words):
        TLSContexts(pair)
    contexts = TLSContexts(PAIR)
    before = contexts.current
    with pytest.raises(ConfigError, match=words):
        contexts.use(pair)
    assert before is contexts.current
    assert (PAIR,) == contexts.pairs


def test_no_pair_is_refused() -> None:
    """TLS needs at least one."""
    with pytest.raises(ConfigError, match="without any"):
        TLSContexts()


def test_files_are_read_and_named(tmp_path: Path) -> None:
    """A file that is not there is named; one that is becomes half of the pair."""
    chain, key = made_pair().write(tmp_path)
    assert PAIR == KeyPair.read(Path(chain), Path(key))
    with pytest.raises(ConfigError, match=f"cannot read {tmp_path}/none"):
        KeyPair.read(Path(chain), tmp_path / "none")


def test_the_key_is_not_shown() -> None:
    """A pair in a log shows its certificate and no key."""
    assert "PRIVATE" not in repr(PAIR)

"""The development certificates, judged by OpenSSL."""

import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from certs.make_certs import main
from consoleproxy.ops.certs import FILES, SECRET_FILES, make_certs


@pytest.fixture(scope="module", params=[False, True], ids=["ecdsa", "rsa"])
def certs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of certificates."""
    out = tmp_path_factory.mktemp("certs") / "new" / "folder"
    make_certs(out, domain="vm.test", use_rsa=request.param)
    return out


def openssl(*arguments: str) -> str:
    """What OpenSSL says, including that it is not content."""
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def verify(certs: Path, name: str, *arguments: str) -> str:
    """Whether a certificate verifies by the chain that a peer would see."""
    chain = ["-CAfile", str(certs / "ca-cert.pem"), "-untrusted", str(certs / "intermediate-cert.pem")]
    return openssl("verify", "-x509_strict", *chain, *arguments, str(certs / name))


@pytest.mark.parametrize("name", ["a.vm.test", "vm.test", "localhost"])
def test_server_verifies_by_name(certs: Path, name: str) -> None:
    """The server's certificate verifies for the domain, a name below it and localhost."""
    assert f"{certs}/server-cert.pem: OK\n" == verify(
        certs, "server-cert.pem", "-purpose", "sslserver", "-verify_hostname", name
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_server_verifies_by_address(certs: Path, address: str) -> None:
    """The server's certificate verifies for both loopback addresses."""
    assert f"{certs}/server-cert.pem: OK\n" == verify(certs, "server-cert.pem", "-verify_ip", address)


def test_server_does_not_verify_as_another(certs: Path) -> None:
    """Another name, a name two levels down, and the client's part are not the server's."""
    assert "hostname mismatch" in verify(certs, "server-cert.pem", "-verify_hostname", "other.test")
    assert "hostname mismatch" in verify(certs, "server-cert.pem", "-verify_hostname", "a.b.vm.test")
    assert "unsuitable certificate purpose" in verify(certs, "server-cert.pem", "-purpose", "sslclient")


def test_client_is_a_client_alone(certs: Path) -> None:
    """The client's certificate is good for a client, not for a server."""
    assert f"{certs}/client-cert.pem: OK\n" == verify(certs, "client-cert.pem", "-purpose", "sslclient")
    assert "unsuitable certificate purpose" in verify(certs, "client-cert.pem", "-purpose", "sslserver")


def test_leaf_needs_the_intermediate(certs: Path) -> None:
    """The root alone does not verify the server: the intermediate has a part."""
    assert "unable to get local issuer" in openssl(
        "verify", "-CAfile", str(certs / "ca-cert.pem"), str(certs / "server-cert.pem")
    )


@pytest.mark.parametrize("name", ["ca", "intermediate", "server", "client"])
def test_keys_are_pkcs8_and_fit(certs: Path, name: str) -> None:
    """Each key is PKCS#8 and belongs to its certificate."""
    assert (certs / f"{name}-key.pem").read_text().startswith("-----BEGIN PRIVATE KEY-----\n")
    public = openssl("x509", "-in", str(certs / f"{name}-cert.pem"), "-noout", "-pubkey")
    assert openssl("pkey", "-in", str(certs / f"{name}-key.pem"), "-pubout") == public


def test_keys_are_the_owners_alone(certs: Path) -> None:
    """Whatever holds a key is mode 600, the rest may be read by all, and nothing else is in the folder."""
    modes = {path.name: path.stat().st_mode & 0o777 for path in certs.iterdir()}
    assert {name: 0o600 if name in SECRET_FILES else 0o644 for name in FILES} == modes
    assert {path.name for path in certs.iterdir() if "PRIVATE" in path.read_text()} == SECRET_FILES


def test_chains_are_in_the_order_of_tls(certs: Path) -> None:
    """A chain file starts with its own certificate; HAProxy's file ends with the key."""
    read = {name: (certs / name).read_text() for name in FILES}
    assert read["server-cert.pem"] + read["intermediate-cert.pem"] == read["server-chain.pem"]
    assert read["client-cert.pem"] + read["intermediate-cert.pem"] == read["client-chain.pem"]
    assert read["intermediate-cert.pem"] + read["ca-cert.pem"] == read["ca-chain.pem"]
    assert read["server-chain.pem"] + read["server-key.pem"] == read["haproxy.pem"]


def test_both_sides_shake_hands(certs: Path) -> None:
    """A TLS connection in which each side verifies the other comes about."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certs / "ca-cert.pem"))
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(certs / "haproxy.pem")
    client = ssl.create_default_context(cafile=str(certs / "ca-cert.pem"))
    client.load_cert_chain(certs / "client-chain.pem", certs / "client-key.pem")
    here, there = socket.socketpair()
    with here, there:

        def serve() -> None:
            with server.wrap_socket(there, server_side=True) as wrapped:
                wrapped.sendall(wrapped.recv(5))

        thread = threading.Thread(target=serve)
        thread.start()
        with client.wrap_socket(here, server_hostname="screen.vm.test") as wrapped:
            wrapped.sendall(b"hello")
            assert b"hello" == wrapped.recv(5)
        thread.join()


def test_nothing_is_overwritten_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """When one file is there already, none is written, unless forced."""
    (tmp_path / "client-key.pem").write_text("mine")
    assert 1 == main(["--out", str(tmp_path)])
    assert ["client-key.pem"] == [path.name for path in tmp_path.iterdir()]
    assert "mine" == (tmp_path / "client-key.pem").read_text()
    assert "client-key.pem is there already: give --force" in capsys.readouterr().err
    assert 0 == main(["--out", str(tmp_path), "--force"])
    assert [str(tmp_path / name) for name in FILES] == capsys.readouterr().out.splitlines()
    assert 0o600 == (tmp_path / "client-key.pem").stat().st_mode & 0o777


def test_unwritable_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that cannot be made is an error in words."""
    (tmp_path / "file").touch()
    assert 1 == main(["--out", str(tmp_path / "file" / "out")])
    assert f"make_certs: error: cannot write {tmp_path}/file" in capsys.readouterr().err


def test_script_stands_alone(tmp_path: Path) -> None:
    """The script runs from any folder, without the package."""
    script = Path(__file__).parents[1] / "certs" / "make_certs.py"
    command = [sys.executable, "-P", str(script), "--out", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ("", 0) == (done.stderr, done.returncode)
    assert len(FILES) == len(list((tmp_path / "out").iterdir()))

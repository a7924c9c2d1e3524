"""The command line, from what is typed to what the shell gets."""

import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from consoleproxy import __version__
from consoleproxy.cli import main
from consoleproxy.config import Settings, settings_table

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors.json").read_text("utf-8"))
TOKEN = VECTORS["tokens"][0]
TICKET = VECTORS["tickets"][0]
OTHER_KEY = json.dumps(dict.fromkeys(("base64EncodedKeyBytes", "base64EncodedIvBytes"), "AAAAAAAAAAAAAAAAAAAAAA"))

pytestmark = pytest.mark.usefixtures("clean_environment")


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of whoever runs the tests do not count, and help is as wide as here."""
    for name in os.environ:
        if name.startswith("CONSOLEPROXY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """The key of the vectors, in a file."""
    path = tmp_path / "key.json"
    path.write_text(TOKEN["encryptorPassword"] + "\n")
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run a command, and return its status, output and errors."""
    status = main(arguments)
    return status, *capsys.readouterr()


def ticket_arguments(**changes: str) -> list[str]:
    """The command that makes the ticket of the vectors."""
    options = {name: TICKET[name] for name in ("host", "port", "sid", "tag")}
    options |= {"session": TICKET["sessionUuid"], "hash-key": TICKET["hashKey"], "minute": str(TICKET["minute"])}
    return ["token", "ticket", *[part for name, text in {**options, **changes}.items() for part in (f"--{name}", text)]]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """``--version`` tells the package's version."""
    assert (0, f"consoleproxy {__version__}\n", "") == run(capsys, "--version")


@pytest.mark.parametrize(
    "command",
    ["", "demo", "config", "token", "token decode", "token encode", "token ticket"],
)
def test_help_teaches_by_example(capsys: pytest.CaptureFixture[str], command: str) -> None:
    """Every command's help has an example that starts with the command itself."""
    status, output, errors = run(capsys, *command.split(), "--help")
    assert (0, "") == (status, errors)
    assert f"  consoleproxy {command}".rstrip() in output.partition("examples:\n")[2]


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("", "the following arguments are required: COMMAND (see consoleproxy --help)"),
        ("dmeo", "there is no command dmeo; did you mean demo? (see consoleproxy --help)"),
        ("xyzzy", "there is no command xyzzy (see consoleproxy --help)"),
        ("token deocde", "there is no command deocde; did you mean decode? (see consoleproxy token --help)"),
        (
            "config --max-sesions 5",
            "unknown argument --max-sesions; did you mean --max-sessions? (see consoleproxy config --help)",
        ),
        ("config --max-sesions=5", "unknown argument --max-sesions; did you mean --max-sessions? (see"),
        ("config --max-sess 5", "unknown argument --max-sess; did you mean --max-sessions? (see"),
        ("config extra", "unknown argument extra (see consoleproxy config --help)"),
        ("config --max-sessions", "argument --max-sessions: expected one argument (see"),
        ("config --max-sessions many", "max_sessions is 'many' (from flag --max-sessions): give a whole number, 1 or"),
        ("config --config /nowhere", "--config: cannot read '/nowhere': No such file or directory"),
        ("token decode x", "the following arguments are required: --encryptor-password (see"),
    ],
)
def test_wrong_command_is_told_in_one_line(capsys: pytest.CaptureFixture[str], command: str, complaint: str) -> None:
    """A wrong command, flag or value gives status 2 and one line with the nearest right one."""
    status, output, errors = run(capsys, *command.split())
    assert (2, "") == (status, output)
    assert errors.startswith(f"consoleproxy: error: {complaint}")
    assert 1 == errors.count("\n")


def test_unknown_environment_name_stops_the_program(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt environment name is not silently ignored."""
    monkeypatch.setenv("CONSOLEPROXY_LOG_LEVL", "debug")
    complaint = (
        "consoleproxy: error: there is no setting CONSOLEPROXY_LOG_LEVL (environment); "
        "did you mean CONSOLEPROXY_LOG_LEVEL?\n"
    )
    assert (2, "", complaint) == run(capsys, "config")


def test_config_shows_values_and_origins(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """``config`` prints each setting's value and origin, and no secret."""
    file = tmp_path / "my.toml"
    file.write_text("max_message = 65536\ntoken_key = 'SECRET'\n")
    monkeypatch.setenv("CONSOLEPROXY_DRAIN_TIMEOUT", "90")
    status, output, errors = run(capsys, "config", "--config", str(file), "--single-port", "443")
    rows = {row.split()[0]: re.split("  +", row)[1:] for row in output.splitlines()}
    assert (0, "") == (status, errors)
    assert ["value", "origin"] == rows.pop("setting")
    assert list(Settings.__dataclass_fields__) == list(rows)
    assert ["64KiB", f"file {file}"] == rows["max_message"]
    assert ["90s", "environment CONSOLEPROXY_DRAIN_TIMEOUT"] == rows["drain_timeout"]
    assert ["443", "flag --single-port"] == rows["single_port"]
    assert ["(hidden)", f"file {file}"] == rows["token_key"]
    assert ["(empty)", "default"] == rows["allowed_origins"]
    assert "SECRET" not in output


def test_config_prints_the_readmes_table(capsys: pytest.CaptureFixture[str]) -> None:
    """``config --markdown`` prints the table of all settings."""
    assert (0, settings_table(), "") == run(capsys, "config", "--markdown")


def test_demo_gets_the_settings(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """``demo`` hands the settings on; a demo that was asked to stop has done well."""
    calls = []

    class FakeDemo(ModuleType):
        @staticmethod
        def run(settings: Settings, *, json_output: bool) -> None:
            calls.append((settings, json_output))

    fake = FakeDemo("consoleproxy.demo")
    monkeypatch.setitem(sys.modules, "consoleproxy.demo", fake)
    monkeypatch.setattr("consoleproxy.demo", fake, raising=False)
    assert (0, "", "") == run(capsys, "demo", "--json", "--demo-vms", "3")
    assert (0, "", "") == run(capsys, "demo")
    assert [(Settings(demo_vms=3), True), (Settings(), False)] == calls


@pytest.mark.parametrize("vector", VECTORS["tokens"], ids=lambda vector: vector["name"])
def test_decode_prints_the_fields(capsys: pytest.CaptureFixture[str], key_file: Path, vector: dict[str, Any]) -> None:
    """``token decode`` prints what stands in CloudStack's token, as JSON that a terminal can bear."""
    status, output, errors = run(capsys, "token", "decode", vector["token"], "--encryptor-password", str(key_file))
    assert (0, "") == (status, errors)
    assert json.loads(vector["plaintextJson"]) == json.loads(output)
    assert '{\n  "clientHost' == output[:15]
    assert output.isascii()


def test_key_may_stand_or_lie_anywhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, key_file: Path
) -> None:
    """The key is taken as JSON, as a file, as ``@FILE`` and from standard input."""
    for key in (TOKEN["encryptorPassword"], str(key_file), f"@{key_file}", "-"):
        monkeypatch.setattr("sys.stdin", io.StringIO(TOKEN["encryptorPassword"]))
        assert 0 == run(capsys, "token", "decode", TOKEN["token"], "--encryptor-password", key)[0]


def test_token_may_come_from_elsewhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, key_file: Path, tmp_path: Path
) -> None:
    """The token is taken from a file and from standard input too, with white space around it."""
    (tmp_path / "token").write_text(f" {TOKEN['token']}\n\n")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{TOKEN['token']}\r\n"))
    for token in (f"@{tmp_path}/token", "-"):
        assert 0 == run(capsys, "token", "decode", token, "--encryptor-password", str(key_file))[0]


@pytest.mark.parametrize(
    ("token", "key", "complaint"),
    [
        (TOKEN["token"], OTHER_KEY, "the token does not decrypt: made with another key, or damaged"),
        (TOKEN["token"][:-5], TOKEN["encryptorPassword"], "the token does not decrypt: made with another key"),
        ("not base64!", TOKEN["encryptorPassword"], "the token is not base64"),
        ("", TOKEN["encryptorPassword"], "there is no token"),
    ],
)
def test_token_that_does_not_open_is_status_1(
    capsys: pytest.CaptureFixture[str], token: str, key: str, complaint: str
) -> None:
    """A wrong key or a damaged token is told, with status 1."""
    status, output, errors = run(capsys, "token", "decode", token, "--encryptor-password", key)
    assert (1, "") == (status, output)
    assert errors.startswith(f"consoleproxy: error: {complaint}")


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        ("{}", "the token key has no text base64EncodedKeyBytes"),
        ("/nowhere", "--encryptor-password: cannot read '/nowhere': No such file or directory"),
        ("@/nowhere", "--encryptor-password: cannot read '/nowhere': No such file or directory"),
        ("-", "TOKEN and --encryptor-password both want standard input: give one of them as @FILE"),
    ],
)
def test_key_that_cannot_be_read_is_status_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, key: str, complaint: str
) -> None:
    """A key that is none is told, with status 2."""
    monkeypatch.setattr("sys.stdin", io.StringIO(TOKEN["encryptorPassword"]))
    expected = (2, "", f"consoleproxy: error: {complaint}\n")
    assert expected == run(capsys, "token", "decode", "-", "--encryptor-password", key)


def test_encode_prints_what_decode_reads(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, key_file: Path, tmp_path: Path
) -> None:
    """``token encode`` prints a bare token of the fields, a new one each time, from a file or standard input."""
    fields = VECTORS["tokens"][1]["plaintextJson"]
    (tmp_path / "fields.json").write_text(fields)
    monkeypatch.setattr("sys.stdin", io.StringIO(fields))
    tokens = set()
    for source in (str(tmp_path / "fields.json"), "-"):
        status, output, errors = run(capsys, "token", "encode", source, "--encryptor-password", str(key_file))
        assert (0, "", 1) == (status, errors, output.count("\n"))
        tokens.add(output)
        decoded = run(capsys, "token", "decode", output, "--encryptor-password", str(key_file))[1]
        assert json.loads(fields) == json.loads(decoded)
    assert 2 == len(tokens)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": NaN}', '{"a": "\\ud800"}', "[" * 100000])
def test_encode_refuses_what_no_token_holds(
    capsys: pytest.CaptureFixture[str], key_file: Path, tmp_path: Path, text: str
) -> None:
    """Fields that are no JSON object, or no text, are told by the file's name."""
    file = tmp_path / "fields.json"
    file.write_text(text)
    expected = (2, "", f"consoleproxy: error: '{file}' holds no JSON object of a token's fields\n")
    assert expected == run(capsys, "token", "encode", str(file), "--encryptor-password", str(key_file))


@pytest.mark.parametrize("vector", VECTORS["tickets"], ids=lambda vector: f"{vector['host']}-{vector['timeMillis']}")
def test_ticket_prints_cloudstacks(capsys: pytest.CaptureFixture[str], vector: dict[str, Any]) -> None:
    """``token ticket`` prints CloudStack's ticket, XenServer's port included."""
    changes = {name: str(vector[name]) for name in ("host", "port", "sid", "tag", "minute")}
    assert (0, f"{vector['ticket']}\n", "") == run(capsys, *ticket_arguments(**changes))


def test_ticket_takes_its_secrets_from_elsewhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The VNC password and the hash key need not stand on the command line."""
    (tmp_path / "hash").write_text(f"{TICKET['hashKey']}\n")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{TICKET['sid']}\n"))
    command = ticket_arguments(**{"sid": "-", "hash-key": f"@{tmp_path}/hash"})
    assert (0, f"{TICKET['ticket']}\n", "") == run(capsys, *command)


def test_ticket_is_of_this_minute(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ``--minute`` the ticket is made now."""
    monkeypatch.setattr(time, "time", lambda: TICKET["timeMillis"] / 1000)
    command = ticket_arguments()
    place = command.index("--minute")
    assert (0, f"{TICKET['ticket']}\n", "") == run(capsys, *command[:place], *command[place + 2 :])


def program(*arguments: str, stdout: int, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run ``python -m consoleproxy`` as a shell would."""
    command = [sys.executable, "-m", "consoleproxy", *arguments]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=environ, check=False)


def test_module_runs_as_a_program() -> None:
    """``python -m consoleproxy`` is the same program, and returns its status to the shell."""
    done = program("--version", stdout=subprocess.PIPE, environ=os.environ)
    assert (0, f"consoleproxy {__version__}\n", "") == (done.returncode, done.stdout, done.stderr)
    assert 2 == program(stdout=subprocess.PIPE, environ=os.environ).returncode


@pytest.mark.parametrize(
    ("command", "unbuffered"), [("config", ""), ("config", "1"), ("--help", ""), ("config --help", "")]
)
def test_reader_that_goes_away_is_no_traceback(command: str, unbuffered: str) -> None:
    """When the reader of a pipe is gone, the program ends quietly, with the shell's status for that."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = program(*command.split(), stdout=writing, environ={**os.environ, "PYTHONUNBUFFERED": unbuffered})
    finally:
        os.close(writing)
    assert (141, "") == (done.returncode, done.stderr)


def test_interrupt_is_no_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends a command quietly, with the shell's status for that."""

    class Interrupted(io.StringIO):
        def read(self, size: int | None = -1, /) -> str:
            raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdin", Interrupted())
    assert (130, "", "") == run(capsys, *ticket_arguments(sid="-"))


@pytest.mark.parametrize(
    ("redirection", "status"), [(">&-", 0), (">/dev/full", 2), ("<&-", 0), ("<&- >&- 2>&-", 0)], ids=str
)
def test_missing_and_full_streams_are_no_traceback(redirection: str, status: int) -> None:
    """Closed standard streams are taken as empty ones, and a full disk is one line."""
    command = f"{sys.executable} -m consoleproxy config {redirection}"
    ended = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True, timeout=60)
    assert status == ended.returncode
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("text", ["[" * 5000, "0x" + "f" * 5000, "9" * 5000])
def test_a_monstrous_file_of_settings_is_one_line(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Thousands of brackets or digits are an error with the file's name."""
    file = tmp_path / "monster.toml"
    file.write_text(f"max_sessions = {text}\n")
    assert 2 == main(["config", "--config", str(file)])
    said = capsys.readouterr().err
    assert 1 == said.count("\n")
    assert str(file) in said

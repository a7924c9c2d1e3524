"""Start-up settings: where values come from, and what is said about wrong ones."""

import argparse
import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consoleproxy.config import (
    Settings,
    add_flags,
    environment_name,
    flag_name,
    is_secret,
    load,
    load_all,
    settings_table,
    show,
)
from consoleproxy.config.secrets import SecretReader
from consoleproxy.errors import ConfigError

NAMES = [spec.name for spec in dataclasses.fields(Settings)]


def flags(*arguments: str) -> dict[str, Any]:
    """What argparse finds in a command line."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_flags(parser)
    return vars(parser.parse_args(arguments))


def refused(**values: str) -> str:
    """What is said about values given as flags."""
    with pytest.raises(ConfigError) as caught:
        load(values, {})
    return str(caught.value)


def test_nothing_given_is_the_defaults() -> None:
    """Without any source, every setting has its default, and says so."""
    loaded = load(flags(), {})
    assert Settings() == loaded.settings
    assert dict.fromkeys(NAMES, "default") == loaded.origins


def test_defaults_are_safe() -> None:
    """By default only this machine reaches the proxy, and no secret is built in."""
    settings = Settings()
    assert ("127.0.0.1", "127.0.0.1:9180") == (settings.listen_address, settings.ops_listen)
    assert ("", "", ()) == (settings.token_key, settings.token_key_previous, settings.allowed_origins)


def test_later_source_wins() -> None:
    """A flag wins over the environment, the environment over the file; each is named as the origin."""
    toml = "max_sessions = 1\nmax_pending = 1\nclose_timeout = 0.5"
    environ = {"CONSOLEPROXY_MAX_SESSIONS": "2", "CONSOLEPROXY_MAX_PENDING": "2", "PATH": "/bin"}
    loaded = load(flags("--max-sessions", "3"), environ, toml, toml_path="my.toml")
    assert (3, 2, 0.5) == (loaded.settings.max_sessions, loaded.settings.max_pending, loaded.settings.close_timeout)
    assert "flag --max-sessions" == loaded.origins["max_sessions"]
    assert "environment CONSOLEPROXY_MAX_PENDING" == loaded.origins["max_pending"]
    assert "file my.toml" == loaded.origins["close_timeout"]
    assert "default" == loaded.origins["log_level"]


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_has_all_its_sources(name: str) -> None:
    """Each setting's example is taken from a flag, the environment and the file alike, and shows as itself."""
    spec = next(spec for spec in dataclasses.fields(Settings) if spec.name == name)
    example = spec.metadata["example"]
    assert example not in {"", show(name, spec.default)}
    by_flag = load(flags(flag_name(name), example), {}).settings
    assert by_flag == load({}, {environment_name(name): example}).settings
    assert by_flag == load({}, {}, f"{name} = '{example}'").settings
    assert Settings() != by_flag
    assert ("(hidden)" if is_secret(name) else example) == show(name, getattr(by_flag, name))


@pytest.mark.parametrize("name", NAMES)
def test_default_is_a_value_that_may_be_given(name: str) -> None:
    """What a default shows as is taken back as the same value."""
    default = getattr(Settings(), name)
    assert default == getattr(load({name: show(name, default)}, {}).settings, name)


def test_toml_values_have_their_own_types() -> None:
    """Numbers, booleans and lists of the file need no quotes."""
    toml = (
        'max_sessions = 1_000\ncheck_source_address = true\ndrain_timeout = 1.5\nsingle_port = "off"\n'
        'allowed_origins = ["https://a.test", "b.test"]'
    )
    settings = load({}, {}, toml).settings
    assert (1000, True, 1.5, None) == (
        settings.max_sessions,
        settings.check_source_address,
        settings.drain_timeout,
        settings.single_port,
    )
    assert ("https://a.test", "b.test") == settings.allowed_origins


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10", 10), ("10s", 10), ("1.5s", 1.5), ("500ms", 0.5), ("5m", 300), ("2h", 7200), ("1d", 86400), ("10 s", 10)],
)
def test_durations(text: str, seconds: float) -> None:
    """A duration is a number of seconds, or one with a unit."""
    assert seconds == load({"close_timeout": text}, {}).settings.close_timeout


@pytest.mark.parametrize("text", ["", "0", "-1", "1w", "1e3", "s", "nan", "inf", "1,5", "1_0", "1h30m", "\u0661"])
def test_wrong_durations(text: str) -> None:
    """Anything else is refused with examples of what is taken."""
    assert (
        f"close_timeout is {text!r} (from flag --close-timeout): "
        "give seconds, 0.01 or more, such as 10, 10s, 500ms, 5m or 1h"
    ) == refused(close_timeout=text)


def test_drain_may_take_no_time() -> None:
    """Zero is allowed where it means at once."""
    assert 0 == load({"drain_timeout": "0"}, {}).settings.drain_timeout


@pytest.mark.parametrize(
    ("text", "size"), [("65536", 65536), ("64KiB", 65536), ("1MiB", 1048576), ("1.5KiB", 1536), ("2048B", 2048)]
)
def test_sizes(text: str, size: int) -> None:
    """A size is a number of bytes, or one with a unit."""
    assert size == load({"max_message": text}, {}).settings.max_message


@pytest.mark.parametrize("text", ["0", "1023", "64KB", "64k", "1024.5", "-1MiB", "", "1 2"])
def test_wrong_sizes(text: str) -> None:
    """Anything else is refused, and so are units that people mean two things by."""
    assert "give bytes, 1KiB or more, such as 65536, 64KiB or 1MiB" in refused(max_message=text)


@given(st.integers(1024, 10**12))
def test_shown_size_is_the_size(size: int) -> None:
    """A size is shown in a way that gives the same size back."""
    assert size == load({"max_message": show("max_message", size)}, {}).settings.max_message


@given(st.integers(1, 10**8).map(lambda hundredths: hundredths / 100))
def test_shown_duration_is_the_duration(seconds: float) -> None:
    """A duration is shown in a way that gives the same duration back."""
    assert seconds == load({"close_timeout": show("close_timeout", seconds)}, {}).settings.close_timeout


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("single_port", "65536", "a port, 0 to 65535, or off"),
        ("single_port", "-1", "a port, 0 to 65535, or off"),
        ("page_port", "http", "a port, 0 to 65535"),
        ("single_port", "8" * 5000, "a port, 0 to 65535"),
        ("max_sessions", "0", "a whole number, 1 or more"),
        ("max_sessions", "1.0", "a whole number, 1 or more"),
        ("max_sessions", "", "a whole number, 1 or more"),
        ("demo_vms", "-1", "a whole number, 0 or more"),
        ("listen_address", "", "an IP address of this machine"),
        ("listen_address", "localhost", "an IP address of this machine"),
        ("listen_address", "127.0.0.1:80", "an IP address of this machine"),
        ("ops_listen", "9180", "an address and port such as 127.0.0.1:9180 or [::1]:9180"),
        ("ops_listen", "localhost:9180", "an address and port"),
        ("ops_listen", "::1:9180", "an address and port"),
        ("ops_listen", "[127.0.0.1]:9180", "an address and port"),
        ("ops_listen", "127.0.0.1:", "an address and port"),
        ("ops_listen", "127.0.0.1:99999", "an address and port"),
        ("public_address", "https://consoles.test", "a host name or address, without scheme and port"),
        ("public_address", "consoles.test:80", "a host name or address, without scheme and port"),
        ("public_address", "a/b", "a host name or address"),
        ("allowed_origins", "https://a.test/path", "origins such as https://cloud.example.test"),
        ("allowed_origins", "*", "origins such as"),
        ("allowed_origins", "https://*.a.test", "origins such as"),
        ("allowed_origins", "a.test:80", "origins such as"),
        ("allowed_origins", "https://a.test,b c", "origins such as"),
        ("check_source_address", "maybe", "true or false"),
        ("log_level", "INFO", "debug, info, warning or error"),
        ("log_format", "", "text or json"),
        ("demo_qemu", "yes", "auto, on or off"),
    ],
)
def test_wrong_value_is_told_with_its_mend(name: str, text: str, wanted: str) -> None:
    """An error names the setting, the value, where it came from, and what to give instead."""
    assert f"{name} is {text!r} (from flag {flag_name(name)}): give {wanted}" in refused(**{name: text})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("listen_address", "::"),
        ("ops_listen", ""),
        ("ops_listen", "[::1]:0"),
        ("public_address", "2001:db8::1"),
        ("public_address", "a-b.test."),
        ("allowed_origins", "https://a.test:8443,http://[::1]:80,b.test,null"),
        ("allowed_origins", ""),
    ],
)
def test_right_values(name: str, text: str) -> None:
    """What may be given, is taken and shown as it was given."""
    assert text == show(name, getattr(load({name: text}, {}).settings, name))


def test_origins_are_tidied() -> None:
    """Spaces, empty places and capitals between the commas do not count."""
    assert ("https://a.test", "b.test") == load(
        {"allowed_origins": " HTTPS://A.test ,,b.test,"}, {}
    ).settings.allowed_origins


@pytest.mark.parametrize("word", ["true", "Yes", "on", "1"])
def test_words_for_yes(word: str) -> None:
    """A switch takes the usual words, and a bare flag means yes."""
    assert load({"check_source_address": word}, {}).settings.check_source_address
    assert load(flags("--check-source-address"), {}).settings.check_source_address
    assert not load(flags("--check-source-address=off"), {}).settings.check_source_address


def test_a_certificate_moves_the_ports_to_those_of_tls() -> None:
    """With tls_cert the default ports are CloudStack's of TLS; a port that was chosen stays."""
    flags = {"single_port": "off", "tls_cert": "chain.pem"}
    settings = load(flags, {}).settings
    assert (443, 8443) == (settings.page_port, settings.websocket_port)
    settings = load(flags | {"page_port": "8000"}, {}).settings
    assert (8000, 8443) == (settings.page_port, settings.websocket_port)


def test_two_listeners_cannot_share_a_port() -> None:
    """Without a single port the two ports differ, or are any free ones."""
    assert "page_port and websocket_port are both 80" in refused(single_port="off", websocket_port="80")
    assert 0 == load({"single_port": "off", "page_port": "0", "websocket_port": "0"}, {}).settings.page_port
    assert 80 == load({"websocket_port": "80"}, {}).settings.websocket_port


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ("max_sesions = 1", "my.toml: there is no setting 'max_sesions'; did you mean max_sessions?"),
        ("max-sessions = 1", "my.toml: there is no setting 'max-sessions'; did you mean max_sessions?"),
        ("xyzzy = 1", "my.toml: there is no setting 'xyzzy'"),
        ("[proxy]\nmax_sessions = 1", "my.toml: there is no setting 'proxy'"),
        ("max_sessions = []", "max_sessions is '' (from file my.toml): give a whole number, 1 or more"),
        ("max_sessions = [1]", "my.toml: max_sessions is a list: give a whole number, 1 or more"),
        ("max_sessions = true", "max_sessions is 'true' (from file my.toml): give a whole number, 1 or more"),
        ("max_sessions = 2020-01-01", "my.toml: max_sessions is a date: give a whole number, 1 or more"),
        ("[max_sessions]\na = 1", "my.toml: max_sessions is a dict: give a whole number, 1 or more"),
        ("max_sessions 1", "my.toml is not TOML: Expected '=' after a key"),
    ],
)
def test_wrong_file_is_told(toml: str, complaint: str) -> None:
    """What is wrong in the file is told with the file's name, and the nearest setting."""
    with pytest.raises(ConfigError) as caught:
        load({}, {}, toml, toml_path="my.toml")
    assert str(caught.value).startswith(complaint)


def test_unknown_environment_name_is_told() -> None:
    """A name that starts like ours and is none is an error with the nearest one."""
    with pytest.raises(ConfigError) as caught:
        load({}, {"CONSOLEPROXY_MAX_SESSION": "1"})
    assert "there is no setting CONSOLEPROXY_MAX_SESSION (environment); did you mean CONSOLEPROXY_MAX_SESSIONS?" == str(
        caught.value
    )


def test_kubernetes_own_names_are_no_settings() -> None:
    """What Kubernetes tells each pod about Services called consoleproxy and consoleproxy-manager changes nothing."""
    environ = {
        "CONSOLEPROXY_SERVICE_HOST": "10.0.0.1",
        "CONSOLEPROXY_SERVICE_PORT": "443",
        "CONSOLEPROXY_SERVICE_PORT_HTTPS": "443",
        "CONSOLEPROXY_PORT": "tcp://10.0.0.1:443",
        "CONSOLEPROXY_PORT_443_TCP": "tcp://10.0.0.1:443",
        "CONSOLEPROXY_PORT_443_TCP_PROTO": "tcp",
        "CONSOLEPROXY_PORT_443_TCP_PORT": "443",
        "CONSOLEPROXY_PORT_443_TCP_ADDR": "10.0.0.1",
        "CONSOLEPROXY_MANAGER_SERVICE_HOST": "10.0.0.2",
        "CONSOLEPROXY_MANAGER_PORT": "tcp://10.0.0.2:6081",
    }
    assert Settings() == load({}, environ).settings
    with pytest.raises(ConfigError, match="CONSOLEPROXY_MANAGER_PORT"):
        load({}, {"CONSOLEPROXY_MANAGER_PORT": "7"})


def test_secrets_are_read_from_elsewhere(tmp_path: Path) -> None:
    """``@FILE`` and ``-`` stand for a file's text and standard input, without the line end."""
    (tmp_path / "key").write_text("from a file\n")
    reader = SecretReader(io.StringIO("from standard input\n"))
    settings = load({"token_key": f"@{tmp_path}/key", "token_key_previous": "-"}, {}, secrets=reader).settings
    assert ("from a file", "from standard input") == (settings.token_key, settings.token_key_previous)


def test_secret_may_stand_as_it_is() -> None:
    """A secret that is neither is itself."""
    assert "{}" == load({}, {"CONSOLEPROXY_TOKEN_KEY": "{}"}, secrets=SecretReader(io.StringIO())).settings.token_key


def test_hidden_secret_is_not_read() -> None:
    """Standard input is not touched for a value that another source overrides."""
    environ = {"CONSOLEPROXY_TOKEN_KEY": "-"}
    reader = SecretReader(io.StringIO("stdin"))
    loaded = load({"token_key": "flag", "token_key_previous": "-"}, environ, secrets=reader)
    assert ("flag", "stdin") == (loaded.settings.token_key, loaded.settings.token_key_previous)


def test_standard_input_is_one_secret() -> None:
    """Two secrets cannot both come from standard input."""
    reader = SecretReader(io.StringIO("secret"))
    with pytest.raises(ConfigError, match="token_key_previous and token_key both want standard input"):
        load({"token_key": "-", "token_key_previous": "-"}, {}, secrets=reader)


@pytest.mark.parametrize(
    ("name", "complaint"), [("missing", "No such file"), ("", "Is a directory"), ("latin", "is not UTF-8 text")]
)
def test_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, complaint: str) -> None:
    """An unreadable file of a secret, or of settings, is an error that names both."""
    (tmp_path / "latin").write_bytes(b"\xe9")
    reader = SecretReader(io.StringIO())
    with pytest.raises(ConfigError, match=f"token_key: .*{tmp_path}/{name}.*{complaint}"):
        load({"token_key": f"@{tmp_path}/{name}"}, {}, secrets=reader)
    with pytest.raises(ConfigError, match=f"--config: .*{tmp_path}/{name}.*{complaint}"):
        load_all({"config": f"{tmp_path}/{name}"}, {}, reader)


def test_standard_input_must_be_text() -> None:
    """Bytes on standard input that are no text are an error in words."""
    reader = SecretReader(io.TextIOWrapper(io.BytesIO(b"\xff"), "utf-8"))
    with pytest.raises(ConfigError, match="--sid: standard input is not UTF-8"):
        reader.read("-", "--sid")


def test_file_is_named_by_flag_or_environment(tmp_path: Path) -> None:
    """The file comes from ``--config``, else from ``CONSOLEPROXY_CONFIG``, which is no setting itself."""
    for name in ("flag", "environment"):
        (tmp_path / name).write_text(f"public_address = '{name}.test'")
    environ = {"CONSOLEPROXY_CONFIG": str(tmp_path / "environment")}
    reader = SecretReader(io.StringIO())
    assert "environment.test" == load_all(flags(), environ, reader).settings.public_address
    chosen = flags("--config", str(tmp_path / "flag"))
    assert "flag.test" == load_all(chosen, environ, reader).settings.public_address
    assert Settings() == load_all(flags(), {}, reader).settings


def test_secrets_are_not_shown() -> None:
    """A secret stands neither in a ``repr`` nor in what is printed; only that there is one can be seen."""
    settings = load({"token_key": "SECRET", "token_key_previous": "SECRET"}, {}).settings
    assert "SECRET" not in repr(settings)
    assert "(hidden)" == show("token_key", settings.token_key)
    assert "" == show("token_key", "")


def test_table_has_a_row_for_each_setting() -> None:
    """The README's table has one row for each setting with its three names, default and meaning."""
    head, rule, *rows = settings_table().splitlines()
    assert "| Setting | Flag | Environment | Default | Meaning |" == head
    assert "|---|---|---|---|---|" == rule
    assert NAMES == [row.split("`")[1] for row in rows]
    assert {6} == {row.count("|") for row in rows}
    assert (
        "| `max_message` | `--max-message` | `CONSOLEPROXY_MAX_MESSAGE` | `1MiB` "
        "| longest websocket message of a browser, for example `64KiB` |"
    ) in rows


@given(st.sampled_from(NAMES), st.text())
def test_any_value_is_taken_or_refused(name: str, text: str) -> None:
    """Any text is a value or a ``ConfigError``, and what is taken can be shown."""
    try:
        settings = load({name: text}, {}).settings
    except ConfigError:
        return
    assert isinstance(show(name, getattr(settings, name)), str)

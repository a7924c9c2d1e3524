"""``consoleproxy token``: open, make and sign what stands in a console link (CloudStack facts 2)."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import time

from consoleproxy.access.ticket import make_ticket, minute_of
from consoleproxy.access.token import NONCE_SIZE, TokenKey, TokenKeys, decode, encode
from consoleproxy.cli.parser import Commands
from consoleproxy.config.secrets import SecretReader, read_text
from consoleproxy.errors import ConfigError

_EXAMPLES = """\
examples:
  consoleproxy token decode TOKEN --encryptor-password key.json
  consoleproxy token encode fields.json --encryptor-password key.json
  consoleproxy token ticket --host 10.1.2.3 --port 5901 --sid @password --tag VM-UUID \\
      --session SESSION-UUID --hash-key @hash.key
"""

_DECODE_EXAMPLES = """\
examples:
  consoleproxy token decode '3OEM1wXw9WIM...' --encryptor-password key.json
  consoleproxy token decode - --encryptor-password key.json < token.txt

where key.json is what CloudStack sends to its proxies as encryptorPassword:
  {"base64EncodedKeyBytes": "AAECAwQFBgcICQoLDA0ODw", "base64EncodedIvBytes": "EBESExQVFhcYGRobHB0eHw"}

The output holds the VM's VNC password and the ticket. The exit status is 1 when the token
does not open.
"""

_ENCODE_EXAMPLES = """\
examples:
  consoleproxy token encode fields.json --encryptor-password key.json
  consoleproxy token decode TOKEN --encryptor-password key.json > fields.json

where fields.json is, at the least:
  {"clientHostAddress": "10.1.2.3", "clientHostPort": 5901}
"""

_TICKET_EXAMPLES = """\
examples:
  consoleproxy token ticket --host 10.1.2.3 --port 5901 --sid @password --tag VM-UUID \\
      --session SESSION-UUID --hash-key @hash.key
  ... --port -1                       XenServer's port
  ... --minute 28333333               as if made in that minute (Unix seconds / 60)

The hash key is CloudStack's setting security.hash.key, as the text it is. A ticket is good
in its minute and in the next.
"""

_OR_ELSEWHERE = "; @FILE reads it from a file, - from standard input"


def add_commands(commands: Commands) -> None:
    """Add ``token`` with its three commands."""
    token = commands.add_parser(
        "token",
        help="decode and encode tokens, sign tickets",
        description="Open, make and sign what stands in a console link, as CloudStack does.",
        epilog=_EXAMPLES,
    ).add_subparsers(metavar="COMMAND", required=True)
    _add_decode(token)
    _add_encode(token)
    _add_ticket(token)


def _add_decode(commands: Commands) -> None:
    text = "print the fields of a token as JSON"
    parser = commands.add_parser("decode", help=text, description=f"{text.capitalize()}.", epilog=_DECODE_EXAMPLES)
    parser.add_argument("token", metavar="TOKEN", help=f"raw or percent-encoded{_OR_ELSEWHERE}")
    _add_key(parser)
    parser.set_defaults(run=_decode)


def _add_encode(commands: Commands) -> None:
    text = "print a token that holds the fields of a JSON file"
    parser = commands.add_parser("encode", help=text, description=f"{text.capitalize()}.", epilog=_ENCODE_EXAMPLES)
    parser.add_argument("fields", metavar="FILE", help="JSON object of the token's fields; - reads standard input")
    _add_key(parser)
    parser.set_defaults(run=_encode)


def _add_ticket(commands: Commands) -> None:
    text = "print the ticket of a session"
    parser = commands.add_parser("ticket", help=text, description=f"{text.capitalize()}.", epilog=_TICKET_EXAMPLES)
    parser.add_argument("--host", required=True, help="clientHostAddress of the token")
    parser.add_argument("--port", required=True, type=int, help="clientHostPort of the token")
    parser.add_argument("--sid", required=True, help=f"the VNC password{_OR_ELSEWHERE}")
    parser.add_argument("--tag", required=True, help="the VM's UUID")
    parser.add_argument("--session", required=True, help="the session's UUID")
    parser.add_argument("--minute", type=int, help="the ticket's minute (default: now)")
    parser.add_argument("--hash-key", required=True, metavar="KEY", help=f"security.hash.key{_OR_ELSEWHERE}")
    parser.set_defaults(run=_ticket)


def _add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--encryptor-password",
        required=True,
        metavar="FILE|JSON",
        help="CloudStack's JSON of key and IV, or a file that holds it; - reads standard input",
    )


def _decode(arguments: argparse.Namespace) -> int:
    reader = SecretReader(sys.stdin)
    key = _key(arguments.encryptor_password, reader)
    # Escaped to ASCII, so that a display name cannot steer the terminal.
    print(json.dumps(decode(reader.read(arguments.token, "TOKEN").strip(), TokenKeys(key)), indent=2))
    return 0


def _encode(arguments: argparse.Namespace) -> int:
    reader = SecretReader(sys.stdin)
    key = _key(arguments.encryptor_password, reader)
    text = reader.read("-", "FILE") if arguments.fields == "-" else read_text(arguments.fields, "FILE")
    print(_sealed(text, key, arguments.fields))
    return 0


def _sealed(text: str, key: TokenKey, origin: str) -> str:
    try:
        fields = json.loads(text)
        if isinstance(fields, dict):
            return encode(fields, key, secrets.token_bytes(NONCE_SIZE))
    except (ValueError, RecursionError):
        pass
    raise ConfigError(f"{origin!r} holds no JSON object of a token's fields")


def _ticket(arguments: argparse.Namespace) -> int:
    reader = SecretReader(sys.stdin)
    sid, hash_key = reader.read(arguments.sid, "--sid"), reader.read(arguments.hash_key, "--hash-key")
    minute = minute_of(time.time()) if arguments.minute is None else arguments.minute
    print(make_ticket(hash_key, arguments.host, arguments.port, sid, arguments.tag, arguments.session, minute))
    return 0


def _key(text: str, reader: SecretReader) -> TokenKey:
    name = "--encryptor-password"
    if text.lstrip().startswith("{"):
        return TokenKey.from_json(text)
    return TokenKey.from_json(reader.read(text, name) if text == "-" or text.startswith("@") else read_text(text, name))

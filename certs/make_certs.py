"""Make development certificates: a root CA, an intermediate CA, a server's and a client's.

``python certs/make_certs.py --out certs/out`` writes them; ``consoleproxy/ops/certs.py`` says how
they are made, and ``make_certs`` there does the same from Python. Nobody but you should trust this root.

Runs in a checkout as it is: it needs ``cryptography`` and that one file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from consoleproxy.ops.certs import RSA_BITS, make_certs

_EXAMPLES = """\
examples:
  python certs/make_certs.py --out certs/out
  python certs/make_certs.py --out certs/out --domain consoles.example.test --rsa --force
  curl --cacert certs/out/ca-cert.pem https://localhost:8443/
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a program, and return its exit status."""
    parser = argparse.ArgumentParser(
        description="Make development certificates. Nobody but you should trust them.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write into")
    parser.add_argument("--domain", default="example.test", help="domain of the server (default: %(default)s)")
    parser.add_argument("--rsa", action="store_true", help=f"RSA keys of {RSA_BITS} bits instead of ECDSA P-256")
    parser.add_argument("--force", action="store_true", help="replace files that are there already")
    arguments = parser.parse_args(argv)
    try:
        paths = make_certs(arguments.out, domain=arguments.domain, use_rsa=arguments.rsa, force=arguments.force)
    except FileExistsError as error:
        print(f"make_certs: error: {error}: give --force to replace it, or another --out", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"make_certs: error: cannot write {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    print("\n".join(str(path) for path in paths))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``python -m bench``: runs the command line."""

from __future__ import annotations

import sys

from bench.command_line import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

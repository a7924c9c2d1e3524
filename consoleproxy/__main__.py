"""``python -m consoleproxy``: the same as the command ``consoleproxy``."""

import sys

from consoleproxy.cli import main

if __name__ == "__main__":
    sys.exit(main())

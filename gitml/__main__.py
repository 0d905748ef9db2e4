"""``python -m gitml`` and the console script."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line; the exit code is the process's."""
    from gitml.cli.main import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

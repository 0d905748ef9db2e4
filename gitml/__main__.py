"""``python -m gitml`` and the console script."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Runs the command line; the exit code is the process's."""
    # Commands are short and make few cycles: collecting garbage among the imports costs a tenth of a cached run.
    gc.set_threshold(100_000, 50, 50)
    from gitml.cli.main import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

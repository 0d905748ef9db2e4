"""``python -m gitml`` and the console script."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress


def main() -> None:
    """Runs the command line; the exit code is the process's."""
    # Commands are short and make few cycles: collecting garbage among the imports costs a tenth of a cached run.
    gc.set_threshold(100_000, 50, 50)
    from gitml.cli.main import run

    code = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    # Nothing is left to do: taking the interpreter down in order costs as much as planning a hundred steps.
    os._exit(code)


if __name__ == "__main__":
    main()

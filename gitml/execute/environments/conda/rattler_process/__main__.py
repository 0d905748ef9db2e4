"""Does what a request asks for, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time

from gitml.execute.environments.conda.rattler_process.events import RefusedError, say
from gitml.execute.environments.conda.rattler_process.installation import install_packages
from gitml.execute.environments.conda.rattler_process.solution import solve_environment

_LOOK = 0.1  # seconds
WORK = {"install": install_packages, "solve": solve_environment}
"""By what a request asks for."""


def _end_with(parent: int) -> None:
    """Ends this process when the one that started it is gone: nobody waits for the result, and another may build there."""
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os._exit(1)


def main(path: str) -> None:
    """Does what the request at `path` asks for, and ends the process."""
    with open(path, "rb") as file:
        request = json.load(file)
    threading.Thread(target=_end_with, args=(request["parent"],), daemon=True).start()
    try:
        result = asyncio.run(WORK[request["work"]](request))
    except Exception as error:
        say(error=f"{error}" if isinstance(error, RefusedError) else f"{type(error).__name__}: {error}")
    else:
        say(result=result)
    os._exit(0)  # threads of rattler may crash when Python ends


if __name__ == "__main__":
    main(sys.argv[1])

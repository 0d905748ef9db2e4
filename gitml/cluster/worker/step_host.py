"""The process that keeps the worker of one Ray worker process: started anew, because nothing may be forked from a process with
threads. It starts no Ray, ends with the process that started it, and ends all that a step left when that is killed.

    python -m gitml.cluster.worker.step_host DESCRIPTOR PLACE PLACES GRACE
"""

from __future__ import annotations

import json
import os
import sys

from gitml.cluster.worker.folder_interface import FolderSpec
from gitml.execute.interfaces import WorkerServices
from gitml.execute.sandbox.location import SandboxRoots
from gitml.execute.supervisor import Supervisor, detach_from


def main(control: int, place: FolderSpec, places: SandboxRoots, grace: float) -> None:
    """Keeps a worker until the other end of the socket `control` is closed."""

    def services() -> WorkerServices:
        return place.folder(os.environ).services()

    place.folder(os.environ)  # loads what workers need, once for all of them
    detach_from([control])
    Supervisor(control, services, places, grace).run()


if __name__ == "__main__":
    main(
        int(sys.argv[1]),
        FolderSpec(*json.loads(sys.argv[2])),
        SandboxRoots(*json.loads(sys.argv[3])),
        float(sys.argv[4]),
    )

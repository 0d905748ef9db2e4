"""A LocalExecutor whose supervisor is a program of its own: a process with threads, as every one that uses Ray, can't be forked.

    python -m gitml.cluster.worker.hosted_executor FOLDER DESCRIPTOR SANDBOXES GRACE

is that program for the folder of a worker. It starts no Ray, ends with the process that started it, and ends all that a step left
when that is killed.
"""

from __future__ import annotations

import json
import os
import sys

from gitml.cluster.worker.folder import FolderSpec
from gitml.core.model.resources import Resources
from gitml.execute.local_executor import LocalExecutor
from gitml.execute.supervisor import run_host

ANYTHING = Resources(1e9, 0, 2**62)


class RayHosted(LocalExecutor):
    """Performs one Task at a time where Ray has seen to it that there is room, with the GPUs that Ray gave."""

    def __init__(self, folder: FolderSpec, live_dir: str, grace: float) -> None:
        host = ("-m", "gitml.cluster.worker.hosted_executor", json.dumps(folder))
        super().__init__(lambda: folder.open(os.environ).services(), live_dir, 1, ANYTHING, grace=grace, host=host)

    def _devices(self, attempt: str, count: float) -> str | None:
        return os.environ.get("CUDA_VISIBLE_DEVICES", "") if count > 0 else None


if __name__ == "__main__":
    run_host(sys.argv[2:], lambda: FolderSpec(*json.loads(sys.argv[1])).open(os.environ).services())

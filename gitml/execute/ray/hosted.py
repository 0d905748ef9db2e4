"""A LocalExecutor whose keeper is a program of its own, for a process that Ray runs tasks in."""

from __future__ import annotations

import json
import os
import sys

from gitml.core.resources import Resources
from gitml.execute.contents import Services
from gitml.execute.local import LocalExecutor
from gitml.execute.ray.folder import Place

ANYTHING = Resources(1e9, 0, 2**62)


class HostedExecutor(LocalExecutor):
    """Performs one Task at a time in sandboxes below `live_dir`. Ray has seen to it that there is room for it."""

    def __init__(self, place: Place, live_dir: str, grace: float) -> None:
        super().__init__(_no_services, live_dir, 1, ANYTHING, grace=grace)
        self._place = place

    def _devices(self, attempt: str, count: float) -> str | None:
        """What Ray gave to the task that this process performs."""
        return os.environ.get("CUDA_VISIBLE_DEVICES", "") if count > 0 else None

    def _begin_keeper(self, control: int) -> int:
        os.set_inheritable(control, True)
        words = (str(control), json.dumps(self._place), self._live_dir, str(self._grace))
        argv = (sys.executable, "-m", "gitml.execute.ray.host", *words)
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
        return os.posix_spawn(sys.executable, argv, environ, setsigmask=())


def _no_services() -> Services:
    raise AssertionError("the host makes its own")

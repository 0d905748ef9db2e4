"""A LocalExecutor whose supervisor is a program of its own, for a process that has threads, as every one that uses Ray."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping

from gitml.cluster.worker.folder_interface import FolderSpec
from gitml.core.model.resources import Resources
from gitml.execute.interfaces import WorkerServices
from gitml.execute.local_executor import GRACE, LocalExecutor
from gitml.execute.sandbox.location import SandboxRoots

ANYTHING = Resources(1e9, 0, 2**62)


class HostedExecutor(LocalExecutor):
    """As LocalExecutor; `place` tells the supervisor how to make what its workers work with."""

    def __init__(
        self,
        place: FolderSpec,
        live_dir: str,
        slots: int,
        capacity: Resources,
        *,
        machine: Mapping[str, str] | None = None,
        grace: float = GRACE,
    ) -> None:
        super().__init__(_no_services, live_dir, slots, capacity, machine=machine, grace=grace)
        self._environ = dict(os.environ if machine is None else machine)
        self._place = place

    def _services_here(self) -> WorkerServices:
        return self._place.folder(self._environ).services()

    def _fork_supervisor(self, control: int, roots: SandboxRoots) -> int:
        os.set_inheritable(control, True)
        words = (str(control), json.dumps(self._place), json.dumps(roots), str(self._grace))
        argv = (sys.executable, "-m", "gitml.cluster.worker.step_host", *words)
        return os.posix_spawn(sys.executable, argv, self._environ, setsigmask=())


class RayHosted(HostedExecutor):
    """Performs one Task at a time where Ray has seen to it that there is room, with the GPUs that Ray gave."""

    def __init__(self, place: FolderSpec, live_dir: str, grace: float) -> None:
        super().__init__(place, live_dir, 1, ANYTHING, grace=grace)

    def _devices(self, attempt: str, count: float) -> str | None:
        return os.environ.get("CUDA_VISIBLE_DEVICES", "") if count > 0 else None


def _no_services() -> WorkerServices:
    raise AssertionError("the host makes its own")

"""A LocalExecutor whose supervisor is a program of its own: a process with threads, as every one that uses Ray, can't be forked.

    python -m gitml.cluster.worker.hosted_executor FOLDER DESCRIPTOR SANDBOXES GRACE

is that program for the folder of a worker. It starts no Ray, ends with the process that started it, and ends all that a step left
when that is killed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from gitml.cluster.worker.folder import FolderSpec
from gitml.core.model.resources import Resources
from gitml.execute.interfaces import WorkerServices
from gitml.execute.local_executor import GRACE, LocalExecutor
from gitml.execute.sandbox.location import SandboxRoots
from gitml.execute.supervisor import Supervisor, detach_from

ANYTHING = Resources(1e9, 0, 2**62)


class HostedExecutor(LocalExecutor):
    """As LocalExecutor; `host` is the command of the supervisor's program, which ends with a call of `run_host`."""

    def __init__(
        self,
        host: Sequence[str],
        make_services: Callable[[], WorkerServices],
        live_dir: str,
        slots: int,
        capacity: Resources,
        *,
        machine: Mapping[str, str] | None = None,
        grace: float = GRACE,
    ) -> None:
        super().__init__(make_services, live_dir, slots, capacity, machine=machine, grace=grace)
        self._environ = dict(os.environ if machine is None else machine)
        self._host = host

    def _fork_supervisor(self, control: int, roots: SandboxRoots) -> int:
        os.set_inheritable(control, True)
        argv = (sys.executable, *self._host, str(control), json.dumps(roots), str(self._grace))
        return os.posix_spawn(sys.executable, argv, self._environ, setsigmask=())


def run_host(arguments: Sequence[str], make_services: Callable[[], WorkerServices]) -> None:
    """Supervises workers until the other end of the control socket is closed; `arguments` as HostedExecutor adds them."""
    control = int(arguments[0])
    make_services()  # loads what workers need, once for all of them
    detach_from([control])
    Supervisor(control, make_services, SandboxRoots(*json.loads(arguments[1])), float(arguments[2])).run()


class RayHosted(HostedExecutor):
    """Performs one Task at a time where Ray has seen to it that there is room, with the GPUs that Ray gave."""

    def __init__(self, folder: FolderSpec, live_dir: str, grace: float) -> None:
        host = ("-m", "gitml.cluster.worker.hosted_executor", json.dumps(folder))
        super().__init__(host, lambda: folder.open(os.environ).services(), live_dir, 1, ANYTHING, grace=grace)

    def _devices(self, attempt: str, count: float) -> str | None:
        return os.environ.get("CUDA_VISIBLE_DEVICES", "") if count > 0 else None


if __name__ == "__main__":
    run_host(sys.argv[2:], lambda: FolderSpec(*json.loads(sys.argv[1])).open(os.environ).services())

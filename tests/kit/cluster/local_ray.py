"""Ray for tests: a Ray of their own on this machine, and a ExecutionBench whose Tasks are performed by it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gitml.cluster.connect.machines import label_selector, resources_of
from gitml.cluster.driver.executor import RayExecutor
from gitml.cluster.driver.session import DriverServices
from gitml.cluster.worker.folder import FolderSpec
from gitml.core.model.environment import Environment
from gitml.core.model.protocols import Task
from gitml.core.model.resources import Machine, Resources
from gitml.errors import InputError
from gitml.execute.environments.environments import Environments
from gitml.store.local.store import LocalStore
from tests.kit.execution import ON_HOST, ExecutionBench, MemoryFacts

# Ray remembers the first one in a process, and else looks for it in whatever HOME the next Ray of it is given
_TOKEN = secrets.token_hex(32)


class LocalRay:
    """A Ray that was started in this process or joined by it; in place of `connect.cluster.Cluster`."""

    def machines(self) -> Sequence[Machine]:
        import ray

        found = []
        for node in ray.nodes():
            if node["Alive"]:
                total = resources_of(node["Resources"], node["Labels"])
                found.append(Machine(node["NodeID"], node["NodeName"], node["NodeManagerAddress"], False, total, total))
        return found

    def options(self, asked: Resources, known: list[Machine] | None = None) -> dict[str, Any]:
        options: dict[str, Any] = {"num_cpus": asked.cpus, "num_gpus": asked.gpus}
        if asked.memory:
            options["memory"] = asked.memory
        if asked.custom:
            options["resources"] = dict(asked.custom)
        if asked.labels:
            options["label_selector"] = label_selector(asked.labels, known or [])
        return options

    def can_scale_up(self, asked: Resources) -> bool:
        return False

    def infeasible(self, wishes: Iterable[Resources]) -> list[Resources]:
        return []


@contextmanager
def local_ray(cpus: int = 2, gpus: int = 0, environ: Mapping[str, str] | None = None) -> Iterator[LocalRay]:
    """A Ray on this machine alone, whose steps see `environ`."""
    import pytest

    place = tempfile.mkdtemp(prefix="gr", dir="/tmp")
    repository = str(Path(__file__).resolve().parents[3])
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "PYTHONPATH": repository}
    settings["RAY_AUTH_TOKEN"] = _TOKEN
    import ray

    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**settings, **(environ or {})}.items():
                patch.setenv(name, value)
            terminated = signal.getsignal(signal.SIGTERM)
            ray.init(
                address="local",
                num_cpus=cpus,
                num_gpus=gpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="error",
                object_store_memory=200 * 2**20,
                _temp_dir=place,
            )
        signal.signal(signal.SIGTERM, terminated)
        yield LocalRay()
    finally:
        ray.shutdown()
        shutil.rmtree(place, ignore_errors=True)


class RayBench(ExecutionBench):
    """A ExecutionBench whose executors are of Ray."""

    def __init__(self, root: Path, cluster: LocalRay) -> None:
        super().__init__(root)
        self.cluster = cluster
        self.worker = str(root / "worker")
        self.sandboxes = self.worker + "/live"
        self.environments = Environments(MemoryFacts(), str(root / "cache"), dict(os.environ))

    def executor(self, slots: int = 2, capacity: Resources | None = None, **more: Any) -> RayExecutor:  # type: ignore[override]
        own = DriverServices(self.services(), self.services)
        place = FolderSpec(self.worker)
        executor = RayExecutor(self.cluster, own, f"r{os.getpid()}{len(self.executors)}", place, **more)
        self.executors.append(executor)  # type: ignore[arg-type]
        return executor

    def task(self, *argv: str, **more: Any) -> Task:
        """A Task whose environment is that of this machine, as workers take it."""
        environment = more.get("environment") or self.environment(more.get("shell") or argv[0])
        task = super().task(*argv, **{**more, "environment": environment})
        return task._replace(action=task.action._replace(environment=environment.digest))

    def environment(self, program: str) -> Environment:
        try:
            return self.environments.identify(ON_HOST, (program,))
        except InputError:
            return self.environments.identify(ON_HOST, ())

    def left(self) -> list[str]:
        """Sandboxes that are still there."""
        live = self.sandboxes
        return [name for name in os.listdir(live) if not name.endswith(".log")] if os.path.isdir(live) else []

    def stores(self) -> list[LocalStore]:
        return [self.store, LocalStore(self.worker)]

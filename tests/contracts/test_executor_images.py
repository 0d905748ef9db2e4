"""What every Executor promises of steps in container images: fetched and unpacked once, where the step runs, and said while it lasts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitml.cluster.driver.executor import RayExecutor
from gitml.cluster.driver.session import DriverServices
from gitml.cluster.worker.folder import FolderSpec
from gitml.core.config.remotes import RemoteSpec, StoredObject, encode_image_entry
from gitml.core.kinds.environment_kinds import IMAGE
from gitml.core.model.digest import Digest, hex_of
from gitml.core.model.environment import Environment, EnvironmentSource, EnvironmentSpec
from gitml.core.model.protocols import TaskFinished, TaskPrepares
from tests.kit.cluster.local_ray import LocalRay, RayBench, local_ray
from tests.kit.execution import ExecutionBench, until_finished, until_true
from tests.kit.servers.image_registry import BuiltImage, Entry, Registry, busybox, image, needs_images, registry


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    needs_images()
    with registry(tmp_path_factory.mktemp("user") / "home") as one:
        yield one


@pytest.fixture(scope="module")
def cluster(served: Registry) -> Iterator[LocalRay]:
    home = served.environ()["HOME"]
    with local_ray(environ={"HOME": home, "XDG_CACHE_HOME": f"{home}/.cache"}) as cluster:
        yield cluster


@pytest.fixture(scope="module", params=["local", pytest.param("ray", marks=[pytest.mark.slow, pytest.mark.cluster])])
def kind(request: pytest.FixtureRequest) -> str:
    """Of the module's scope, so that nothing is forked once Ray has its threads in this process."""
    return str(request.param)


@pytest.fixture
def bench(kind: str, request: pytest.FixtureRequest, tmp_path: Path, served: Registry) -> Iterator[ExecutionBench]:
    made = (
        ExecutionBench(tmp_path, served.environ())
        if kind == "local"
        else RayBench(tmp_path, request.getfixturevalue("cluster"))
    )
    made.machine.update(served.environ())
    yield made
    made.close()
    until_true("sandboxes are removed", lambda: made.left() == [])


def built(text: str) -> BuiltImage:
    return image([[*busybox(), Entry("etc/release", text.encode())]], ["PATH=/bin"])


def in_image(bench: ExecutionBench, name: str) -> Environment:
    source = EnvironmentSource(EnvironmentSpec(IMAGE, name))
    return bench.services().environments.identify(source)


def perform(bench: ExecutionBench, executor: Any, environment: Environment) -> tuple[TaskFinished, list[str]]:
    task = bench.task("cat", "/etc/release", environment=environment)
    executor.submit(task)
    events = until_finished(executor, task.attempt)
    finished = events[-1]
    assert isinstance(finished, TaskFinished)
    return finished, [event.what for event in events if isinstance(event, TaskPrepares)]


def test_an_image_is_fetched_where_the_step_runs_and_once(bench: ExecutionBench, kind: str, served: Registry) -> None:
    environment = in_image(bench, served.push(built(f"{kind} one\n")))
    executor = bench.executor()
    said = []
    for _ in range(2):
        finished, words = perform(bench, executor, environment)
        assert finished.outcome == "done", finished
        assert bench.log(finished) == f"{kind} one\n".encode()
        said.append(words)
        served.requests.clear()
    assert any("unpacking image" in words for words in said[0]), said
    assert said[1] == []
    assert served.requests == []


def test_an_image_that_is_gone_is_said_with_the_reason(bench: ExecutionBench, kind: str, served: Registry) -> None:
    lost = built(f"{kind} lost\n")
    environment = in_image(bench, served.push(lost))
    for digest in lost.blobs:
        served.blobs.pop(digest, None)
    finished, _ = perform(bench, bench.executor(), environment)
    assert (finished.outcome, finished.unprepared) == ("failed", True), finished
    assert "is gone" in (finished.error or "") or "can't be fetched" in (finished.error or "")


@pytest.mark.slow
@pytest.mark.cluster
def test_a_machine_of_a_cluster_gets_it_from_a_store_that_has_it(
    cluster: LocalRay, tmp_path: Path, served: Registry
) -> None:
    """As where no registry can be reached: the order names the store, and the machine asks it for the digest."""
    wanted = built("from the store\n")
    store = tmp_path / "store"
    for digest, content in wanted.blobs.items():
        name = hex_of(Digest(digest))
        path = store / "objects" / name[:2] / name[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    parts = [StoredObject(Digest(digest), len(wanted.blobs[digest])) for digest in [wanted.digest, *wanted.blobs]]
    name = hex_of(Digest(wanted.digest))
    (store / "trees" / name[:2]).mkdir(parents=True)
    (store / "trees" / name[:2] / name[2:]).write_bytes(
        encode_image_entry(Digest(wanted.digest), tuple(dict.fromkeys(parts)))
    )
    bench = RayBench(tmp_path, cluster)
    bench.machine.update(served.environ())
    environment = in_image(bench, served.push(wanted))  # the driver knows what it is
    for digest in wanted.blobs:
        served.blobs.pop(digest, None)
    shutil.rmtree(Path(served.environ()["HOME"], ".cache/gitml/images"), ignore_errors=True)
    own = DriverServices(bench.services(), bench.services, (), (RemoteSpec("shared", f"file://{store}"),))
    executor = RayExecutor(cluster, own, f"s{os.getpid()}", FolderSpec(bench.worker))
    try:
        finished, _ = perform(bench, executor, environment)
    finally:
        executor.close()
    assert finished.outcome == "done", finished
    assert bench.log(finished) == b"from the store\n"

"""What every Executor promises of environments that are built: once, where the step runs, and said while it lasts."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from gitml.core.kinds.environment_kinds import PYLOCK
from gitml.core.model.environment import Environment, EnvironmentSource, EnvironmentSpec
from gitml.core.model.protocols import TaskFinished, TaskPrepares
from tests.kit.cluster.local_ray import LocalRay, RayBench, local_ray
from tests.kit.execution import ExecutionBench, until_finished, until_true
from tests.kit.servers.package_index import wheel


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The variables by which uv finds the wheel of ``leaf`` and asks no index."""
    folder = tmp_path_factory.mktemp("packages")
    wheel(folder / "wheels", "leaf", "1.0")
    path = f"{os.path.dirname(sys.executable)}:/usr/bin:/bin"
    return {
        "UV_OFFLINE": "1",
        "UV_FIND_LINKS": str(folder / "wheels"),
        "UV_CACHE_DIR": str(folder / "uv"),
        "PATH": path,
    }


@pytest.fixture(scope="module")
def cluster(offline: Mapping[str, str]) -> Iterator[LocalRay]:
    with local_ray(environ=offline) as cluster:
        yield cluster


@pytest.fixture(scope="module", params=["local", pytest.param("ray", marks=[pytest.mark.slow, pytest.mark.cluster])])
def kind(request: pytest.FixtureRequest) -> str:
    """Of the module's scope, so that nothing is forked once Ray has its threads in this process."""
    return str(request.param)


@pytest.fixture
def bench(
    kind: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    offline: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[ExecutionBench]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    made = (
        ExecutionBench(tmp_path, offline) if kind == "local" else RayBench(tmp_path, request.getfixturevalue("cluster"))
    )
    yield made
    made.close()
    until_true("sandboxes are removed", lambda: made.left() == [])


def locked(bench: ExecutionBench, offline: Mapping[str, str], digest: str = "") -> Environment:
    """An environment with ``leaf``, or with one of its name and another `digest`."""
    file = Path(offline["UV_FIND_LINKS"], "leaf-1.0-py3-none-any.whl")
    digest = digest or hashlib.sha256(file.read_bytes()).hexdigest()
    text = 'lock-version = "1.0"\ncreated-by = "t"\n[[packages]]\nname = "leaf"\nversion = "1.0"\n'
    text += (
        f'wheels = [{{name = "{file.name}", url = "https://e.com/{file.name}", hashes = {{sha256 = "{digest}"}}}}]\n'
    )
    source = EnvironmentSource(EnvironmentSpec(PYLOCK, "pylock.toml"), (("pylock.toml", text.encode()),))
    return bench.services().environments.identify(source)


def test_an_environment_is_built_where_the_step_runs_and_once(
    bench: ExecutionBench, offline: Mapping[str, str]
) -> None:
    environment = locked(bench, offline)
    executor = bench.executor()
    said = []
    for _ in range(2):
        task = bench.task("python", "-c", "import leaf; print(leaf.VERSION)", environment=environment)
        executor.submit(task)
        events = until_finished(executor, task.attempt)
        finished = events[-1]
        assert isinstance(finished, TaskFinished)
        assert finished.outcome == "done", finished
        assert bench.log(finished) == b"1.0\n"
        said.append([event.what for event in events if isinstance(event, TaskPrepares)])
    assert said[0], "nothing was said while it was built"
    assert said[1] == []


def test_one_that_cannot_be_built_is_said_with_the_reason(bench: ExecutionBench, offline: Mapping[str, str]) -> None:
    finished = bench.run("python", "-c", "pass", environment=locked(bench, offline, "0" * 64))
    assert (finished.outcome, finished.unprepared) == ("failed", True), finished
    assert "uv could not install the requirements" in (finished.error or "")
    assert "hash" in (finished.error or "").lower()

"""Pipelines whose environment is an image: planned, keyed by content, run, reused, and what is said where it can't be had."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitml.core.language.diagnostics import SpecError
from gitml.engine.planning.load import load
from gitml.engine.planning.planner import make_plan, policy_for
from gitml.errors import InputError
from gitml.execute.environments.images.manifests import platform_of
from tests.kit.projects.project import Project, outcomes, reasons
from tests.kit.servers.image_registry import BuiltImage, Entry, Registry, busybox, image, index, needs_images, registry

PIPELINE = """\
environment: {{image: "{}"}}
inputs: {{i: data.txt}}
steps:
  one:
    run: cp ${{{{ inputs.i }}}} ${{{{ outputs.o }}}}
    outputs: {{o: file}}
  two:
    shell: sh
    run: cat ${{{{ steps.one.outputs.o }}}} /etc/release > ${{{{ outputs.o }}}}
    outputs: {{o: file}}
"""


def release(text: str) -> BuiltImage:
    return image([[*busybox(), Entry("etc/release", text.encode())]], ["PATH=/bin"])


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Registry]:
    needs_images()
    with registry(tmp_path / "home") as one:
        yield one


def project_with(tmp_path: Path, served: Registry, name: str) -> Project:
    project = Project(tmp_path / "r", {"pipelines/p.yaml": PIPELINE.format(name), "data.txt": "data\n"})
    project.environ.update(served.environ(), PATH=os.environ["PATH"])
    return project


def test_steps_run_in_it_and_are_reused_without_a_word_to_the_registry(tmp_path: Path, served: Registry) -> None:
    project = project_with(tmp_path, served, served.push(release("1\n")))
    first = project.run()
    assert outcomes(first) == {"one": "executed", "two": "executed"}
    assert project.output(first.steps[1]) == b"data\n1\n"
    served.requests.clear()
    assert outcomes(project.run()) == {"one": "reused", "two": "reused"}
    assert outcomes(project.run(reuse=False)) == {"one": "executed", "two": "executed"}
    assert served.requests == []


def test_the_key_has_the_platforms_manifest_and_neither_name_nor_index_nor_host(
    tmp_path: Path, served: Registry
) -> None:
    built, other = release("1\n"), release("another platform's\n")
    architecture, variant = platform_of()
    both = index({("linux", "s390x", ""): other, ("linux", architecture, variant): built})
    project = project_with(tmp_path, served, served.push(built, "1"))
    first = project.run()
    served.push(both)
    for name in (f"{served.host}/team/tiny:1@{built.digest}", f"{served.host}/another@{both.digest}"):
        project.repo.commit("named otherwise", {"pipelines/p.yaml": PIPELINE.format(name)})
        again = project.run()
        assert outcomes(again) == {"one": "reused", "two": "reused"}
        assert [step.key for step in again.steps] == [step.key for step in first.steps]


def test_another_image_is_another_key_and_is_named_as_the_reason(tmp_path: Path, served: Registry) -> None:
    project = project_with(tmp_path, served, served.push(release("1\n")))
    project.run()
    project.repo.commit("newer", {"pipelines/p.yaml": PIPELINE.format(served.push(release("2\n")))})
    second = project.run()
    assert project.output(second.steps[1]) == b"data\n2\n"
    assert reasons(second)["one"].startswith("environment image: ")


def test_a_plan_asks_no_registry_and_says_what_is_not_known(tmp_path: Path, served: Registry) -> None:
    project = project_with(tmp_path, served, served.push(release("1\n")))
    with project.workspace() as ws:
        ws.consent.offline = True
        loaded = load(ws, None, None)
        plan = make_plan(ws, loaded, (), policy_for(loaded, (), force=False, reuse=True))
    assert served.requests == []
    assert "is not known here" in plan.decisions["one"].reason


def test_a_tag_alone_is_refused_with_the_way_out(tmp_path: Path, served: Registry) -> None:
    project = project_with(tmp_path, served, f"{served.host}/team/tiny:1")
    with pytest.raises(InputError, match="has a tag only") as refused:
        project.run()
    assert "@sha256:" in (refused.value.hint or "")
    assert served.requests == []


@pytest.mark.parametrize("name", ["Upper/x@sha256:" + "0" * 64, "x@sha256:1", "a b", "user:pass@host/x"])
def test_a_name_that_is_none_is_a_mistake_where_it_is_written(tmp_path: Path, name: str) -> None:
    project = Project(tmp_path / "r", {"pipelines/p.yaml": PIPELINE.format(name), "data.txt": ""})
    with pytest.raises(SpecError, match="image"):
        project.plan()


def test_an_image_that_is_gone_blocks_the_steps_that_need_it(tmp_path: Path, served: Registry) -> None:
    project = project_with(tmp_path, served, f"{served.host}/team/tiny@{release('never pushed').digest}")
    with pytest.raises(InputError, match=r"step 'one' can't run: image .* is gone: .*manifest unknown"):
        project.run()


def test_a_program_that_the_image_lacks_is_missed_before_a_step_runs_once_the_image_is_here(
    tmp_path: Path, served: Registry
) -> None:
    name = served.push(release("1\n"))
    project = project_with(tmp_path, served, name)
    project.run()
    text = f'environment: {{image: "{name}"}}\nsteps:\n  a: {{run: git --version}}\n  b: {{run: /usr/bin/git x}}\n'
    project.repo.commit("git", {"pipelines/p.yaml": text})
    decisions = project.plan().decisions
    assert decisions["a"].reason == "command not found: git"
    assert decisions["b"].reason == "command not found: /usr/bin/git"


def test_credentials_are_in_no_record_and_no_key(tmp_path: Path, served: Registry) -> None:
    served.password = "YW5uOmh1bnRlcjJodW50ZXIy"
    auth = tmp_path / "home/.docker/config.json"
    auth.parent.mkdir()
    auth.write_text(json.dumps({"auths": {served.host: {"auth": served.password}}}))
    project = project_with(tmp_path, served, served.push(release("1\n")))
    assert outcomes(project.run()) == {"one": "executed", "two": "executed"}
    objects = project.repo.git("cat-file", "--batch-all-objects", "--batch", "--unordered")
    assert served.password not in objects
    assert "hunter2" not in objects


def test_a_run_from_cache_loads_nothing_that_fetches_or_unpacks(tmp_path: Path, served: Registry) -> None:
    project = project_with(tmp_path, served, served.push(release("1\n")))
    command = [sys.executable, "-X", "importtime", "-m", "gitml", "run"]

    def run() -> str:
        done = subprocess.run(
            command,
            cwd=project.repo.path,
            env={**project.environ, "PYTHONPATH": ":".join([os.getcwd(), *sys.path])},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stderr

    run()
    loaded = {line.rpartition("|")[2].strip() for line in run().splitlines() if line.startswith("import time:")}
    heavy = {"tarfile", "gzip", "ctypes", "gitml.execute.environments.images.image_store"}
    assert loaded & (heavy | {"gitml.execute.environments.images.extraction"}) == set()

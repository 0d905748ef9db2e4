"""Pipelines whose environment is an image: planned, keyed by content, run, reused, and what is said where it can't be had."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitml.analysis.lock import resolve_lock, write_lock
from gitml.analysis.reproduce import reproduce
from gitml.core.kinds.image_pins import image_pins
from gitml.core.language.diagnostics import SpecError
from gitml.core.model.stop_signal import StopSignal
from gitml.engine.planning.load import load
from gitml.engine.planning.planner import make_plan, policy_for
from gitml.errors import InputError
from gitml.execute.environments.images.manifests import platform_of
from gitml.execute.environments.locks.image_venvs import elf_interpreter
from tests.kit.programs import program
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


def lock(project: Project, *, upgrade: bool = False) -> tuple[str, ...]:
    """What `gitml lock` changes; the lock is committed."""
    with project.workspace() as ws:
        found = resolve_lock(ws, None if upgrade else ())
        with open(write_lock(ws, found.entries, found.images)) as file:
            project.repo.commit("lock", {"gitml.lock": file.read()})
    return found.changes


def test_a_tag_means_what_it_was_locked_as_until_it_is_locked_again(tmp_path: Path, served: Registry) -> None:
    first, second = release("1\n"), release("2\n")
    served.push(first, "stable")
    name = f"{served.host}/team/tiny:stable"
    project = project_with(tmp_path, served, name)
    with pytest.raises(InputError, match="is not pinned") as refused:
        project.run()
    assert "gitml lock" in (refused.value.hint or "")
    assert served.requests == []
    assert lock(project) == (f"{name}: {first.digest[:19]}… is new",)
    locked = project.run()
    assert project.output(locked.steps[1]) == b"data\n1\n"
    served.push(second, "stable")
    assert lock(project) == ()
    assert project.output(project.run(reuse=False).steps[1]) == b"data\n1\n"
    assert lock(project, upgrade=True) == (f"{name}: {first.digest[:19]}… -> {second.digest[:19]}…",)
    assert project.output(project.run().steps[1]) == b"data\n2\n"


def test_a_tag_whose_locked_bytes_are_gone_is_refused_and_never_taken_as_it_is_now(
    tmp_path: Path, served: Registry
) -> None:
    served.push(release("1\n"), "stable")
    project = project_with(tmp_path, served, f"{served.host}/team/tiny:stable")
    lock(project)
    project.run()
    shutil.rmtree(tmp_path / "home/.cache/gitml/images")
    served.blobs.clear()
    served.push(release("2\n"), "stable")
    run = project.run(reuse=False)
    assert run.status == "failed"
    assert "is gone" in (run.steps[0].error or "")


def test_an_image_that_no_pipeline_uses_leaves_the_lock(tmp_path: Path, served: Registry) -> None:
    built = release("1\n")
    served.push(built, "stable")
    name = f"{served.host}/team/tiny:stable"
    project = project_with(tmp_path, served, name)
    lock(project)
    project.repo.commit("by digest", {"pipelines/p.yaml": PIPELINE.format(f"{name}@{built.digest}")})
    assert lock(project) == (f"{name}: no pipeline uses it any more",)
    with project.workspace() as ws, pytest.raises(InputError, match="no pipeline uses the module or the image"):
        resolve_lock(ws, [name])


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"[" * 9999, b'{"format": 1, "images": []}', b'{"format": 1, "images": {"x": 1}}']
)
def test_a_broken_lock_is_refused_by_name(content: bytes) -> None:
    with pytest.raises(InputError, match="not a lock file") as refused:
        image_pins(content)
    assert refused.value.where == "gitml.lock"


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


def test_reproduce_says_an_image_that_is_gone_apart_from_results_that_differ(tmp_path: Path, served: Registry) -> None:
    project = project_with(tmp_path, served, served.push(release("1\n")))
    first = project.run()
    with project.workspace() as ws:
        assert reproduce(ws, first, lambda event: None, StopSignal()).identical
    shutil.rmtree(tmp_path / "home/.cache/gitml/images")
    served.blobs.clear()
    with project.workspace() as ws:
        again = reproduce(ws, first, lambda event: None, StopSignal())
    assert "is gone" in dict(again.unmade)["one"]
    assert again.differences == ()


def test_a_python_lock_in_an_image_without_glibc_is_refused_in_one_line(tmp_path: Path, served: Registry) -> None:
    name = served.push(release("musl\n"))
    lock = 'lock-version = "1.0"\ncreated-by = "t"\npackages = []\n'
    text = PIPELINE.format(name).replace("}", ', pylock: pylock.toml, python: "3.12"}', 1)
    project = project_with(tmp_path, served, name)
    project.repo.commit("a lock", {"pipelines/p.yaml": text, "pylock.toml": lock})
    run = project.run()
    error = run.steps[0].error or ""
    assert "it needs glibc, and the image has no /lib" in error
    assert "python:3.12-slim" in error
    assert "\n" not in error


def test_the_program_that_starts_another_is_read_from_it() -> None:
    def head(path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read(65536)

    started = elf_interpreter(head(os.path.realpath(sys.executable)))
    assert os.path.exists(started)
    assert elf_interpreter(head(program("busybox"))) == ""
    for content in (
        b"",
        b"#!/bin/sh\n",
        b"\x7fELF",
        b"\x7fELF\x02\x01" + b"\xff" * 200,
        b"\x7fELF\x01\x01" + b"\0" * 200,
    ):
        assert elf_interpreter(content) == ""

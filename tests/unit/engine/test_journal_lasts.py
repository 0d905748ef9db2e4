"""The journal of a run is what is left of it after a power cut, when the index has forgotten the results of its steps."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from gitml.engine.journal.recovery import recover
from tests.kit.patience import PATIENCE
from tests.kit.projects.project import Project
from tests.kit.projects.repository import isolate
from tests.unit.engine.test_recovery import live, start

PIPELINE = """\
steps:
  one: {shell: sh, run: "echo 1 > ${{ outputs.o }}", outputs: {o: file}}
  two: {shell: sh, run: "cat ${{ steps.one.outputs.o }} > ${{ outputs.o }}; sleep 60.07", outputs: {o: file}}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    isolate(monkeypatch)
    return Project(tmp_path / "r", {"pipelines/p.yaml": PIPELINE})


@pytest.mark.parametrize("recorded", [False, True], ids=["the first run", "a later run"])
def test_a_finished_step_is_reused_though_the_index_lost_its_result(project: Project, recorded: bool) -> None:
    if recorded:
        project.run(wanted=("one",))
        project.repo.commit("other", {"pipelines/p.yaml": PIPELINE.replace("echo 1", "echo 2")})
    root = os.path.join(project.repo.path, ".git/gitml")
    saved = os.path.join(root, "saved")
    with project.workspace() as ws:
        ws.index.close()
    shutil.copy(os.path.join(root, "index.db"), saved)
    process = start(project)
    try:
        deadline = time.monotonic() + PATIENCE
        while not any('"two"' in text for text in journals(root)):
            assert time.monotonic() < deadline
    finally:
        process.kill()
        process.communicate()
    for part in ("", "-wal", "-shm"):
        if os.path.exists(os.path.join(root, f"index.db{part}")):
            os.unlink(os.path.join(root, f"index.db{part}"))
    shutil.copy(saved, os.path.join(root, "index.db"))
    with project.workspace() as ws:
        assert len(recover(ws)) == 1
    assert live(project) == []
    assert {name: decision.kind for name, decision in project.plan().decisions.items()} == {
        "one": "reuse",
        "two": "run",
    }


def journals(root: str) -> list[str]:
    found = []
    for name in os.listdir(os.path.join(root, "live")):
        path = os.path.join(root, "live", name, "events.jsonl")
        if os.path.exists(path):
            with open(path) as file:
                found.append(file.read())
    return found

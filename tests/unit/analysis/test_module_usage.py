"""Which pipelines use which modules, at a commit."""

from __future__ import annotations

from pathlib import Path

from gitml.analysis.module_usage import uses_of_modules
from gitml.modules.impact import ModuleUse
from tests.kit.projects.project import Project

WITH = """\
inputs: {t: README.md}
steps:
  c: {module: count@^1, inputs: {text: "${{ inputs.t }}"}}
  d: {module: other}
"""
LOCK = (
    '{"format": 1, "modules": {"count@^1": {"name": "count", "requirement": "^1", "version": "1.2.0",'
    f' "content": "git:{"a" * 40}", "state": "{"b" * 40}"}}}}}}'
)


def test_every_use_is_told_with_what_the_lock_pins_it_to(tmp_path: Path) -> None:
    project = Project(tmp_path / "r", {"pipelines/p.yaml": WITH, "gitml.lock": LOCK, "README.md": "x"})
    with project.workspace() as ws:
        found = uses_of_modules(ws)
    assert found.uses == (
        ModuleUse("p", "count@^1", "", "count", "^1", "1.2.0"),
        ModuleUse("p", "other", "", "other", None, None),
    )
    assert found.commit == project.repo.git("rev-parse", "HEAD")


def test_a_pipeline_that_can_not_be_read_is_named_and_the_others_are_told(tmp_path: Path) -> None:
    project = Project(tmp_path / "r", {"pipelines/bad.yaml": "steps: [", "pipelines/p.yaml": WITH, "README.md": "x"})
    with project.workspace() as ws:
        found = uses_of_modules(ws)
    assert [use.pipeline for use in found.uses] == ["p", "p"]
    assert [name for name, _ in found.unread] == ["bad"]


def test_it_is_the_commit_that_counts_not_the_work_tree(tmp_path: Path) -> None:
    project = Project(tmp_path / "r", {"README.md": "x"})
    project.repo.write({"pipelines/p.yaml": WITH})
    with project.workspace() as ws:
        assert uses_of_modules(ws).uses == ()

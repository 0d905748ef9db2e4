"""Settings of the shell that gitml is called from never reach a step unseen, and never a result."""

from __future__ import annotations

import pytest

from tests.kit.projects.project import Project
from tests.kit.projects.repository import isolate

DAY = """\
import datetime, locale, os, sys
locale.setlocale(locale.LC_ALL, "")
moment = datetime.datetime.fromtimestamp(1700000000)
open(sys.argv[1], "w").write(f"{moment:%c} {locale.getlocale()} {os.environ.get('LD_LIBRARY_PATH')}")
"""
PIPELINE = "steps:\n  day:\n    run: python3 src/day.py ${{ outputs.o }}\n    outputs: {o: file}\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    isolate(monkeypatch)
    return Project(tmp_path / "r", {"src/day.py": DAY, "pipelines/p.yaml": PIPELINE})


def test_another_zone_language_or_loader_path_neither_changes_a_result_nor_runs_a_step_again(project):
    project.environ.update(TZ="Asia/Tokyo", LANG="C", LC_TIME="en_US.UTF-8", LD_LIBRARY_PATH="/tmp")
    first = project.run()
    project.environ.update(TZ="America/Los_Angeles", LC_ALL="POSIX", LD_LIBRARY_PATH="/var/tmp")
    assert [step.outcome for step in project.run().steps] == ["reused"]
    again = project.run(reuse=False)
    assert again.steps[0].outputs == first.steps[0].outputs
    assert project.output(first.steps[0]) == b"Tue Nov 14 22:13:20 2023 ('en_US', 'UTF-8') None"


def test_a_zone_that_the_pipeline_names_is_in_effect_and_in_the_key(project):
    first = project.run()
    project.repo.write({"pipelines/p.yaml": PIPELINE + "    env: {TZ: Asia/Tokyo}\n"})
    (step,) = project.run().steps
    assert (step.outcome, step.reason) == ("executed", "env TZ added: Asia/Tokyo")
    assert step.key != first.steps[0].key
    assert step.outputs[0].digest != first.steps[0].outputs[0].digest


def test_the_packages_of_a_locked_file_are_named_although_the_run_compared_with_failed_at_once(project):
    project.environ.update(UV_OFFLINE="1", UV_NO_INDEX="1", XDG_CACHE_HOME=project.repo.file(".git/cache"))
    files = {"env.txt": "no-such-package==1.0\n", "pipelines/p.yaml": "environment: env.txt\n" + PIPELINE}
    project.repo.commit("locked", files)
    assert project.run().status == "failed"
    project.repo.write({"env.txt": "no-such-package==2.0\n"})
    assert (
        project.plan().decisions["day"].reason.startswith("package no-such-package: 1.0 -> 2.0 since it failed in run ")
    )

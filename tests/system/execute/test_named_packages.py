"""``environment: {host: [names]}`` in a pipeline: what is installed beside them re-runs nothing, and `explain` says what plain host costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gitml.analysis.explain import explain
from tests.kit.projects.project import Project, outcomes, reasons
from tests.kit.projects.repository import isolate

STEP = "run: \"python -c 'import used, sys; open(sys.argv[1], chr(119)).write(str(used.V))' ${{ outputs.o }}\"\n    outputs: {o: file}\n"
PIPELINE = "steps:\n  t:\n    environment: %s\n    " + STEP


class HostProject(Project):
    """A Project whose machine has a Python with the packages that a test installs."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path / "r", {"pipelines/p.yaml": PIPELINE % "{host: [Used]}", "pipelines/all.yaml": PIPELINE % "host"}
        )
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(path / "venv")], check=True)
        self.environ["PATH"] = f"{path}/venv/bin:{self.environ['PATH']}"
        self.site = next((path / "venv").glob("lib/python3*/site-packages"))

    def install(self, name: str, value: int, requires: str = "") -> None:
        """A package of one module with one value."""
        info = self.site / f"{name}-{value}.dist-info"
        for before in self.site.glob(f"{name}-*.dist-info/*"):
            before.unlink()
        for before in self.site.glob(f"{name}-*.dist-info"):
            before.rmdir()
        info.mkdir()
        (self.site / f"{name}.py").write_text(f"V = {value}\n")
        (info / "METADATA").write_text(
            f"Name: {name}\nVersion: {value}\n" + (f"Requires-Dist: {requires}\n" if requires else "")
        )
        (info / "RECORD").write_text(f"{name}.py,sha256={value},\n")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostProject:
    isolate(monkeypatch)
    made = HostProject(tmp_path)
    made.install("used", 1, "needed")
    made.install("needed", 1)
    return made


def test_what_is_installed_beside_them_re_runs_nothing(project: HostProject) -> None:
    assert outcomes(project.run("p")) == {"t": "executed"}
    project.install("beside", 1)
    assert outcomes(project.run("p")) == {"t": "reused"}
    project.install("needed", 2)
    assert reasons(project.run("p")) == {"t": "package needed: 1 -> 2"}
    (project.site / "used-1.dist-info/RECORD").write_text("used.py,sha256=other,\n")
    assert reasons(project.run("p")) == {"t": "package used 1: other files under the same name and version"}


def test_one_that_is_not_installed_blocks_with_its_name(project: HostProject) -> None:
    project.repo.write({"pipelines/p.yaml": PIPELINE % "{host: [used, torch]}"})
    decision = project.plan("p").decisions["t"]
    assert decision.kind == "blocked"
    assert decision.reason.startswith("environment host names torch, which is not installed for CPython")
    assert decision.hint == "install it, or leave it out of host: […]"


def test_explain_says_what_plain_host_costs_where_a_package_is_the_reason(project: HostProject) -> None:
    project.run("all")
    project.run("p")
    with project.workspace() as ws:
        assert explain(ws, "t", "all")[0].remark is None
    project.install("beside", 1)
    with project.workspace() as ws:
        (found,) = explain(ws, "t", "all")
        assert str(found.changes[0]) == "package beside added: 1"
        assert found.remark is not None
        assert found.remark.startswith("environment host: 3 distributions count")
        assert explain(ws, "t", "p")[0].remark is None


def test_another_python_that_the_step_starts_may_be_the_one_that_has_them(project: HostProject, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "other")], check=True)
    project.environ["PATH"] = f"{tmp_path}/other/bin:/usr/bin:/bin"
    text = (PIPELINE % "{host: [used]}").replace("python -c", f"{tmp_path}/venv/bin/python -c")
    project.repo.write({"pipelines/p.yaml": text})
    assert project.output(project.run("p").steps[0]) == b"1"
    project.install("beside", 1)
    assert outcomes(project.run("p")) == {"t": "reused"}

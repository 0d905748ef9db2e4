"""examples/biopsies: a project that knows nothing of gitml runs as it is, and its README shows what happens."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.docs.test_readme import commands_in, differs, environment, run_in_one_shell
from tests.system.engine.test_example_digits import BIOPSIES, Project, executed, step_of

STEPS = ["prepare", "train[logistic]", "train[knn]", "train[forest]", "evaluate", "report"]
README = (BIOPSIES / "README.md").read_text()

pytestmark = pytest.mark.xdist_group("digits")  # which uses the same environment


@pytest.fixture(scope="module")
def biopsies(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, Any]]:
    """The example in a repository of its own, and its first run."""
    project = Project(BIOPSIES, tmp_path_factory.mktemp("examples") / "biopsies")
    return project, project.run()


def steady(text: str) -> str:
    """Without ids, times, sizes and what is behind the point of numbers, which another processor may compute otherwise."""
    text = re.sub(r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,16}\b", "ID", text)
    return re.sub(r"\b\d+(\.\d+)?(s| B| KiB)\b", "SIZE", re.sub(r"\.\d+", "", text))


def test_no_program_of_the_project_knows_of_gitml() -> None:
    for path in BIOPSIES.rglob("*"):
        if path.suffix in (".py", ".ipynb", ".toml") or path.name == "params.yaml":
            assert "gitml" not in path.read_text().lower(), path


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_readme_shows_what_happens(biopsies: tuple[Project, dict[str, Any]], tmp_path: Path) -> None:
    project, first = biopsies
    assert executed(first) == STEPS
    assert step_of(first, "evaluate")["metrics"]["logistic.auc"] > 0.95
    assert "train.knn.neighbors" in first["params"]

    commands = list(commands_in(README))
    start = next(number for number, command in enumerate(commands) if command.text == "gitml run") + 1
    env = {**project.env(), "PATH": environment(tmp_path)["PATH"], "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    answers = run_in_one_shell(commands[start:], project.folder, env)
    assert len(answers) == len(commands) - start
    for command, (code, output) in zip(commands[start:], answers, strict=True):
        assert code == 0, f"{command.text}\n{output}"
        missing = differs(tuple(steady(line) for line in command.shown), steady(output))
        assert missing is None, f"{command.text}: {missing}\n{output}"

    page = json.loads((project.folder / "reports/report.ipynb").read_text())
    assert any("image/png" in output.get("data", {}) for cell in page["cells"] for output in cell.get("outputs", ()))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "runs", "absent"),
    [
        ("train.logistic.c=2", ["train[logistic]"], []),
        ("data.test_share=0.4", ["prepare"], []),
        ("models=[knn, logistic]", ["evaluate"], ["train[forest]"]),
    ],
)
def test_a_key_concerns_what_uses_it(
    biopsies: tuple[Project, dict[str, Any]], given: str, runs: list[str], absent: list[str]
) -> None:
    steps = json.loads(biopsies[0].gitml("plan", "--json", "-S", given))["steps"]
    assert [step["name"] for step in steps if step["decision"] == "run"] == runs
    assert set(STEPS) - {step["name"] for step in steps} == set(absent)


@pytest.mark.campaign
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_programs_run_alone(biopsies: tuple[Project, dict[str, Any]], tmp_path: Path) -> None:
    project, first = biopsies
    python = project.gitml("shell", "prepare", "--", "sh", "-c", "command -v python").strip()
    alone = Project(BIOPSIES, tmp_path / "alone")
    alone.do(python, "src/prepare.py")
    alone.do(python, "src/train.py", "logistic")
    made = {"prepare": {"train": "data/prepared/train.csv", "test": "data/prepared/test.csv"}}
    made["train[logistic]"] = {"scores": "models/logistic.json"}
    for step, outputs in made.items():
        for port, path in outputs.items():
            digest = hashlib.sha256((alone.folder / path).read_bytes()).hexdigest()
            assert step_of(first, step)["outputs"][port]["digest"] == f"sha256:{digest}", path
    assert "best is logistic" in alone.do("env", "PYTHONPATH=src", python, "-m", "biopsies.evaluate")


@pytest.mark.campaign
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_notebook_runs_alone_and_the_project_comes_out_the_same(
    biopsies: tuple[Project, dict[str, Any]], tmp_path: Path
) -> None:
    project, first = biopsies
    project.gitml("reproduce", first["run"])
    python = project.gitml("shell", "report", "--", "sh", "-c", "command -v python").strip()
    project.gitml("checkout", f"{first['run']}:evaluate", str(tmp_path / "made"))
    alone = Project(BIOPSIES, tmp_path / "alone")
    (curve,) = (tmp_path / "made").rglob("roc.csv")
    shutil.copytree(curve.parent, alone.folder / "eval")
    alone.do(python, "-m", "jupyter_core", "execute", "notebooks/report.ipynb")

    trimmed = project.run("-S", "data.outliers=5")
    assert "left_out" in step_of(trimmed, "prepare")["outputs"]
    project.gitml("checkout", f"{trimmed['run']}:report.page", str(tmp_path / "page.ipynb"))
    assert "lumps are far from all others" in json.dumps(
        [cell.get("outputs") for cell in json.loads((tmp_path / "page.ipynb").read_text())["cells"]]
    )

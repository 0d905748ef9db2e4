"""examples/digits and the demo's project: sound as they stand, and, with the command line, run from end to end."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gitml.core.config.parse import parse_config
from gitml.core.language.expand import build_graph
from gitml.core.language.params import bind_params
from gitml.core.language.parse import parse_pipeline

ROOT = Path(__file__).parents[3]
DIGITS = ROOT / "examples" / "digits"
BIOPSIES = ROOT / "examples" / "biopsies"
LOCK = "env/requirements.txt"
DEMO = ROOT / "gitml" / "demo_project"
CACHE = Path(sys.prefix) / "cache"  # of built environments, kept for the next time as a user's is
TRAINED = ["train[logistic]", "train[knn]", "train[svm]", "train[forest]"]
STEPS = ["prepare", *TRAINED, "evaluate", "choose", "report"]


class Project:
    """A copy of a project's folder as a repository of its own."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(source, folder)
        self.git("init", "-q")
        self.commit("The project")

    def env(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "GITML_"))},
            "PYTHONPATH": str(ROOT),
            "XDG_CACHE_HOME": str(CACHE),
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_SYSTEM": "/dev/null",
            "GIT_AUTHOR_NAME": "Ada",
            "GIT_AUTHOR_EMAIL": "ada@example.org",
            "GIT_COMMITTER_NAME": "Ada",
            "GIT_COMMITTER_EMAIL": "ada@example.org",
        }

    def git(self, *args: str) -> str:
        return self.do("git", *args)

    def commit(self, message: str) -> None:
        self.git("add", ".")
        self.git("commit", "-qm", message)

    def gitml(self, *args: str) -> str:
        return self.do(sys.executable, "-m", "gitml", *args)

    def run(self, *args: str) -> dict[str, Any]:
        return dict(json.loads(self.gitml("run", "--json", *args)))

    def do(self, *args: str) -> str:
        done = subprocess.run(
            args, cwd=self.folder, env=self.env(), capture_output=True, text=True, timeout=170, check=False
        )
        assert done.returncode == 0, f"{' '.join(args)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def executed(run: dict[str, Any]) -> list[str]:
    """The steps that were performed; every other must have been reused."""
    assert run["status"] == "succeeded"
    assert {step["outcome"] for step in run["steps"]} <= {"executed", "reused"}
    return [step["name"] for step in run["steps"] if step["outcome"] == "executed"]


def step_of(run: dict[str, Any], name: str) -> dict[str, Any]:
    """One step of a run."""
    return next(step for step in run["steps"] if step["name"] == name)


def replace(file: Path, old: str, new: str) -> None:
    """Changes a text that must be there."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("project", "pipeline", "steps"),
    [
        (DIGITS, "digits", STEPS),
        (
            DEMO,
            "wine",
            ["prepare", "train[centroid]", "train[nearest]", "train[bayes]", "evaluate", "choose", "report"],
        ),
    ],
    ids=["digits", "demo"],
)
def test_the_projects_that_come_with_gitml_have_no_mistakes(project: Path, pipeline: str, steps: list[str]) -> None:
    path = f"pipelines/{pipeline}.yaml"
    parsed = parse_pipeline((project / path).read_bytes(), path)
    graph = build_graph(parsed, bind_params(parsed.params, []))
    assert list(graph.steps) == steps
    config = project / "gitml.yaml"
    assert not config.exists() or parse_config(config.read_bytes()).pipeline == pipeline


def packages_of(example: Path) -> dict[str, str]:
    """What the lock of an example says of each package: version, marker and hashes."""
    blocks = re.split(r"\n(?=[a-z])", (example / LOCK).read_text().rstrip())[1:]
    packages = {block.partition("==")[0]: block for block in blocks}
    assert len(packages) == len(blocks)
    return packages


@pytest.mark.parametrize("example", [DIGITS, BIOPSIES], ids=["digits", "biopsies"])
def test_the_environments_are_locked_and_name_no_registry(example: Path) -> None:
    packages = packages_of(example)
    assert {"numpy", "scikit-learn", "matplotlib", "joblib"} <= set(packages)
    for name, block in packages.items():
        assert re.match(rf"{name}==\d\S*( ; [^\n]+)? \\\n    --hash=sha256:", block), block.splitlines()[0]
    text = (example / LOCK).read_text()
    assert "http" not in text
    assert "index" not in text


def test_the_lock_of_one_example_holds_all_packages_of_the_other() -> None:
    assert packages_of(DIGITS).items() <= packages_of(BIOPSIES).items()


def test_the_demo_needs_nothing_but_python() -> None:
    own = {path.stem for path in (DEMO / "src").glob("*.py")}
    for path in (DEMO / "src").glob("*.py"):
        found = re.findall(r"^(?:from|import) ([a-z_]+)", path.read_text(), re.MULTILINE)
        assert set(found) <= own | sys.stdlib_module_names, path.name


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, Any]]:
    """The example in a repository of its own, and its first run.

    Its lock is the one of examples/biopsies, which holds the same packages and those of notebooks: both use one environment.
    """
    project = Project(DIGITS, tmp_path_factory.mktemp("examples") / "digits")
    shutil.copyfile(BIOPSIES / LOCK, project.folder / LOCK)
    project.commit("Add the packages of notebooks")
    return project, project.run()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("digits")
def test_the_digits_are_learnt_once_and_only_what_changes_runs_again(
    digits: tuple[Project, dict[str, Any]], tmp_path: Path
) -> None:
    project, first = digits
    assert executed(first) == STEPS
    assert step_of(first, "evaluate")["metrics"]["svm.accuracy"] > 0.95
    assert step_of(first, "choose")["metrics"]["test_accuracy"] > 0.95
    assert executed(project.run()) == []

    replace(project.folder / "src" / "prepare.py", "import argparse", "# a remark\nimport argparse")
    project.commit("Add a remark")
    assert executed(project.run()) == ["prepare"]

    wider = project.run("-S", "gamma=0.5")
    ran = executed(wider)
    assert [name for name in ran if name.startswith("train")] == TRAINED
    assert "prepare" not in ran
    assert {
        name: step_of(first, name)["outputs"]["model"]["digest"] != step_of(wider, name)["outputs"]["model"]["digest"]
        for name in TRAINED
    } == {name: name == "train[svm]" for name in TRAINED}
    assert executed(project.run("--at", "HEAD~1")) == []

    project.gitml("checkout", f"{first['run']}:report", str(tmp_path / "out"))
    pages = list((tmp_path / "out").rglob("report.html"))
    assert len(pages) == 1
    assert pages[0].read_text().count("data:image/png;base64,") == 3


@pytest.mark.campaign
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("digits")
def test_the_digits_come_out_the_same_byte_for_byte(digits: tuple[Project, dict[str, Any]]) -> None:
    project, first = digits
    project.gitml("reproduce", first["run"])


@pytest.mark.slow
def test_the_demo_project_shows_what_it_says(tmp_path: Path) -> None:
    project = Project(DEMO, tmp_path / "wine")
    first = project.run()
    assert len(executed(first)) == 7
    assert executed(project.run()) == []
    assert executed(project.run("-S", "y=alcohol")) == ["report"]

    unscaled = project.run("-S", "scale=none")
    nearest = "nearest.accuracy"
    assert step_of(unscaled, "evaluate")["metrics"][nearest] < step_of(first, "evaluate")["metrics"][nearest] - 0.2

    replace(project.folder / "src" / "prepare.py", "import argparse", "# a remark\nimport argparse")
    assert executed(project.run()) == ["prepare"]

    replace(project.folder / "src" / "nearest.py", "NEIGHBOURS = 5", "NEIGHBOURS = 9")
    better = project.run()
    assert executed(better) == ["train[nearest]", "evaluate", "choose", "report"]
    assert step_of(better, "evaluate")["metrics"][nearest] > step_of(first, "evaluate")["metrics"][nearest]

"""A project that is installed editable: its code comes from the commit that is run, never from the work tree unseen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gitml import __version__
from gitml.cluster.environment_probe import describe
from gitml.cluster.worker.folder import FolderSpec
from gitml.core.config.project import RayTarget
from gitml.core.model.environment import encode_description
from gitml.core.records.record import Run
from gitml.engine.execution.ray_kind import place_of
from tests.kit.execution import ON_HOST
from tests.kit.projects.project import Project, reasons
from tests.kit.projects.repository import isolate

PIPELINE = "steps:\n  t:\n    run: {run}\n    outputs: {{m: metrics}}\n"
SCRIPT = "import json, sys\nfrom model.constants import K\njson.dump({'k': K}, open(sys.argv[1], 'w'))\n"
FILES = {
    "src/t.py": SCRIPT,
    "lib/model/__init__.py": "",
    "lib/model/constants.py": "K = 2\n",
    "lib/model/cli.py": SCRIPT + "def main(): pass\n",
    "lib/model/unused.py": "U = 1\n",
    "pipelines/p.yaml": PIPELINE.format(run="python src/t.py ${{ outputs.m }}"),
    ".gitignore": ".venv/\nvendor/\n",
}


class Machine(Project):
    """A Project with a virtual environment that is first on PATH."""

    def __init__(self, path: Path, venv: Path) -> None:
        super().__init__(path, FILES)
        self.venv = venv
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
        self.site = next(venv.glob("lib/python3*/site-packages"))
        self.environ["PATH"] = f"{venv}/bin:{self.environ['PATH']}"
        self.lib = os.path.join(self.repo.path, "lib")

    def describe(self, folder: str, **record: str) -> None:
        """The dist-info that `pip install -e folder` leaves, with the files in `record`."""
        info = self.site / "project-0.1.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: project\nVersion: 0.1\n")
        (info / "entry_points.txt").write_text("[console_scripts]\nmodel-tool = model.cli:main\n")
        (info / "direct_url.json").write_text(json.dumps({"url": f"file://{folder}", "dir_info": {"editable": True}}))
        names = [*record, *(f"project-0.1.dist-info/{name}" for name in os.listdir(info))]
        for name, content in record.items():
            (self.site / name).write_text(content)
        (info / "RECORD").write_text("".join(f"{name},,\n" for name in sorted(names)))

    def use(self, command: str) -> None:
        """The step's command from now on."""
        self.repo.commit("command", {"pipelines/p.yaml": PIPELINE.format(run=command)})


def by_path(machine: Machine) -> None:
    machine.describe(machine.repo.path, **{"__editable__.project-0.1.pth": machine.lib + "\n"})


def by_finder(machine: Machine) -> None:
    editable_wheel = pytest.importorskip("setuptools.command.editable_wheel")
    name = "__editable___project_0_1_finder"
    template = editable_wheel._finder_template(name, {"model": f"{machine.lib}/model"}, {})
    pth = f"import {name}; {name}.install()"
    machine.describe(machine.repo.path, **{"__editable__.project-0.1.pth": pth, f"{name}.py": template})


def by_egg_link(machine: Machine) -> None:
    (machine.site / "project.egg-link").write_text(f"{machine.lib}\n../")
    (machine.site / "easy-install.pth").write_text(f"{machine.lib}\n")


def by_link(machine: Machine) -> None:
    machine.describe(machine.repo.path)
    (machine.site / "model").symlink_to(f"{machine.lib}/model")


WAYS: dict[str, Callable[[Machine], None]] = {
    "a path": by_path, "a finder": by_finder, "an egg-link": by_egg_link, "a link": by_link
}  # fmt: skip


@pytest.fixture
def machine(tmp_path, monkeypatch):
    isolate(monkeypatch)
    return Machine(tmp_path / "r", tmp_path / "venv")


def k(run: Run) -> object:
    assert run.status == "succeeded", [step.error for step in run.steps]
    return run.steps[0].metrics["k"]


@pytest.mark.parametrize("way", WAYS)
def test_each_commit_runs_its_own_code_however_the_project_is_installed(machine, way):
    WAYS[way](machine)
    machine.repo.commit("K is 3", {"lib/model/constants.py": "K = 3\n"})
    assert k(machine.run()) == 3
    assert k(machine.run(rev="HEAD~1")) == 2
    machine.repo.write({"lib/model/constants.py": "K = 4\n", "lib/model/unused.py": "U = 2\n"})
    changed = machine.run()
    assert (k(changed), reasons(changed)) == (4, {"t": "code lib/model/constants.py changed"})
    machine.repo.write({"lib/model/unused.py": "U = 3\n"})
    assert machine.run().steps[0].outcome == "reused"


@pytest.mark.parametrize("way", WAYS)
def test_a_module_that_the_commit_lacks_is_not_taken_from_the_work_tree(machine, way):
    WAYS[way](machine)
    machine.repo.git("rm", "-rq", "--cached", "lib")
    machine.repo.git("commit", "-qm", "no library")
    run = machine.run(rev="HEAD")
    assert run.status == "failed"
    assert "No module named 'model'" in run.steps[0].error


@pytest.mark.parametrize(
    "command",
    [
        "python -m model.cli ${{ outputs.m }}",
        "model-tool ${{ outputs.m }}",
        "python -c 'import sys, json; from model.constants import K; json.dump(dict(k=K), open(sys.argv[1], \"w\"))'"
        " ${{ outputs.m }}",
    ],
)
def test_modules_commands_and_inline_programs_are_the_commits_too(machine, command):
    by_path(machine)
    tool = machine.venv / "bin/model-tool"
    tool.write_text(f"#!{machine.venv}/bin/python\nimport model.cli\n")
    tool.chmod(0o755)
    machine.use(command)
    machine.repo.commit("K is 3", {"lib/model/constants.py": "K = 3\n"})
    assert k(machine.run()) == 3
    assert k(machine.run(rev="HEAD~1")) == 2


def test_an_environment_within_the_work_tree_and_a_linked_work_tree(machine, tmp_path):
    inner = Machine.__new__(Machine)
    inner.__dict__.update(machine.__dict__)
    inner.venv = Path(machine.repo.path) / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(inner.venv)], check=True)
    inner.site = next(inner.venv.glob("lib/python3*/site-packages"))
    inner.environ["PATH"] = f"{inner.venv}/bin:{machine.environ['PATH']}"
    by_path(inner)
    (inner.site / "plain.py").write_text("P = 5\n")
    inner.use(
        "python -c 'import sys, json, plain; json.dump(dict(k=plain.P), open(sys.argv[1], \"w\"))' ${{ outputs.m }}"
    )
    assert k(inner.run()) == 5
    inner.use("python src/t.py ${{ outputs.m }}")
    machine.repo.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    (tmp_path / "side/lib/model/constants.py").write_text("K = 7\n")
    inner.repo.path = inner.start = str(tmp_path / "side")
    assert k(inner.run()) == 7


def test_what_git_does_not_hold_and_what_python_would_not_redirect_is_refused_in_one_line(machine):
    by_path(machine)
    script = "'echo; python3 -uI src/t.py ${{ outputs.m }}'\n    shell: sh"
    for command, option in (("env X=1 python -I src/t.py ${{ outputs.m }}", "-I"), (script, "-uI")):
        machine.use(command)
        decision = machine.plan().decisions["t"]
        assert (decision.kind, decision.hint) == ("blocked", f"leave {option} out, or install the project without -e")
        assert "from the work tree" in decision.reason
    machine.use("python src/t.py ${{ outputs.m }}")
    vendor = Path(machine.repo.path) / "vendor"
    (vendor / "model").mkdir(parents=True)
    machine.describe(str(vendor), **{"__editable__.project-0.1.pth": f"{vendor}\n"})
    decision = machine.plan().decisions["t"]
    assert decision.kind == "blocked"
    assert "vendor, which Git ignores: no commit holds its code" in decision.reason


def test_an_editable_install_that_cannot_be_followed_is_refused_in_one_line(machine):
    loader = {"project-editable.pth": "import _project_editable_loader\n", "_project_editable_loader.py": ""}
    machine.describe(machine.repo.path, **loader)
    decision = machine.plan().decisions["t"]
    assert decision.kind == "blocked"
    assert "package project is installed editable from . of this repository" in decision.reason
    assert "editable_mode=compat" in decision.hint


def test_another_repository_within_the_work_tree_counts_as_what_is_installed(machine):
    vendor = Path(machine.repo.path) / "vendor"
    (vendor / "model").mkdir(parents=True)
    (vendor / "model/constants.py").write_text("K = 8\n")
    subprocess.run(["git", "init", "-q", str(vendor)], check=True)
    machine.describe(str(vendor), **{"__editable__.project-0.1.pth": f"{vendor}\n"})
    assert k(machine.run()) == 8
    (vendor / "model/constants.py").write_text("K = 9\n")
    changed = machine.run()
    assert (k(changed), reasons(changed)) == (9, {"t": "package project (editable): 1 file changed"})


@pytest.mark.needs_linux("sandbox: strict")
def test_a_strict_step_and_a_sitecustomize_of_the_environment(machine):
    by_path(machine)
    (machine.site / "sitecustomize.py").write_text("import builtins\nbuiltins.CUSTOM = 6\n")
    custom = "getattr(__builtins__, 'CUSTOM', 0)"
    plain = subprocess.run([machine.venv / "bin/python", "-c", f"print({custom})"], capture_output=True, check=True)
    given = int(plain.stdout)  # 0 for a Python whose own sitecustomize comes first, as Debian's
    machine.repo.commit("strict", {"src/t.py": SCRIPT.replace("'k': K", f"'k': K + {custom}")})
    text = PIPELINE.format(run="python src/t.py ${{ outputs.m }}")
    assert k(machine.run()) == 2 + given
    machine.repo.commit("strict", {"pipelines/p.yaml": "sandbox: strict\n" + text})
    assert k(machine.run(reuse=False)) == 2 + given


def test_a_machine_of_a_cluster_describes_itself_in_the_same_way(machine, monkeypatch, tmp_path):
    by_path(machine)
    for name in ("PATH", "HOME"):
        monkeypatch.setenv(name, machine.environ[name])
    with machine.workspace() as ws:
        here = ws.environments.identify(ON_HOST, ("python",))
        place = place_of(ws, RayTarget("big", "auto"))._replace(root=str(tmp_path / "worker"))
    assert here.description["repository"]["imports"] == [["", "lib"]]
    answer = describe(__version__, FolderSpec(*json.loads(json.dumps(place))), ON_HOST, ("python",))
    assert answer == ("is", encode_description(here.description).decode())
    services = place.open(dict(os.environ)).services()
    redirect = services.environments.realize(here).redirect
    assert redirect is not None
    assert machine.repo.path in redirect.tops


def test_a_pythonpath_that_is_passed_on_counts_by_what_it_leads_to(machine, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "model").mkdir(parents=True)
    (elsewhere / "model/constants.py").write_text("K = 5\n")
    passed = "    env: {PYTHONPATH: }\n"
    machine.repo.commit(
        "passed", {"pipelines/p.yaml": PIPELINE.format(run="python src/t.py ${{ outputs.m }}") + passed}
    )
    machine.environ["PYTHONPATH"] = str(elsewhere)
    assert k(machine.run()) == 5
    (elsewhere / "model/constants.py").write_text("K = 6\n")
    changed = machine.run()
    assert (k(changed), reasons(changed)) == (6, {"t": "package PYTHONPATH (editable): 1 file changed"})
    machine.repo.commit("K is 3", {"lib/model/constants.py": "K = 3\n"})
    for folder in (machine.lib, "lib"):
        machine.environ["PYTHONPATH"] = folder
        assert k(machine.run()) == 3
        assert k(machine.run(rev="HEAD~1")) == 2

"""``install: .``: the project's own package is importable from the commit, as an editable install would have it, and counts as code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from gitml import __version__
from gitml.cluster.environment_probe import describe
from gitml.cluster.worker.folder import FolderSpec
from gitml.core.config.project import RayTarget
from gitml.core.model.environment import Environment, EnvironmentSource, encode_description
from gitml.core.records.record import Run
from gitml.engine.execution.ray_kind import place_of
from gitml.platform.current import platform
from tests.kit.projects.command_line import Project as CommandLine
from tests.kit.projects.project import Project, outcomes, reasons
from tests.kit.projects.repository import isolate
from tests.kit.servers.image_registry import Entry, busybox, folder, image, link, needs_images, registry

PIPELINE = "environment: {install: .}\nsteps:\n  t:\n    run: %s\n    outputs: {m: metrics}\n"
WRITE = "import json, sys\nfrom model.constants import K\ndef main(): json.dump({'k': K}, open(sys.argv[1], 'w'))\n"
LIBRARY = {
    "__init__.py": "",
    "constants.py": "K = 1\n",
    "cli.py": WRITE,
    "__main__.py": "from .cli import main\nmain()\n",
    "unused.py": "U = 1\n",
}
NAMED = '[project]\nname = "My-Model"\nversion = "1.2"\n[project.scripts]\nmodel-run = "model.cli:main"\n'
POINTS = '[project.entry-points."my.plugins"]\none = "model.constants:K"\n'
SCRIPT = WRITE + "main()\n"


class PackageProject(Project):
    """A Project whose package lies in a folder, with a Python of its own first on PATH."""

    def __init__(self, path: Path, settings: Mapping[str, str], folder: str = "src/model") -> None:
        library = {f"{folder}/{name}": text for name, text in LIBRARY.items()}
        command = PIPELINE % "python scripts/t.py ${{ outputs.m }}"
        scripts = {"scripts/t.py": SCRIPT, "scripts/t.sh": 'model-run "$1"\n'}
        super().__init__(path / "r", {**settings, **library, **scripts, "pipelines/p.yaml": command})
        self.folder = folder
        self.venv = path / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(self.venv)], check=True)
        self.environ["PATH"] = f"{self.venv}/bin:{self.environ['PATH']}"
        self.site = next(self.venv.glob("lib/python3*/site-packages"))

    def use(self, command: str, before: str = "") -> None:
        """The step's command from now on."""
        self.repo.commit("command", {"pipelines/p.yaml": before + PIPELINE % command})

    def change(self, name: str, text: str) -> None:
        """A file of the package has another content in the work tree."""
        self.repo.write({f"{self.folder}/{name}": text})


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(monkeypatch)


@pytest.fixture
def project(tmp_path: Path) -> PackageProject:
    return PackageProject(tmp_path, {"pyproject.toml": NAMED + POINTS})


def k(run: Run) -> object:
    assert run.status == "succeeded", [step.error for step in run.steps]
    return run.steps[0].metrics["k"]


def inline(program: str) -> str:
    """A command that writes the value of K that a program of one line sets."""
    return f"\"python -c 'import sys, json; {program}; json.dump(dict(k=K), open(sys.argv[1], chr(119)))' ${{{{ outputs.m }}}}\""


@pytest.mark.parametrize(
    "command",
    [
        "python scripts/t.py ${{ outputs.m }}",
        "python -m model ${{ outputs.m }}",
        "model-run ${{ outputs.m }}",
        inline("from model.constants import K"),
        "'model-run ${{ outputs.m }}'\n    shell: sh",
        "\"bash -ec 'model-run ${{ outputs.m }}'\"",
        "sh scripts/t.sh ${{ outputs.m }}",
    ],
)
def test_it_is_imported_from_the_commit_and_what_is_imported_of_it_counts(
    project: PackageProject, command: str
) -> None:
    project.use(command)
    assert k(project.run()) == 1
    project.change("unused.py", "U = 2\n")
    assert outcomes(project.run()) == {"t": "reused"}
    project.change("constants.py", "K = 2\n")
    changed = project.run()
    assert (k(changed), reasons(changed)) == (2, {"t": "code src/model/constants.py changed"})
    assert outcomes(project.run(rev="HEAD")) == {"t": "reused"}


LAYOUTS: dict[str, tuple[dict[str, str], str]] = {
    "flat": ({"pyproject.toml": NAMED.replace("My-Model", "model")}, "model"),
    "flat, of another name": ({"pyproject.toml": NAMED + '[tool.setuptools]\npackages = ["model"]\n'}, "model"),
    "a folder by name": ({"pyproject.toml": NAMED + '[tool.setuptools.package-dir]\n"" = "python/lib"\n'}, "python/lib/model"),
    "a folder of another name": ({"pyproject.toml": NAMED + '[tool.setuptools.package-dir]\nmodel = "code"\n'}, "code"),
    "hatch": (
        {"pyproject.toml": '[build-system]\nbuild-backend = "hatchling.build"\n' + NAMED + '[tool.hatch.build.targets.wheel]\npackages = ["lib/model"]\n'},
        "lib/model",
    ),
    "poetry": (
        {"pyproject.toml": '[build-system]\nbuild-backend = "poetry.core.masonry.api"\n[tool.poetry]\nname = "x"\nversion = "1.2"\n'
         'packages = [{include = "model", from = "py"}]\n[tool.poetry.scripts]\nmodel-run = "model.cli:main"\n'},
        "py/model",
    ),
    "setup.py": (
        {"setup.py": "from setuptools import setup, find_packages\nsetup(name='x', version='1.2', package_dir={'': 'lib'},"
         " packages=find_packages('lib'), entry_points={'console_scripts': ['model-run = model.cli:main']})\n"},
        "lib/model",
    ),
    "setup.cfg": (
        {"setup.cfg": "[metadata]\nname = x\nversion = 1.2\n[options]\npackage_dir =\n    = lib\npackages = find:\n"
         "[options.packages.find]\nwhere = lib\n[options.entry_points]\nconsole_scripts =\n    model-run = model.cli:main\n",
         "setup.py": "import setuptools\nsetuptools.setup()\n"},
        "lib/model",
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_is_found_wherever_its_project_says_that_it_lies(tmp_path: Path, layout: str) -> None:
    settings, folder = LAYOUTS[layout]
    project = PackageProject(tmp_path, settings, folder)
    project.use("model-run ${{ outputs.m }}")
    assert k(project.run()) == 1
    project.change("constants.py", "K = 2\n")
    assert k(project.run()) == 2


def test_a_package_called_src_is_imported_as_src(tmp_path: Path) -> None:
    files = {f"src/{name}": text.replace("model.", "src.") for name, text in LIBRARY.items()}
    project = PackageProject(
        tmp_path, {"pyproject.toml": NAMED.replace("model.cli", "src.cli"), **files}, "other/model"
    )
    project.use("model-run ${{ outputs.m }}")
    assert k(project.run()) == 1
    project.use("python -m src ${{ outputs.m }}")
    assert k(project.run()) == 1


def test_its_metadata_are_those_of_the_commit(project: PackageProject) -> None:
    project.use(inline('from importlib import metadata as m; K = float(m.version("my_model"))'.replace('"', '\\"')))
    assert k(project.run()) == 1.2
    points = "from importlib import metadata as m; (p,) = m.entry_points(group='my.plugins'); K = len(p.name)"
    project.repo.commit("points", {"scripts/t.py": WRITE.replace("def main()", f"{points}\ndef main()") + "main()\n"})
    project.use("python scripts/t.py ${{ outputs.m }}")
    assert k(project.run()) == 3


def test_comments_and_tools_in_its_settings_re_run_nothing_and_what_it_installs_does(project: PackageProject) -> None:
    project.run()
    project.repo.write({"pyproject.toml": "# a comment\n" + NAMED + POINTS + "[tool.ruff]\nline-length = 99\n"})
    assert outcomes(project.run()) == {"t": "reused"}
    project.repo.write({"pyproject.toml": (NAMED + POINTS).replace("1.2", "1.3")})
    assert reasons(project.run()) == {"t": "environment project version: 1.2 -> 1.3"}
    project.repo.write({"pyproject.toml": (NAMED + POINTS).replace("1.2", "1.3").replace("model-run", "run-model")})
    (reason,) = reasons(project.run()).values()
    assert reason.startswith("environment project entry points: model-run = model.cli:main")


def test_an_older_copy_among_the_packages_and_an_editable_install_do_not_stand_in_for_it(
    project: PackageProject,
) -> None:
    info = project.site / "my_model-0.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: My-Model\nVersion: 0.9\n")
    (info / "RECORD").write_text("model/__init__.py,,\n")
    (project.site / "model").mkdir()
    (project.site / "model/constants.py").write_text("K = 9\n")
    (project.site / "model/__init__.py").write_text("")
    assert k(project.run()) == 1
    (project.site / "model/constants.py").unlink()
    (project.site / "model/__init__.py").unlink()
    (info / "RECORD").write_text("__editable__.my_model.pth,,\n")
    (info / "direct_url.json").write_text(f'{{"url": "file://{project.repo.path}", "dir_info": {{"editable": true}}}}')
    (project.site / "__editable__.my_model.pth").write_text(f"{project.repo.path}/src\n")
    project.change("constants.py", "K = 4\n")
    assert k(project.run()) == 4
    assert k(project.run(rev="HEAD")) == 1


@pytest.mark.parametrize("option", ["", ", install: ."])
def test_a_venv_of_the_project_in_which_it_is_installed_editable(project: PackageProject, option: str) -> None:
    """As `uv sync` leaves it: packages of the venv are its own, the project's are the commit's."""
    venv = Path(project.repo.path) / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    site = next(venv.glob("lib/python3*/site-packages"))
    (site / "_my_model.pth").write_text(f"{project.repo.path}/src\n")
    (site / "plain.py").write_text("P = 5\n")
    pipeline = PIPELINE.replace("install: .", "venv: .venv" + option) % inline(
        "import plain, model.constants as c; K = c.K * plain.P"
    )
    project.repo.commit("venv", {"pipelines/p.yaml": pipeline, ".gitignore": ".venv\n"})
    assert k(project.run()) == 5
    project.change("constants.py", "K = 2\n")
    changed = project.run()
    assert (k(changed), reasons(changed)) == (10, {"t": "code src/model/constants.py changed"})
    assert outcomes(project.run(rev="HEAD")) == {"t": "reused"}


def test_what_lies_beside_a_flat_package_stands_in_for_nothing_that_is_installed(tmp_path: Path) -> None:
    settings = {"pyproject.toml": NAMED.replace("My-Model", "model"), "tool/__init__.py": "K = 7\n", "json.py": "1/0\n"}
    project = PackageProject(tmp_path, settings, "model")
    (project.site / "tool.py").write_text("K = 5\n")
    project.use(inline("import model, json, tool; K = tool.K"))
    project.repo.commit(
        "code",
        {"pipelines/q.yaml": (PIPELINE % "python scripts/t.py ${{ outputs.m }}") + "    code: [tool/, json.py]\n"},
    )
    project.repo.write(
        {"scripts/t.py": "import sys, json, model, tool\njson.dump({'k': tool.K}, open(sys.argv[1], 'w'))\n"}
    )
    assert k(project.run("q")) == 5
    (project.site / "tool.py").unlink()
    assert k(project.run("q")) == 7  # as an editable install makes the whole folder importable


@pytest.mark.needs_linux("sandbox: strict")
def test_a_strict_step_has_it_too(project: PackageProject) -> None:
    project.use("model-run ${{ outputs.m }}", "sandbox: strict\n")
    assert k(project.run()) == 1


def test_a_namespace_is_shared_with_what_is_installed(tmp_path: Path) -> None:
    files = {"pyproject.toml": NAMED, "src/acme/own.py": "K = 2\n"}
    project = PackageProject(tmp_path, files)
    (project.site / "acme").mkdir()
    (project.site / "acme/other.py").write_text("J = 3\n")
    project.use(inline("import acme.own, acme.other; K = acme.own.K * acme.other.J"))
    assert k(project.run()) == 6


def test_a_cached_run_reads_no_settings(project: PackageProject, monkeypatch: pytest.MonkeyPatch) -> None:
    project.run()
    monkeypatch.delitem(sys.modules, "tomllib", raising=False)
    assert outcomes(project.run()) == {"t": "reused"}
    assert "tomllib" not in sys.modules


@pytest.mark.parametrize("command", ["model-run ${{ outputs.m }}", "'model-run ${{ outputs.m }}'\n    shell: sh"])
def test_a_command_of_the_project_that_is_missed_in_an_environment_built_just_now_is_said_to_be_one(
    project: PackageProject, tmp_path: Path, command: str
) -> None:
    project.environ["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    text = (PIPELINE % command).replace("{install: .}", "{requirements: locked.txt}")
    project.repo.commit("locked", {"locked.txt": "# nothing\n", "pipelines/p.yaml": text})
    error = project.run().steps[0].error or ""
    assert "model-run is a command of the project's own package: install: . in its environment" in error


@pytest.mark.parametrize("strict", [False, True])
def test_an_environment_that_is_built_and_a_venv_have_it_beside_what_they_name(
    project: PackageProject, tmp_path: Path, strict: bool
) -> None:
    if strict and platform.namespace_refusal():
        pytest.skip("no strict steps here")
    project.environ["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    before = "sandbox: strict\n" if strict else ""
    text = before + PIPELINE % "model-run ${{ outputs.m }}"
    built = text.replace("{install: .}", "{requirements: locked.txt, install: .}")
    project.repo.commit("locked", {"locked.txt": "# nothing\n", "pipelines/p.yaml": built, ".gitignore": ".venv\n"})
    first = project.run()
    assert k(first) == 1
    project.repo.write({"pyproject.toml": (NAMED + POINTS).replace("1.2", "1.3")})
    again = project.run()
    assert (k(again), reasons(again)) == (1, {"t": "environment project version: 1.2 -> 1.3"})
    assert len(list(tmp_path.glob("cache/gitml/envs/*/built.json"))) == 1, "the project is no part of what is built"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", f"{project.repo.path}/.venv"], check=True)
    project.repo.commit("venv", {"pipelines/p.yaml": text.replace("{install: .}", "{venv: .venv, install: .}")})
    assert k(project.run()) == 1


@pytest.mark.parametrize("command", ["python -I scripts/t.py ${{ outputs.m }}", "bash -c 'python -I scripts/t.py'"])
def test_what_ignores_pythonpath_is_refused(project: PackageProject, command: str) -> None:
    project.use(command + ("" if "outputs" in command else " ${{ outputs.m }}"))
    decision = project.plan().decisions["t"]
    assert (decision.kind, decision.hint) == ("blocked", "leave -I out")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "install: . has no pyproject.toml, setup.cfg or setup.py in the commit"),
        ({"pyproject.toml": "[project\n"}, "it can't be read: "),
        (
            {"pyproject.toml": "[project]\nname = 'x'\nscripts = {run = 'no function'}\n"},
            "is not NAME = MODULE:FUNCTION",
        ),
        (
            {"pyproject.toml": "[project]\nname = 'x'\nscripts = {'../../run' = 'a:b'}\n"},
            "is not NAME = MODULE:FUNCTION",
        ),
        ({"pyproject.toml": "[tool.setuptools]\npackage-dir = {'' = '../other'}\n"}, "a path that leaves the tree"),
        (
            {"pyproject.toml": "[tool.setuptools]\npackage-dir = {'' = 'gone'}\n"},
            "its packages in gone, which is not in the commit",
        ),
        ({"pyproject.toml": "#" * (2**20 + 1)}, "it is larger than 1 MiB"),
        ({"pyproject.toml": "a = " + "[" * 100_000}, "it can't be read: "),
        ({"setup.cfg": "no section\n"}, "it can't be read: "),
    ],
)
def test_what_cannot_be_installed_is_an_error_in_one_line(tmp_path: Path, files: dict[str, str], said: str) -> None:
    project = Project(
        tmp_path / "r", {"x.py": "", **files, "pipelines/p.yaml": PIPELINE % "python x.py ${{ outputs.m }}"}
    )
    decision = project.plan().decisions["t"]
    assert decision.kind == "blocked"
    assert said in decision.reason
    assert "\n" not in decision.reason
    assert decision.hint


def test_a_project_in_a_folder_installs_its_own_and_another_folder_can_be_named(
    project: PackageProject,
) -> None:
    library = {f"sub/{path}": text for path, text in {
        "pyproject.toml": NAMED, **{f"src/model/{name}": text for name, text in LIBRARY.items()},
        "src/model/constants.py": "K = 8\n", "gitml.yaml": "", "pipelines/p.yaml": PIPELINE % "model-run ${{ outputs.m }}",
    }.items()}  # fmt: skip
    project.repo.commit("sub", library)
    project.start = f"{project.repo.path}/sub"
    assert k(project.run()) == 8
    project.start = project.repo.path
    project.use("python scripts/t.py ${{ outputs.m }}")
    project.repo.write(
        {"pipelines/p.yaml": (PIPELINE % "model-run ${{ outputs.m }}").replace("install: .", "install: sub")}
    )
    assert k(project.run()) == 8


def test_a_module_installs_the_package_of_its_own_folder(tmp_path: Path) -> None:
    library = {f"tool/src/model/{name}": text for name, text in LIBRARY.items()}
    module = (
        "name: tool\nversion: 1.0.0\ndescription: a tool\noutputs: {m: metrics}\nenvironment: {install: .}\n"
        "run: model-run ${{ outputs.m }}\n"
    )
    pipeline = "steps:\n  t: {module: tool@^1}\n"
    files = {"tool/module.yaml": module, "tool/pyproject.toml": NAMED, **library, "pipelines/p.yaml": pipeline}
    clone = CommandLine(tmp_path / "r", {**files, "src/model/constants.py": "K = 9\n"})
    clone.do("module", "publish", "tool", "--default")
    clone.do("run")
    assert '"t.k": 1' in clone.do("metrics", "show", "--json").out


def test_a_machine_of_a_cluster_describes_it_in_the_same_way(
    project: PackageProject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("PATH", "HOME"):
        monkeypatch.setenv(name, project.environ[name])
    project.use("model-run ${{ outputs.m }}")
    with project.workspace() as ws:
        planner = project.planner(ws)
        here = planner.builder.environment(planner.graph.steps["t"])
        assert isinstance(here, Environment)
        place = place_of(ws, RayTarget("big", "auto"))._replace(root=str(tmp_path / "worker"))
    source = EnvironmentSource(*here.source)
    answer = describe(__version__, FolderSpec(*json.loads(json.dumps(place))), source, ("model-run",))
    assert answer == ("is", encode_description(here.description).decode())
    assert here.description["project"]["entry_points"]["console_scripts"] == {"model-run": "model.cli:main"}


def test_in_an_image_commands_and_metadata_are_where_its_own_python_looks(tmp_path: Path) -> None:
    needs_images()
    # as much of a Python as shows what it is started with
    python = b'#!/bin/sh\nls "$PYTHONPATH" "$PYTHONPATH/metadata" >> "$2"\nhead -n 2 "$1" | tail -n 1 >> "$2"\n'
    system = [
        folder("usr"),
        folder("usr/bin"),
        link("usr/bin/env", "/bin/busybox"),
        Entry("bin/python3", python, 0o755),
    ]
    library = {f"src/model/{name}": text for name, text in LIBRARY.items()}
    step = "steps:\n  t: {run: 'model-run ${{ outputs.o }}', outputs: {o: file}}\n"
    with registry(tmp_path / "home") as served:
        name = served.push(image([[*busybox(), *system]], ["PATH=/bin"]))
        pipeline = f"environment: {{image: '{name}', install: .}}\n" + step
        project = Project(tmp_path / "r", {"pyproject.toml": NAMED, **library, "pipelines/p.yaml": pipeline})
        project.environ.update(served.environ(), PATH=os.environ["PATH"])
        run = project.run()
        assert run.status == "succeeded", run.steps[0].error
        shown = project.output(run.steps[0]).decode().split()
    assert {"sitecustomize.py", "metadata", "My_Model-1.2.dist-info"} <= set(shown)
    assert shown[-1] == "sys"

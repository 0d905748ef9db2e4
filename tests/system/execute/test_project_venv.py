"""``environment: {venv: .venv}``: the project's own virtual environment, by content, wherever it lies and whoever made it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gitml.core.model.events import Note
from gitml.core.records.record import Run
from gitml.errors import InputError
from tests.kit.projects.project import Project, outcomes, reasons
from tests.kit.projects.repository import isolate

PIPELINE = "environment: {venv: .venv}\nsteps:\n  t:\n    run: %s\n    outputs: {m: metrics}\n"
PYTHON = "python src/t.py ${{ outputs.m }}"
SCRIPT = "import json, sys, tool\njson.dump({'k': tool.K}, open(sys.argv[1], 'w'))\n"


class VenvProject(Project):
    """A Project with a virtual environment in its work tree that has a package of its own."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, {"src/t.py": SCRIPT, "pipelines/p.yaml": PIPELINE % PYTHON, ".gitignore": ".venv*\n"})
        self.venv = Path(self.repo.path) / ".venv"
        make_venv(self.venv)
        self.install(1)

    def install(self, k: int) -> None:
        """The package ``tool`` with this constant, as an installer leaves it."""
        site = next(self.venv.glob("lib/python3*/site-packages"))
        info = site / "tool-1.0.dist-info"
        info.mkdir(exist_ok=True)
        (site / "tool.py").write_text(f"K = {k}\n")
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tool\nVersion: 1.0\n")
        (info / "RECORD").write_text(f"tool.py,sha256={k},{'0' * k}\ntool-1.0.dist-info/METADATA,sha256=m,\n")

    def use(self, command: str) -> None:
        """The step's command from now on."""
        self.repo.commit("command", {"pipelines/p.yaml": PIPELINE % command})


def make_venv(place: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VenvProject:
    isolate(monkeypatch)
    return VenvProject(tmp_path / "r")


def k(run: Run) -> object:
    assert run.status == "succeeded", [step.error for step in run.steps]
    return run.steps[0].metrics["k"]


def problem(project: Project) -> str:
    """Why the step is blocked, and how to mend it, in one line."""
    decision = project.plan().decisions["t"]
    assert decision.kind == "blocked"
    return f"{decision.reason}; {decision.hint}"


def test_steps_run_with_its_python_and_packages_and_count_by_their_content(project: VenvProject) -> None:
    assert k(project.run()) == 1
    assert outcomes(project.run()) == {"t": "reused"}
    project.install(2)
    changed = project.run()
    assert (k(changed), reasons(changed)) == (2, {"t": "package tool 1.0: other files under the same name and version"})


def test_one_that_is_made_elsewhere_with_the_same_content_gives_the_same_key(
    project: VenvProject, tmp_path: Path
) -> None:
    for place in (project.venv, tmp_path / "again"):
        if place != project.venv:
            make_venv(place)
            shutil.copytree(
                next(project.venv.glob("lib/python3*/site-packages")),
                next(place.glob("lib/python3*/site-packages")),
                dirs_exist_ok=True,
            )
        script = place / "bin/tool-command"
        script.write_text(f"#!{place}/bin/python\n{SCRIPT}")
        script.chmod(0o755)
    project.use("tool-command ${{ outputs.m }}")
    first = project.run()
    assert k(first) == 1
    moved = Project(tmp_path / "other", {"pipelines/p.yaml": PIPELINE % "tool-command ${{ outputs.m }}"})
    shutil.copytree(tmp_path / "again", tmp_path / "other/.venv", symlinks=True)
    (tmp_path / "other/.venv/bin/tool-command").write_text(f"#!{tmp_path}/other/.venv/bin/python\n{SCRIPT}")
    (tmp_path / "other/.gitignore").write_text(".venv\n")
    assert moved.run().steps[0].key == first.steps[0].key


def test_without_one_the_error_says_how_to_make_it(project: VenvProject) -> None:
    shutil.rmtree(project.venv)
    assert "there is no virtual environment .venv in the work tree; make it: uv venv .venv" in problem(project)
    project.venv.mkdir()
    assert ".venv is no virtual environment: it has no pyvenv.cfg" in problem(project)


def test_a_python_that_is_gone_and_one_that_was_moved_are_refused_with_the_mend(project: VenvProject) -> None:
    script = project.venv / "bin/pip"
    script.write_text(f"#!{project.venv}/bin/python3\n")
    aside = project.venv.with_name(".venv-old")
    project.venv.rename(aside)
    shutil.copytree(aside, project.venv, symlinks=True)
    assert k(project.run()) == 1  # it is where it was
    project.venv.rename(project.venv.with_name(".venv-moved"))
    project.repo.commit("moved", {"pipelines/p.yaml": PIPELINE.replace(".venv", ".venv-moved") % PYTHON})
    said = problem(project)
    assert f"the virtual environment .venv-moved was moved or copied: .venv-moved/bin/pip starts {project.venv}" in said
    assert "uv venv --clear .venv-moved" in said
    for name in ("python", "python3"):
        place = project.venv.with_name(".venv-moved") / "bin" / name
        place.unlink()
        place.symlink_to("/nowhere/bin/python3")
    assert "is not there, as it leads to /nowhere/bin/python3" in problem(project)


def test_a_link_out_of_the_project_is_refused_and_one_within_it_is_followed(
    project: VenvProject, tmp_path: Path
) -> None:
    inner = project.venv.with_name(".venv-3")
    make_venv(inner)
    shutil.copytree(
        next(project.venv.glob("lib/python3*/site-packages")),
        next(inner.glob("lib/python3*/site-packages")),
        dirs_exist_ok=True,
    )
    shutil.rmtree(project.venv)
    project.venv.symlink_to(".venv-3")
    assert k(project.run()) == 1
    project.venv.unlink()
    outside = tmp_path / "outside"
    make_venv(outside)
    project.venv.symlink_to(outside)
    assert f"environment venv: .venv is a link out of the project, to {outside}" in problem(project)


@pytest.mark.parametrize("written", ["../venv", "/opt/venv", ".", ".git/venv"])
def test_a_path_that_is_not_in_the_project_is_a_mistake(project: VenvProject, written: str) -> None:
    project.repo.write({"pipelines/p.yaml": (PIPELINE % PYTHON).replace("{venv: .venv}", f"{{venv: {written}}}")})
    with pytest.raises(InputError, match="environment"):
        project.plan()


def test_a_linked_work_tree_uses_the_main_ones_unless_it_has_its_own(project: VenvProject, tmp_path: Path) -> None:
    project.repo.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    project.start = str(tmp_path / "side")
    first = project.run()
    assert k(first) == 1
    make_venv(tmp_path / "side/.venv")
    assert "No module named 'tool'" in (project.run().steps[0].error or "")


def test_a_commit_of_the_past_says_once_that_the_venv_is_todays(project: VenvProject) -> None:
    project.repo.commit("later", {"src/t.py": SCRIPT + "# more\n"})
    assert k(project.run(rev="HEAD~1")) == 1
    notes = [event.text for event in project.events if isinstance(event, Note)]
    assert [note for note in notes if "is today's, not that of commit" in note] == notes
    assert len(notes) == 1
    project.run(rev="HEAD~1")
    assert not [
        event for event in project.events if isinstance(event, Note)
    ]  # a result that is reused is of its content
    project.run()
    assert not [event for event in project.events if isinstance(event, Note)]


def test_what_a_pth_file_leads_to_counts_by_content(project: VenvProject, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/more.py").write_text("M = 1\n")
    site = next(project.venv.glob("lib/python3*/site-packages"))
    (site / "more.pth").write_text(f"{tmp_path}/elsewhere\n")
    project.repo.commit("more", {"src/t.py": SCRIPT.replace("import json", "import more, json")})
    project.run()
    assert outcomes(project.run()) == {"t": "reused"}
    (tmp_path / "elsewhere/more.py").write_text("M = 2\n")
    assert reasons(project.run()) == {"t": "package more (editable): 1 file changed"}


def test_the_python_of_another_version_is_the_venvs(project: VenvProject) -> None:
    others = [shutil.which(f"python3.{minor}", path=other_pythons()) for minor in (12, 13, 10, 9)]
    other = next((one for one in others if one), None)
    if other is None:
        pytest.skip("this machine has one Python")
    shutil.rmtree(project.venv)
    subprocess.run([other, "-m", "venv", "--without-pip", str(project.venv)], check=True)
    project.repo.commit(
        "version", {"src/t.py": "import json, sys\njson.dump({'k': sys.version_info[1]}, open(sys.argv[1], 'w'))\n"}
    )
    assert k(project.run()) == int(os.path.basename(other).partition(".")[2])


def other_pythons() -> str:
    """A PATH with the Pythons of this machine that are no scripts which choose one."""
    pyenv = Path.home() / ".pyenv/versions"
    return ":".join([*map(str, pyenv.glob("3.*/bin")), "/usr/bin", "/usr/local/bin"])


def test_a_change_while_the_run_goes_on_is_not_taken_for_what_was_planned(project: VenvProject) -> None:
    site = next(project.venv.glob("lib/python3*/site-packages"))
    record = site / "tool-1.0.dist-info/RECORD"
    project.repo.commit(
        "two",
        {
            "pipelines/p.yaml": "steps:\n"
            f"  first: {{shell: sh, run: 'echo tool.py,sha256=other, > {record}; echo > ${{{{ outputs.o }}}}', outputs: {{o: file}}}}\n"
            "  t: {environment: {venv: .venv}, after: [first], run: 'python src/t.py ${{ outputs.m }}', outputs: {m: metrics}}\n"
        },
    )
    last = project.run().steps[1]
    assert last.outcome == "failed"
    assert "the virtual environment .venv changed since this run looked at it: tool 1.0" in (last.error or "")


def test_a_program_of_it_that_is_named_by_its_path_gets_the_hint_to_name_the_venv(project: VenvProject) -> None:
    project.use(f".venv/bin/{PYTHON}")
    hint = "name the virtual environment, environment: {venv: .venv}, and the program alone: python"
    assert problem(project) == f"command not found: .venv/bin/python is not in the commit; {hint}"


@pytest.mark.needs_linux("sandbox: strict")
def test_a_strict_step_reads_it(project: VenvProject) -> None:
    project.repo.commit("strict", {"pipelines/p.yaml": "sandbox: strict\n" + PIPELINE % PYTHON})
    assert k(project.run()) == 1


def test_a_project_in_a_folder_has_its_own(project: VenvProject) -> None:
    project.repo.commit(
        "folder", {"sub/pipelines/p.yaml": PIPELINE % PYTHON, "sub/src/t.py": SCRIPT, "sub/gitml.yaml": ""}
    )
    project.start = f"{project.repo.path}/sub"
    make_venv(Path(project.start) / ".venv")
    assert "No module named 'tool'" in (project.run().steps[0].error or "")

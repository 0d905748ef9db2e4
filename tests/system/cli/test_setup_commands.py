"""`init`, `demo`, `doctor`, `config`, `completion`, and gitml without a command."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from gitml import __version__
from tests.system.conftest import Project


def test_init_writes_a_first_pipeline_that_runs_and_undo_removes_exactly_that(fresh: Project) -> None:
    answer = fresh.gitml("init")
    assert answer.out == "written  gitml.yaml\nwritten  pipelines/hello.py\nwritten  pipelines/hello.yaml\n"
    assert answer.err == "next: gitml run\n"
    assert "result count.letters 10" in fresh.gitml("run").err
    assert fresh.gitml("run").err.count("reuse ") == 2
    assert fresh.gitml("init", "--undo").out.count("removed ") == 3
    assert sorted(path.name for path in fresh.root.iterdir()) == [".git"]


def test_init_changes_nothing_that_is_there(project: Project) -> None:
    before = (project.root / "pipelines/words.yaml").read_text()
    assert project.gitml("init").out == "written  gitml.yaml\n"
    assert (project.root / "pipelines/words.yaml").read_text() == before
    assert not (project.root / "pipelines/hello.yaml").exists()
    assert project.gitml("init").out == "kept     gitml.yaml\n"
    assert project.gitml("config", "--json").data["settings"]["defaults.pipeline"] == "words"


def test_undo_leaves_what_was_changed_since(fresh: Project) -> None:
    fresh.gitml("init")
    fresh.write("pipelines/hello.py", "# mine now\n")
    out = fresh.gitml("init", "--undo").out
    assert "changed  pipelines/hello.py  (changed since, so it stays)" in out
    assert (fresh.root / "pipelines/hello.py").read_text() == "# mine now\n"


def test_purge_leaves_nothing_of_gitml_behind(project: Project) -> None:
    project.gitml("init", "--undo", "--purge")
    assert not (project.root / ".git/gitml").exists()
    assert project.git("for-each-ref", "refs/gitml") == ""
    assert project.gitml("log").err == "no runs yet: gitml run\n"


def test_purge_without_undo_is_refused(project: Project) -> None:
    assert project.gitml("init", "--purge", code=2).err == "gitml: --purge goes with --undo\n"


def test_demo_makes_a_repository_and_shows_each_command_before_it_runs(tmp_path: Path, fresh: Project) -> None:
    answer = fresh.gitml("demo", "d")
    shown = re.findall(r"^\$ (.*)$", answer.err, re.M)
    assert shown.count("gitml run") == 3
    assert "gitml run --at 'HEAD~1'" in shown
    assert "gitml metrics diff 'HEAD~1..HEAD'" in shown
    assert answer.err.count(" 7 executed in ") == 2
    assert answer.err.count(" 7 reused") == 2
    assert "artifact report.page" in answer.out
    assert fresh.gitml("demo", "d", code=2).err.startswith("gitml: there is something already (")


@pytest.mark.slow
def test_demo_takes_the_next_free_name_when_none_is_given(tmp_path: Path, fresh: Project) -> None:
    (tmp_path / "gitml-demo").mkdir()
    (tmp_path / "gitml-demo/mine").touch()
    answer = fresh.gitml("demo", cwd=tmp_path)
    assert "cd gitml-demo-2, then" in answer.err
    assert (tmp_path / "gitml-demo-2/pipelines/wine.yaml").exists()


def test_purge_names_every_ref_it_removes(project: Project) -> None:
    project.git("update-ref", "refs/gitml/other", "HEAD")
    removed = project.gitml("init", "--undo", "--purge").out
    assert "removed  refs/gitml/other\n" in removed
    assert "removed  refs/gitml/runs\n" in removed


@pytest.mark.parametrize(
    ("files", "written"),
    [
        (
            {
                "uv.lock": "",
                "pyproject.toml": "",
                "pylock.toml": "",
                "conda-lock.yml": "",
                "requirements.txt": "a==1\n",
            },
            "uv.lock",
        ),
        ({"uv.lock": "", "pylock.gpu.toml": "", "pixi.lock": ""}, "pylock.gpu.toml"),
        ({"conda-lock.yml": "", "environment.yml": "", "requirements.txt": "a==1\n"}, "conda-lock.yml"),
        ({"requirements-dev.txt": "a\n", "requirements.txt": "a==1\n", ".venv/pyvenv.cfg": ""}, "requirements.txt"),
        ({"requirements.txt": "a\n", ".venv/pyvenv.cfg": ""}, "{venv: .venv}"),
    ],
)
def test_init_takes_the_environment_that_the_project_has(fresh: Project, files: dict[str, str], written: str) -> None:
    for path, text in files.items():
        fresh.write(path, text)
    fresh.gitml("init")
    assert (fresh.root / "gitml.yaml").read_text().endswith(f"\n  pipeline: hello\n  environment: {written}\n")
    fresh.gitml("config")
    assert fresh.gitml("init", "--undo").out.count("removed ") == 3


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("pyproject.toml", "gitml env lock pyproject.toml"),
        ("requirements.txt", "gitml env lock requirements.txt"),
        ("environment.yml", "gitml env lock environment.yml"),
    ],
)
def test_init_names_what_locks_a_project_that_only_lists_its_packages(fresh: Project, path: str, command: str) -> None:
    fresh.write(path, "numpy\n" if path.endswith(".txt") else "")
    said = fresh.gitml("init").err
    assert f"a lock: {command}, then write" in said
    assert "environment" not in (fresh.root / "gitml.yaml").read_text()


def test_init_changes_no_environment_of_pipelines_that_are_there(project: Project) -> None:
    project.write("pylock.toml", "")
    said = project.gitml("init").err
    assert "steps can have the project's own: environment: pylock.toml\n" in said
    assert "environment" not in (project.root / "gitml.yaml").read_text()


def test_doctor_names_what_works(project: Project) -> None:
    answer = project.gitml("doctor")
    assert re.search(r"^ok    git +git version ", answer.out, re.M)
    assert re.search(r"^ok    uv +uv [0-9.]+ .*: builds environments of requirements files", answer.out, re.M)
    assert re.search(r"^(ok|note)  +conda +py-rattler ", answer.out, re.M)
    assert re.search(r"^ok    environments +built in /.*/gitml, .* free", answer.out, re.M)
    assert re.search(r"^ok    records +1 run recorded", answer.out, re.M)
    assert project.gitml("doctor", cwd=project.root.parent).out.count("not a Git repository") == 1


def test_doctor_names_the_fsync_setting_of_a_remote_in_a_folder(project: Project, tmp_path: Path) -> None:
    hub = tmp_path / "a hub.git"
    subprocess.run(["git", "init", "-q", "--bare", str(hub)], check=True)
    subprocess.run(["git", "remote", "add", "origin", str(hub)], cwd=project.root, check=True)
    subprocess.run(["git", "remote", "add", "host", "ssh://nowhere.invalid/x"], cwd=project.root, check=True)
    told = project.gitml("doctor", "--json").data
    (found,) = [row for row in told if row["what"].startswith("remote ")]
    assert (found["what"], found["state"]) == ("remote origin", "note")
    subprocess.run(["sh", "-c", found["hint"]], check=True)
    assert "ok    remote origin" in project.gitml("doctor").out


def test_doctor_without_git_says_so_and_exits_with_1(project: Project, tmp_path: Path) -> None:
    answer = project.gitml("doctor", env={"PATH": str(tmp_path)}, code=1)
    assert re.search(r"^bad   git +not on PATH: install Git", answer.out, re.M)


def test_config_shows_what_is_in_force(project: Project) -> None:
    answer = project.gitml("config")
    assert "defaults.environment  host" in answer.out
    assert answer.err == "there is no gitml.yaml: these are the defaults\n"
    project.write("gitml.yaml", "defaults: {sandbox: strict}\ntargets: {local: {cpus: 3}}\n")
    settings = project.gitml("config", "--json").data["settings"]
    assert (settings["defaults.sandbox"], settings["targets.local.cpus"]) == ("strict", 3)


def test_completion_prints_a_script_and_completes(project: Project) -> None:
    assert "_GITML_COMPLETE" in project.gitml("completion", "bash").out
    answer = project.gitml(env={"_GITML_COMPLETE": "bash_complete", "COMP_WORDS": "gitml pl", "COMP_CWORD": "1"})
    assert "plan" in answer.out


def test_completion_says_nothing_to_a_shell_that_reads_it(project: Project) -> None:
    assert project.gitml("completion", "bash").err == ""
    assert "in ~/.bashrc" in project.at_terminal("completion", "bash")


def test_version_and_help(project: Project) -> None:
    assert project.gitml("--version").out == f"gitml {__version__}\n"
    assert project.gitml("--help").out.startswith("Usage: gitml ")
    answer = project.gitml(code=2)
    assert answer.out == ""
    assert answer.err.startswith("Usage: gitml ")


def test_mistakes_in_the_command_line_are_one_line_with_the_nearest_name(project: Project) -> None:
    assert project.gitml("rnu", code=2).err == "gitml: no command 'rnu' (did you mean 'run'?): see gitml --help\n"
    answer = project.gitml("run", "--forse", code=2)
    assert re.match(r"gitml: no such option '?--forse'?.*\(gitml run\): see gitml run --help\n\Z", answer.err, re.S)
    answer = project.gitml("log", "--json", "-n", "x", code=2)
    assert answer.error["code"] == "usage"


def test_a_bug_of_ours_is_one_line_and_the_traceback_is_for_those_who_ask(project: Project) -> None:
    broken = {"PYTHONPATH": f"{project.root}:{project.env['PYTHONPATH']}"}
    project.write("sitecustomize.py", "import gitml.engine.planning.load\ngitml.engine.planning.load.load = None\n")
    answer = project.gitml("plan", env=broken, code=70)
    assert re.fullmatch(
        r"gitml: internal error: TypeError: .*; this is a bug of gitml: run again with -v for the traceback\n",
        answer.err,
    )
    assert "Traceback" in project.gitml("plan", "-v", env=broken, code=70).err

"""`gitml module …` as a person or a script uses it: what it prints, what it exits with."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.conftest import Answer, Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A repository with the module that `gitml module init` writes, not committed."""
    root = tmp_path / "p"
    root.mkdir()
    made = Project(root, tmp_path)
    made.git("init", "-q", "-b", "main")
    made.git("commit", "-q", "--allow-empty", "-m", "begin")
    made.gitml("module", "init", "mods/count", "-q")
    return made


Publish = Callable[..., Answer]


@pytest.fixture
def publish(project: Project) -> Publish:
    """Publishes the module as a version, its content changed with it."""

    def published(version: str, *words: str, code: int = 0) -> Answer:
        path = project.root / "mods/count/module.yaml"
        lines = path.read_text().splitlines()
        path.write_text("\n".join(f"version: {version}" if x.startswith("version:") else x for x in lines) + "\n")
        project.git("add", "-A")
        project.git("commit", "-q", "--allow-empty", "-m", version)
        return project.gitml("module", "publish", "mods/count", *words, code=code)

    return published


def test_a_module_is_begun_checked_published_listed_and_shown(project: Project, publish: Publish) -> None:
    assert "count 0.1.0: 2 in, 1 out, 1 parameters" in project.gitml("module", "check", "mods/count").out
    done = publish("1.0.0", "--default")
    assert done.out.startswith("count@1.0.0  git:")
    assert "published count@1.0.0" in done.err
    assert "count   active  1.0.0" in project.gitml("module", "list").out
    shown = project.gitml("module", "show", "count").out
    assert "input   ignore  file, optional    lines not to count" in shown
    assert "param   word    str, default the" in shown
    assert "published already, with this content" in project.gitml("module", "publish", "mods/count").err


def test_the_answers_that_scripts_rely_on_have_their_shapes(project: Project, publish: Publish) -> None:
    publish("1.0.0")
    publish("1.1.0", "--default")
    project.gitml("module", "deprecate", "count@1.0.0", "--reason", "old")
    resolved = project.gitml("module", "resolve", "count@1.0.0", "--json").data
    content = "git:" + project.git("rev-parse", "HEAD~1:mods/count")
    assert resolved == {
        "name": "count",
        "version": "1.0.0",
        "state": "deprecated",
        "content": content,
        "warnings": ["count 1.0.0 is deprecated: old"],
    }
    (listed,) = project.gitml("module", "list", "--json").data
    assert (listed["name"], listed["state"], listed["default"]) == ("count", "active", "1.1.0")
    assert [set(v) for v in listed["versions"]] == [{"version", "state", "content", "published"}] * 2
    assert [v["version"] for v in listed["versions"]] == ["1.1.0", "1.0.0"]
    events = project.gitml("module", "history", "count", "--json").data
    assert [set(e) for e in events] == [{"at", "by", "event", "version", "reason"}] * 3
    assert [(e["event"], e["version"], e["reason"]) for e in events] == [
        ("publish", "1.0.0", ""),
        ("publish", "1.1.0", ""),
        ("deprecate", "1.0.0", "old"),
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["resolve", "count@9.0.0"], "count has no version 9.0.0: there is 1.1.0, 1.0.0"),
        (["resolve", "cuont"], "did you mean count?"),
        (["resolve", "../x"], "not a module's name"),
        (["resolve", "a b"], "not a module's name"),
        (["resolve", "Count"], "not a module's name"),
        (["resolve", "x" * 300], "at most 100 characters"),
        (["resolve", "count@^x"], "has no order"),
        (["resolve", "count", "--locked"], "no gitml.lock"),
        (["resolve", "team:count"], "no registry 'team'"),
        (["disable", "count@1.1.0", "--reason", "r"], "name another: --default 1.0.0, or --clear-default"),
        (["set-default", "count", "7"], "has no version 7"),
        (["deprecate", "count@1.0.0"], "missing option '--reason'"),
        (["get", "count@1.0.0", "mods"], "something already"),
        (["publish", "elsewhere"], "no such folder"),
        (["publish", "mods"], "no module.yaml in this folder"),
        (["publish", "mods/count", "--at", "nowhere"], "unknown revision"),
        (["publish", "mods/count", "--version", "../1"], "asked to publish ../1"),
        (["lst"], "did you mean 'list'?"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_two(
    project: Project, publish: Publish, words: list[str], says: str
) -> None:
    publish("1.0.0")
    publish("1.1.0", "--default")
    done = project.gitml("module", *words, code=2)
    assert says in done.err
    assert len(done.err.splitlines()) == 1
    assert done.out == ""


def test_every_mistake_of_a_module_file_is_told_with_its_line(project: Project) -> None:
    (project.root / "mods/count/module.yaml").write_text(
        "name: count\nrn: x\ninputs: {a: fle}\nrun: t ${{ inputs.b }}\n"
    )
    done = project.gitml("module", "check", "mods/count", code=2)
    assert [line.split(": ")[1] for line in done.err.splitlines()] == [
        "mods/count/module.yaml:2:1", "mods/count/module.yaml:3:13", "mods/count/module.yaml:4:8",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("environment", "needs"),
    [
        ("{venv: .venv}", "a virtual environment .venv in the project that uses it"),
        ("{host: [torch, numpy]}", "numpy, torch installed on every machine"),
        ("host", None),
    ],
)
def test_what_users_of_a_module_install_themselves_is_said_when_it_is_checked_and_published(
    project: Project, publish: Publish, environment: str, needs: str | None
) -> None:
    with open(project.root / "mods/count/module.yaml", "a") as file:
        file.write(f"environment: {environment}\n")
    for answer in (project.gitml("module", "check", "mods/count"), publish("1.0.0")):
        assert ("the module contains no lock of its packages: it needs" in answer.err) == (needs is not None)
        assert needs is None or needs in answer.err
    (note,) = project.gitml("module", "publish", "mods/count", "--json").data["notes"][1:] if needs else ("",)
    assert (needs or "") in note


def test_uncommitted_changes_and_a_version_that_would_change_are_refused(project: Project, publish: Publish) -> None:
    publish("1.0.0")
    with open(project.root / "mods/count/count.py", "a") as file:
        file.write("# more\n")
    assert "uncommitted changes" in project.gitml("module", "publish", "mods/count", code=2).err
    project.commit()
    assert "a version never changes" in project.gitml("module", "publish", "mods/count", code=2).err
    assert project.gitml("module", "publish", "mods/count", "--at", "HEAD~1", "--json").data["new"] is False


def test_a_breaking_change_needs_a_new_major_version(project: Project, publish: Publish) -> None:
    publish("1.0.0")
    path = project.root / "mods/count/module.yaml"
    path.write_text(path.read_text().replace("  counts: metrics", "  counts: file"))
    refused = publish("1.1.0", code=2)
    assert "output 'counts' was metrics, is file from 1.0.0 to 1.1.0" in refused.err
    assert "--allow-breaking" in refused.err
    publish("1.1.0", "--allow-breaking")
    assert project.gitml("module", "diff", "count", "1.0.0", "1.1.0", "--exit-code", code=1).out.startswith("breaking")


def test_what_is_disabled_is_refused_unless_it_is_allowed_and_the_past_stays(
    project: Project, publish: Publish
) -> None:
    publish("1.0.0")
    publish("1.1.0", "--default")
    before = project.gitml("module", "resolve", "count", "--as-of", "2999-01-01", "--json").data
    record = project.git("rev-parse", "refs/gitml/registry")
    project.gitml("module", "disable", "count@1.1.0", "--reason", "leaks", "--default", "1.0.0")
    assert project.gitml("module", "resolve", "count", "--json").data["version"] == "1.0.0"
    assert "is disabled: leaks" in project.gitml("module", "resolve", "count@1.1.0", code=2).err
    allowed = project.gitml("module", "resolve", "count@1.1.0", "--allow-disabled", "--json").data
    assert allowed["state"] == "disabled"
    assert project.gitml("module", "resolve", "count", "--as-of", record, "--json").data == before
    assert project.gitml("module", "enable", "count@1.1.0").err == "count@1.1.0 is active\n"


def test_files_are_given_back_and_everything_verified(project: Project, publish: Publish) -> None:
    publish("1.0.0")
    project.gitml("module", "get", "count", "out")
    assert (project.root / "out/count.py").read_bytes() == (project.root / "mods/count/count.py").read_bytes()
    assert project.gitml("module", "verify").out == "1 event, 1 version checked\n  1 record unsigned\n"
    assert "not signed" in project.gitml("module", "verify", "--require-signed", code=7).err
    assert project.gitml("module", "rebuild", "--json").data == {"events": 1}


def test_a_damaged_registry_is_told_with_exit_code_three(project: Project, publish: Publish) -> None:
    publish("1.0.0")
    tree = project.git("rev-parse", "HEAD^{tree}")
    commit = project.git("commit-tree", "-p", project.git("rev-parse", "refs/gitml/registry"), "-m", "x", tree)
    project.git("update-ref", "refs/gitml/registry", commit)
    found = project.gitml("module", "verify", code=3)
    assert "removed by the record" in found.out


def test_a_deleted_registry_is_restored_and_that_is_said(project: Project, publish: Publish) -> None:
    publish("1.0.0")
    before = project.gitml("module", "list", "--json").data
    tip = project.git("rev-parse", "refs/gitml/registry")
    project.git("update-ref", "-d", "refs/gitml/registry")
    found = project.gitml("module", "list", "--json")
    assert found.data == before
    assert found.err == f"warning: refs/gitml/registry was restored to {tip[:12]}: it was deleted\n"
    assert project.git("rev-parse", "refs/gitml/registry") == tip


@pytest.mark.slow
def test_of_two_who_publish_one_version_the_second_is_told(tmp_path: Path, project: Project, publish: Publish) -> None:
    project.git("init", "-q", "--bare", str(tmp_path / "hub.git"))
    project.git("remote", "add", "origin", str(tmp_path / "hub.git"))
    other_root = tmp_path / "other"
    project.git("clone", "-q", str(project.root), str(other_root))
    other = Project(other_root, tmp_path)
    other.git("remote", "set-url", "origin", str(tmp_path / "hub.git"))
    publish("1.0.0")
    other.gitml("module", "init", "mods/count", "-q")
    other.write("mods/count/more.txt", "more\n")
    other.commit()
    other.gitml("module", "publish", "mods/count", "--version", "0.1.0")
    other.gitml("module", "push")
    path = project.root / "mods/count/module.yaml"
    assert "1 event sent" in project.gitml("module", "push").err
    path.write_text(path.read_text().replace("version: 1.0.0", "version: 0.1.0"))
    project.git("commit", "-qam", "back")
    assert "a version never changes" in project.gitml("module", "publish", "mods/count", code=2).err
    publish("1.1.0")
    other.gitml("module", "pull")
    other.write("mods/count/module.yaml", (project.root / "mods/count/module.yaml").read_text())
    other.commit()
    other.gitml("module", "publish", "mods/count")
    project.gitml("module", "push")
    lost = other.gitml("module", "push", code=2)
    assert "your publish of count 1.1.0 is withdrawn: count 1.1.0 is published with other content" in lost.err


@pytest.mark.slow
def test_a_shared_registry_is_named_in_the_settings_and_works_without_its_remote(
    tmp_path: Path, project: Project, publish: Publish
) -> None:
    publish("1.0.0")
    user_root = tmp_path / "user"
    user_root.mkdir()
    user = Project(user_root, tmp_path)
    user.git("init", "-q", "-b", "main")
    user.write("gitml.yaml", f"registries: {{team: {project.root}}}\n")
    missing = user.gitml("module", "resolve", "team:count@^1", code=2)
    assert "gitml module pull --registry team" in missing.err, "who only looks copies no registry from elsewhere"
    user.gitml("module", "pull", "--registry", "team")
    assert user.gitml("module", "resolve", "team:count@^1", "--json").data["version"] == "1.0.0"
    publish("1.1.0")
    assert user.gitml("module", "pull", "--registry", "team", "--json").data["received"] == 1
    project.root.rename(tmp_path / "gone")
    assert user.gitml("module", "resolve", "team:count@^1", "--json").data["version"] == "1.1.0"
    assert user.gitml("module", "pull", "--registry", "team", code=6).err.startswith(
        "gitml: no Git repository is there"
    )
    assert user.gitml("module", "list", "--json").data == []


def test_resolving_loads_nothing_heavy_and_starts_no_git(project: Project, publish: Publish, tmp_path: Path) -> None:
    publish("1.0.0")
    project.gitml("module", "resolve", "count")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\nexit 1\n")
    (tmp_path / "bin/git").chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "gitml", "module", "resolve", "count"],
        cwd=project.root,
        env={**project.env, "PATH": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert loaded & {"sqlmodel", "sqlalchemy", "semver", "yaml", "pydantic", "dulwich", "git", "rich"} == set()
    assert not (tmp_path / "started").exists()


def test_a_module_is_tried_alone_on_files_from_anywhere_and_nothing_is_recorded(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "some text").write_text("the one\nand the other\nneither\n")
    (tmp_path / "skip").write_text("neither\n")
    inputs = ["-I", f"text={tmp_path}/some text"]
    done = project.gitml("module", "run", "mods/count", *inputs, "-S", "word=and", "--json").data
    assert (done["outcome"], done["metrics"]) == ("done", {"lines": 3.0, "with_word": 1.0})
    assert (project.root / done["outputs"]["counts"]).read_text() == '{"lines": 3, "with_word": 1}'
    inputs += ["-I", f"ignore={tmp_path}/skip", "--out", "elsewhere"]
    assert "lines      2" in project.gitml("module", "run", "mods/count", *inputs).out
    assert (project.root / "elsewhere/counts").exists()
    assert project.git("for-each-ref", "refs/gitml") == ""
    assert sorted(path.name for path in (project.root / ".git/gitml/tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 2, "module count needs input 'text' (file)"),
        (["-I", "txt=a"], 2, "nothing is there for input 'txt'"),
        (["-I", "text=mods", "-I", "txt=mods"], 2, "module count has no input 'txt' (did you mean 'text'?)"),
        (["-I", "text=mods"], 2, "input 'text' must be a file"),
        (["-I", "text=mods/count/count.py", "-S", "wrd=x"], 2, "unknown parameter 'wrd' (did you mean 'word'?)"),
        (["-I", "text=mods/count/count.py", "-S", "word=$(touch x); boom", "--out", "/dev/null/x"], 2, "(/dev/null)"),
    ],
)
def test_a_try_that_does_not_fit_the_module_is_refused(
    project: Project, words: list[str], code: int, says: str
) -> None:
    assert says in project.gitml("module", "run", "mods/count", *words, code=code).err
    assert not (project.root / "x").exists()


def test_a_try_that_fails_shows_what_the_module_wrote(project: Project) -> None:
    project.write("mods/count/count.py", "print('so far', flush=True)\nraise SystemExit(3)\n")
    failed = project.gitml("module", "run", "mods/count", "-I", "text=mods/count/count.py", code=1)
    assert failed.err.splitlines()[0] == "so far"
    assert "exit status 3" in failed.err
    assert not (project.root / "count-out").exists()

"""Submodules: their files at the recorded commit are code and input like the rest, and what is missing is named with the mend."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from gitml.core.model.action import Action
from gitml.engine.planning.load import load
from gitml.engine.planning.planner import make_plan
from gitml.errors import GitmlError
from gitml.git.objects.bundle import open_bundle, write_bundle
from gitml.git.objects.loose_objects import LooseObjects
from gitml.git.objects.reader import Objects
from gitml.git.objects.source import CommitSource
from gitml.git.objects.submodules import object_folders
from gitml.git.repository import discover
from gitml.git.revisions import resolve_commit
from tests.kit.projects.command_line import Project as CommandLine
from tests.kit.projects.project import Project, outcomes
from tests.kit.projects.repository import Repository

LIBRARY = {
    "lib/__init__.py": "",
    "lib/core.py": "X = 'core'\n",
    "data/rows.csv": "1\n",
    "data/more.csv": "2\n",
    "tool.sh": "echo tool\n",
}
PIPELINE = """\
inputs: {rows: vendor/library/data/rows.csv, all: vendor/library/data/, whole: vendor/}
env: {PYTHONPATH: vendor/library}
steps:
  code: {run: python3 src/use.py}
  glob: {run: ls vendor/library/data, code: ["vendor/library/**/*.csv"]}
  file: {run: "cat ${{ inputs.rows }}"}
  folder: {run: "ls ${{ inputs.all }}"}
  above: {run: "cat ${{ inputs.whole }}/library/data/more.csv"}
  script: {run: sh vendor/library/tool.sh}
"""
FILES = {"pipelines/p.yaml": PIPELINE, "src/use.py": "from lib.core import X\nprint(X)\n"}
ALLOW = ("-c", "protocol.file.allow=always")


def with_submodule(path: Path, files: dict[str, str] | None = None) -> Project:
    """A project with a submodule in ``vendor/library``, whose repository is beside it."""
    library = Repository(path / "library")
    library.commit("library", LIBRARY)
    project = Project(path / "r", FILES if files is None else files)
    project.repo.git(*ALLOW, "submodule", "add", "-q", library.path, "vendor/library")
    project.repo.commit("with a submodule")
    return project


def action_of(project: Project, step: str, rev: str | None = None) -> Action:
    """The Action of a step that can be planned."""
    found = project.plan(None, rev).decisions[step]
    assert found.action is not None, found.reason
    return found.action


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return with_submodule(tmp_path)


def test_its_files_are_code_and_input_with_the_keys_of_files_that_lie_there(project: Project, tmp_path: Path) -> None:
    vendored = Project(tmp_path / "v", {**FILES, **{f"vendor/library/{name}": text for name, text in LIBRARY.items()}})
    assert outcomes(project.run()) == dict.fromkeys(("code", "glob", "file", "folder", "above", "script"), "executed")
    assert outcomes(project.run(rev="HEAD")) == dict.fromkeys(
        ("code", "glob", "file", "folder", "above", "script"), "reused"
    )
    for step in ("code", "glob", "file", "folder", "script"):
        assert action_of(project, step).key() == action_of(vendored, step).key(), step
    code = [file.path for file in action_of(project, "code").code]
    assert code == ["src/use.py", "vendor/library/lib/__init__.py", "vendor/library/lib/core.py"]


def test_where_it_is_not_here_the_error_names_it_and_the_mend(project: Project, tmp_path: Path) -> None:
    ran = project.run()
    Repository(tmp_path / "bare.git", bare=True)
    project.repo.git("remote", "add", "origin", str(tmp_path / "bare.git"))
    project.repo.git("push", "-q", "origin", "main", "refs/gitml/*:refs/gitml/*")
    project.repo.git("clone", "-q", str(tmp_path / "bare.git"), str(tmp_path / "mate"))
    mate = Project(tmp_path / "mate")
    mate.repo.git("fetch", "-q", "origin", "refs/gitml/runs:refs/gitml/runs")
    decisions = mate.plan().decisions
    for step, said in (
        ("code", "vendor/library is a submodule whose commit is not here"),
        ("file", "vendor/library is a submodule whose commit is not here"),
        ("above", "input 'vendor' holds the submodule 'library', whose commit is not here"),
    ):
        assert said in decisions[step].reason, step
        assert decisions[step].hint == "git submodule update --init --recursive vendor/library"
    mate.repo.git(*ALLOW, "submodule", "update", "-q", "--init", "--recursive", "vendor/library")
    assert {name: decision.kind for name, decision in mate.plan().decisions.items()} == dict.fromkeys(
        outcomes(ran), "reuse"
    )


def test_nothing_of_it_is_taken_for_the_repositorys_own(project: Project) -> None:
    project.run()
    inner = Repository(project.repo.file("vendor/library")).git("rev-parse", "HEAD")
    with project.workspace() as ws:
        assert ws.objects.header(inner) is None
        assert ws.objects.files.header(inner) is not None
        with pytest.raises(GitmlError):
            resolve_commit(ws.objects, ws.location, inner)
    line = CommandLine(Path(project.repo.path))
    assert line.do("fsck").code == 0
    assert line.do("gc").code == 0
    assert set(outcomes(project.run()).values()) == {"reused"}


def test_the_commit_that_is_checked_out_in_it_counts_and_what_changes_in_it_is_said(project: Project) -> None:
    project.run()
    inner = Repository(project.repo.file("vendor/library"))
    inner.write({"lib/core.py": "X = 'changed'\n"})
    inner.write({"untracked.txt": ""})
    with project.workspace() as ws:
        plan = make_plan(ws, load(ws, None, None))
    said = "submodule vendor/library has changes that are not committed in it, which steps don't see: commit them there"
    assert [text for text in plan.warnings if "submodule" in text] == [said]
    assert {decision.kind for decision in plan.decisions.values()} == {"reuse"}
    inner.commit("changed")
    run = project.run()
    assert run.dirty
    assert outcomes(run)["code"] == "executed"
    assert outcomes(run)["file"] == "reused"
    with project.workspace() as ws:
        assert not [text for text in make_plan(ws, load(ws, None, None)).warnings if "submodule" in text]


def test_a_submodule_that_nobody_looks_into_is_not_spoken_of(tmp_path: Path) -> None:
    project = with_submodule(tmp_path, {"pipelines/p.yaml": "steps:\n  a: {run: cat src/x}\n", "src/x": ""})
    Repository(project.repo.file("vendor/library")).write({"lib/core.py": "X = 'changed'\n"})
    assert project.plan().warnings == ()
    assert outcomes(project.run()) == {"a": "executed"}


def test_submodules_in_submodules_and_those_of_old_clones(tmp_path: Path) -> None:
    deep = Repository(tmp_path / "deep")
    deep.commit("deep", {"d.txt": "deep\n"})
    library = Repository(tmp_path / "library")
    library.git(*ALLOW, "submodule", "add", "-q", deep.path, "deep")
    library.commit("library", LIBRARY)
    text = "inputs: {d: in/side/deep/d.txt, all: in}\nsteps:\n  a: {run: 'cat ${{ inputs.d }}'}\n  b: {run: 'cat ${{ inputs.all }}/side/deep/d.txt'}\n"
    project = Project(tmp_path / "r", {"pipelines/p.yaml": text})
    project.repo.git(*ALLOW, "submodule", "add", "-q", library.path, "in/side")
    project.repo.commit("one")
    reasons = [decision.reason for decision in project.plan().decisions.values()]
    assert reasons[0].startswith("in/side/deep is a submodule whose commit is not here")
    assert "holds the submodule 'side/deep'" in reasons[1]
    project.repo.git(*ALLOW, "submodule", "update", "-q", "--init", "--recursive")
    assert outcomes(project.run()) == {"a": "executed", "b": "executed"}
    inner = project.repo.file("in/side/.git")
    os.unlink(inner)
    shutil.move(project.repo.file(".git/modules/in/side"), inner)
    project.repo.git("config", "-f", os.path.join(inner, "config"), "--unset", "core.worktree")
    assert outcomes(project.run(rev="HEAD", reuse=False)) == {"a": "executed", "b": "executed"}


def test_a_link_in_it_that_leads_beside_it_is_followed_as_in_the_work_tree(tmp_path: Path) -> None:
    text = "steps:\n  a: {run: cat vendor/library/out, code: [vendor/library/out]}\n  b: {run: cat vendor/library/far, code: [vendor/library/far]}\n"
    project = with_submodule(tmp_path, {"pipelines/p.yaml": text, "src/x": "x"})
    inner = Repository(project.repo.file("vendor/library"))
    os.symlink("../../src/x", inner.file("out"))
    os.symlink("../../../out", inner.file("far"))
    inner.commit("links")
    project.repo.commit("links")
    decisions = project.plan().decisions
    assert "leads out of the tree" in decisions["b"].reason
    assert outcomes(project.run(wanted=("a",))) == {"a": "executed"}


def test_a_repository_in_the_sandbox_has_it_as_a_submodule(tmp_path: Path) -> None:
    text = """\
steps:
  a:
    shell: sh
    run: 'git ls-files -s vendor > ${{ outputs.o }}; git status --porcelain -uno >> ${{ outputs.o }}; cat vendor/library/tool.sh'
    repository: true
    outputs: {o: file}
"""
    project = with_submodule(tmp_path, {"pipelines/p.yaml": text})
    inner = Repository(project.repo.file("vendor/library")).git("rev-parse", "HEAD")
    run = project.run()
    assert outcomes(run) == {"a": "executed"}
    assert project.output(run.steps[0]).decode().split() == ["160000", inner, "0", "vendor/library"]


HOSTILE = """\
[submodule "../../../../outside"]
	path = ../outside
	url = ./x
[submodule "loop"]
	path = loop
	url = ./x
[submodule "git"]
	path = .git
[submodule "whole"]
	path = /
"""


def test_what_gitmodules_says_leads_nowhere_else(tmp_path: Path) -> None:
    outside = Repository(tmp_path / "outside")
    commit = outside.commit("outside", {"secret.txt": "s"})
    text = "inputs: {s: sub/secret.txt}\nsteps:\n  a: {run: 'cat ${{ inputs.s }}'}\n"
    project = Project(tmp_path / "r", {"pipelines/p.yaml": text, ".gitmodules": HOSTILE})
    os.symlink("../outside", project.repo.file("loop"))
    project.repo.git("update-index", "--add", "--cacheinfo", f"160000,{commit},sub")
    project.repo.git("commit", "-q", "-m", "a submodule that .gitmodules does not know")
    location = discover(project.repo.path, project.environ)
    assert object_folders(location) == []
    decision = project.plan(None, "HEAD").decisions["a"]
    assert "sub is a submodule whose commit is not here" in decision.reason
    modules = Path(project.repo.file(".git/modules"))
    modules.mkdir()
    (modules / "loop").symlink_to("..")
    (modules / "out").symlink_to(outside.file(".git"))
    assert object_folders(location) == []


def test_a_submodule_whose_id_is_of_no_commit_is_not_here(project: Project) -> None:
    tree = Repository(project.repo.file("vendor/library")).git("rev-parse", "HEAD^{tree}")
    project.repo.git("update-index", "--cacheinfo", f"160000,{tree},vendor/library")
    project.repo.git("commit", "-q", "-m", "x")
    assert "is a submodule whose commit is not here" in project.plan(None, "HEAD").decisions["file"].reason


def test_a_bundle_for_another_machine_has_it_whole(project: Project, tmp_path: Path) -> None:
    location = discover(project.repo.path, project.environ)
    with Objects(location) as objects:
        commit = project.repo.git("rev-parse", "HEAD")
        write_bundle(location, objects, commit, (), str(tmp_path / "b"))
    assert open_bundle(str(tmp_path / "b"), str(tmp_path / "there")) == commit
    there = discover(str(tmp_path / "there"), {**project.environ, "GIT_DIR": str(tmp_path / "there")})
    with Objects(there) as objects:
        source = CommitSource(objects, commit)
        found = source.lookup("vendor/library/lib/core.py")
        assert found is not None
        assert source.read(found.oid) == b"X = 'core'\n"


def test_objects_of_a_machine_without_a_repository_have_it_as_a_folder(project: Project, tmp_path: Path) -> None:
    location = discover(project.repo.path, project.environ)
    shelf = LooseObjects(str(tmp_path / "shelf"))
    with Objects(location) as objects:
        above = CommitSource(objects, project.repo.git("rev-parse", "HEAD")).lookup("vendor")
        assert above is not None
        (entry,) = objects.tree(above.oid).values()
        for oid in (above.oid, entry.oid):
            kind, size = objects.files.kind_size(oid)
            content = f"{kind} {size}\0".encode() + objects.files.read(oid)
            writer = shelf.incoming(oid, len(content))
            writer.write(content)
            writer.commit()
        assert shelf.folder(above.oid) == objects.files.folder(above.oid)
        assert shelf.tree(above.oid) == objects.tree(above.oid)


def test_what_git_lfs_has_of_it_is_found_in_its_own_folder(tmp_path: Path) -> None:
    content = b"large\n"
    oid = hashlib.sha256(content).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"
    text = "inputs: {x: vendor/library/big.bin}\nsteps:\n  a: {run: 'cp ${{ inputs.x }} ${{ outputs.o }}', outputs: {o: file}}\n"
    project = with_submodule(tmp_path, {"pipelines/p.yaml": text})
    Repository(project.repo.file("vendor/library")).commit("big", {"big.bin": pointer})
    project.repo.commit("big")
    place = Path(project.repo.file(f".git/modules/vendor/library/lfs/objects/{oid[:2]}/{oid[2:4]}/{oid}"))
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    assert project.output(project.run().steps[0]) == content

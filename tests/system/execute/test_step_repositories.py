"""`repository: true`: a step finds a Git repository of its commit, which says of it what the user's own repository says."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.conftest import Project

PIPELINE = """\
inputs: {raw: data/raw.txt}
steps:
  ask:
    shell: sh
    run: |
      git rev-parse HEAD
      git describe --tags --dirty --always
      git status --short
      git diff --no-color | grep '^[-+][^-+]' || true
      git log --format=%s
      cat ${{ inputs.raw }} src/*.txt > ${{ outputs.out }}
    code: [src/]
    repository: true
    outputs: {out: {type: file, path: out/made.txt}}
  plain: {run: cat README, code: [README]}
"""
FILES = {
    "pipelines/ask.yaml": PIPELINE,
    "src/a.txt": "a\n",
    "src/b.txt": "b\n",
    "data/raw.txt": "raw\n",
    "out/made.txt": "as committed\n",
    "README": "read me\n",
    ".gitignore": "*.log\n",
}


def repository_project(project: Project) -> str:
    """Commits twice; the second commit."""
    for path, text in FILES.items():
        project.write(path, text)
    project.commit("before")
    project.write("README", "read me again\n")
    return project.commit("one")


def said(project: Project, *words: str, step: str = "ask") -> list[str]:
    """The lines of a step's log in a run in which it must be performed."""
    run = project.run(*words)
    (outcome,) = [one["outcome"] for one in run["steps"] if one["name"] == step]
    assert outcome == "executed"
    return project.gitml("logs", run["run"], step).out.rstrip("\n").split("\n")


def test_it_says_what_the_commit_says_and_counts_by_commit_and_tags(project: Project) -> None:
    commit = repository_project(project)
    short = project.git("rev-parse", "--short", "HEAD")
    assert said(project, "ask") == [commit, short, "one"]
    assert [step["outcome"] for step in project.run("ask")["steps"]] == ["reused", "reused"]

    # a tag at the commit counts, one elsewhere does not
    project.git("tag", "elsewhere", "HEAD~1")
    assert project.run("ask")["steps"][0]["outcome"] == "reused"
    project.git("tag", "-a", "v1", "-m", "a tag")
    project.git("tag", "-a", "nested", "v1", "-m", "a tag of a tag")
    assert "tag v1 added" in project.gitml("explain", "ask", "ask").out
    assert said(project, "ask") == [commit, "v1", "one"]

    # so does each commit, whatever it changes
    project.write("unused", "u\n")
    later = project.commit("two")
    why = project.gitml("explain", "ask", "ask").out
    assert f"commit: {commit[:12]} -> {later[:12]}" in why
    assert said(project, "ask")[0] == later
    assert project.run("ask", "--at", "v1")["steps"][0]["outcome"] == "reused"
    assert project.gitml("reproduce", "latest").out.startswith("identical")
    # outside of such steps nothing changed
    assert project.run("ask")["steps"][1]["outcome"] == "reused"


def test_uncommitted_work_is_a_change_of_the_last_commit_the_same_in_plan_run_and_snapshot(project: Project) -> None:
    commit = repository_project(project)
    project.git("tag", "v1")
    assert said(project, "ask") == [commit, "v1", "one"]
    project.write("README", "not seen by the step\n")
    project.write("new.txt", "nor this\n")
    assert project.run("ask", "ask")["steps"][0]["outcome"] == "reused", "of other files a change is not seen"

    project.write("src/a.txt", "changed\n")
    (project.root / "src/b.txt").unlink()
    project.write("src/c.txt", "untracked\n")
    assert "code src changed" in project.gitml("plan", "ask").out
    run = project.run("ask")
    lines = project.gitml("logs", run["run"], "ask").out.splitlines()
    changes = [" M src/a.txt", " D src/b.txt", "?? src/c.txt"]
    assert lines == [commit, "v1-dirty", *changes, "-a", "+changed", "-b", "one"]
    shown = project.gitml("show", run["run"], "--json").data
    assert shown["commit"] != commit
    # the snapshot that the run is of means the same repository
    assert [step["outcome"] for step in project.run("ask", "--at", shown["commit"])["steps"]] == ["reused", "reused"]
    assert project.gitml("reproduce", run["run"]).out.startswith("identical")


def test_nothing_in_it_leads_to_the_users_own_repository(project: Project) -> None:
    commit = repository_project(project)
    project.write("pipelines/reach.yaml", """\
steps:
  reach:
    shell: sh
    run: |
      git cat-file -e HEAD~1 || echo no parent
      git cat-file -e HEAD:README || echo no content
      git cat-file -e HEAD:src/a.txt && echo own content
      git ls-files -t | tail -n 2
      ls .git/objects/info; ls .git/hooks || true; git remote; git for-each-ref
      git -C .. rev-parse --git-dir 2> .gitml/said || echo none above
      echo x > ${{ outputs.o }}
    code: [src/]
    repository: true
    outputs: {o: file}
  left: {shell: sh, run: "git rev-parse HEAD; exit 3", code: [src/]}
  dvc: {shell: sh, run: "echo 'dvc.exceptions.NotDvcRepoError: you are not inside of a DVC repository'; exit 3", repository: true}
""")  # fmt: skip
    project.git("branch", "other")
    lines = said(project, "reach", "reach", step="reach")
    kept = [line for line in lines if not line.startswith(("fatal:", "ls:"))]
    assert kept == ["no parent", "no content", "own content", "H src/prepare.sh", "H src/train.sh", "none above"]
    assert project.git("rev-parse", "HEAD") == commit
    project.write(".dvc/config", "")
    failed = project.gitml("run", "reach", "left", "dvc", "--keep-going", code=1)
    assert "repository: true gives the step a repository of its commit" in failed.out + failed.err
    assert ".dvc/config is in the commit but not declared: add it to code: of step dvc" in failed.out + failed.err


def test_what_gitml_puts_in_the_place_of_a_file_is_no_change(project: Project) -> None:
    content = b"large\n" * 1000
    name = hashlib.sha256(content).hexdigest()
    place = project.root / ".git/lfs/objects" / name[:2] / name[2:4]
    place.mkdir(parents=True)
    (place / name).write_bytes(content)
    project.write("pipelines/own.yaml", """\
params: {from: params.yaml}
steps:
  files:
    shell: sh
    run: git status --porcelain; wc -c < data/raw.bin; cat params.yaml; git describe --always --dirty > ${{ outputs.o }}
    code: [data/]
    params: [lr]
    repository: true
    outputs: {o: file}
""")  # fmt: skip
    project.write("params.yaml", "lr: 0.1\nother: 5\n")
    project.write(
        "data/raw.bin", f"version https://git-lfs.github.com/spec/v1\noid sha256:{name}\nsize {len(content)}\n"
    )
    project.write(".gitattributes", "data/*.bin filter=lfs -text\n")
    project.git("config", "filter.lfs.clean", "cat")
    commit = project.commit("own forms")
    assert said(project, "own", "-S", "lr=0.3", step="files") == ["6000", "lr: 0.3"]
    project.gitml("checkout", "latest:files.o", "made")
    assert commit.startswith((project.root / "made").read_text().strip())


@pytest.mark.slow
def test_a_notebook_counts_as_changed_just_when_its_code_is(fresh: Project) -> None:
    fresh.env["PATH"] = f"{os.path.dirname(sys.executable)}:{fresh.env['PATH']}"
    asks = "import os, subprocess\nopen(os.environ['GITML_OUTPUT_O'], 'wb').write(subprocess.check_output(['git', 'status', '--short']))"

    def book(words: str, code: str) -> str:
        text = {"cell_type": "markdown", "metadata": {}, "source": words}
        cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": 3, "source": code}
        return json.dumps({"cells": [text, cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 4})

    pipeline = "steps: {book: {notebook: nb/status.ipynb, repository: true, outputs: {o: file}}}\n"
    fresh.write("pipelines/book.yaml", pipeline)
    fresh.write("nb/status.ipynb", book("words", asks))
    fresh.write(".gitattributes", "*.bin filter=lfs\n")
    fresh.commit()
    fresh.run()
    fresh.gitml("checkout", "latest:book.o", "status")
    assert (fresh.root / "status").read_text() == ""
    fresh.write("nb/status.ipynb", book("other words", asks))
    assert fresh.run()["steps"][0]["outcome"] == "reused"
    fresh.write("nb/status.ipynb", book("words", f"{asks}  # changed"))
    fresh.run()
    fresh.gitml("checkout", "latest:book.o", "status", "--force")
    assert (fresh.root / "status").read_text() == " M nb/status.ipynb\n"


@pytest.mark.parametrize("kind", ["sha256", "linked", "shallow", "partial", "bare"])
def test_repositories_of_every_kind_give_it(kind: str, project: Project, tmp_path: Path) -> None:
    if kind == "sha256":
        shutil.rmtree(project.root / ".git")
        project.git("init", "-q", "--object-format=sha256", "--initial-branch=main")
    commit = repository_project(project)
    project.git("config", "uploadpack.allowFilter", "true")
    place = tmp_path / "other"
    make = {
        "linked": ["worktree", "add", "-q", str(place)],
        "shallow": ["clone", "-q", "--depth=1", f"file://{project.root}", str(place)],
        "partial": ["clone", "-q", "--filter=tree:0", "--no-checkout", f"file://{project.root}", str(place)],
        "bare": ["clone", "-q", "--bare", str(project.root), str(place)],
    }  # fmt: skip
    at: tuple[str, ...] = ()
    if kind in make:
        subprocess.run(["git", *make[kind]], cwd=project.root, env=project.env, check=True)
        project.root = place
        at = ("--at", "HEAD") if kind in ("bare", "partial") else ()
    env = {"GITML_TRUST": "run"}
    run = project.gitml("run", "--json", "ask", "ask", *at, env=env).data
    assert [step["outcome"] for step in run["steps"]] == ["executed"]
    log = project.gitml("logs", run["run"], "ask").out.splitlines()
    assert (log[0], log[2:]) == (commit, ["one"])
    assert project.gitml("run", "--json", "ask", "ask", *at, env=env).data["steps"][0]["outcome"] == "reused"


def test_without_a_commit_it_is_refused(fresh: Project) -> None:
    fresh.write("pipelines/ask.yaml", "steps: {ask: {run: git status, repository: true}}\n")
    refused = fresh.gitml("run", "ask", "ask", code=2)
    assert "repository: true needs a commit, and nothing is committed yet" in refused.err


def test_a_project_below_the_top_has_it_at_the_top_and_runs_in_its_folder(fresh: Project) -> None:
    fresh.write("ml/gitml.yaml", "")
    fresh.write(
        "ml/pipelines/ask.yaml",
        "steps:\n  ask:\n    shell: sh\n    repository: true\n"
        "    run: git rev-parse HEAD; git rev-parse --show-prefix; git status --porcelain; cat data.txt; echo x > ${{ outputs.o }}\n"
        "    code: [data.txt]\n    outputs: {o: {type: file, path: out.txt}}\n",
    )
    fresh.write("ml/data.txt", "data\n")
    fresh.commit()
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=fresh.root, env=fresh.env, check=True, capture_output=True, text=True
    ).stdout.strip()
    run = fresh.gitml("run", "--json", "ml:ask").data
    assert fresh.gitml("logs", run["run"], "ask").out.splitlines() == [commit, "ml/", "data"]
    assert fresh.gitml("run", "--json", "ml:ask").data["steps"][0]["outcome"] == "reused"
    (fresh.root / "ml/data.txt").write_text("other\n")
    dirty = fresh.gitml("run", "--json", "ml:ask").data
    assert fresh.gitml("logs", dirty["run"], "ask").out.splitlines() == [commit, "ml/", " M ml/data.txt", "other"]

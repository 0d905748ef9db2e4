"""What a newer gitml wrote is named and left as it is: the command says so, and nothing of it changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from gitml.core.config.remotes import decode_manifest
from gitml.core.model.digest import from_hex
from gitml.records.layout import record_folder
from tests.kit.attacks.forged_records import another_id, forge
from tests.kit.projects.command_line import Project
from tests.kit.projects.repository import Repository
from tests.kit.projects.team import FILES, Team

RUNS = "refs/gitml/runs"
REMOTE = "remotes: [{name: store, url: file://%s}]\n"


class Newer(NamedTuple):
    """A file of a newer gitml: how it comes to be, a command that needs it, how that ends and what it says."""

    make: Callable[[Project], Path]
    command: tuple[str, ...]
    code: int
    says: str


def lock(person: Project) -> Path:
    path = person.path / "gitml.lock"
    path.write_text(json.dumps({"format": 3, "modules": {}, "datasets": {}}))
    return path


def submission(person: Project) -> Path:
    path = person.path / ".git/gitml/submitted/00000000000000aa.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"format": 3, "run": "00000000000000aa", "targets": ["big"]}))
    return path


def hook(person: Project) -> Path:
    path = person.path / ".git/hooks/pre-commit"
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n# gitml hook 3: pre-commit. Written by `gitml hooks install`.\n")
    path.chmod(0o755)
    return path


def manifest(person: Project) -> Path:
    person.do("push")
    assert list((person.path.parent / "store").rglob("*")), person.do("push", "-v").err
    (path,) = (person.path.parent / "store/trees").rglob("??/*")
    path.chmod(0o644)
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 3, "pieces": []}))
    return path


def gc_note(person: Project) -> Path:
    person.do("push")
    path = person.path.parent / "store/gc.json"
    path.chmod(0o644)
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 3}))
    return path


CASES = {
    "gitml.lock": Newer(lock, ("lock",), 2, "lock file of format 3, written by a newer gitml"),
    "a submission": Newer(submission, ("collect",), 2, "noted in format 3, by a newer gitml"),
    "a hook, installed over": Newer(hook, ("hooks", "install"), 2, "hook of format 3, written by a newer gitml"),
    "a hook, uninstalled": Newer(hook, ("hooks", "uninstall"), 2, "hook of format 3, written by a newer gitml"),
    "a manifest": Newer(manifest, ("fsck", "--remote", "store", "--repair"), 6, "manifest of format 3"),
    "the notes of gc": Newer(gc_note, ("gc", "--remote", "store"), 6, "notes of gc of format 3"),
}
PIPELINE = """\
name: say
params: {who: world}
steps:
  say:
    run: python3 say.py ${{ outputs.said }} ${{ params.who }}
    outputs: {said: directory}
"""
SAY = "import os, sys\nos.makedirs(sys.argv[1])\nopen(sys.argv[1] + '/a', 'w').write(sys.argv[2] * 2000000)\n"


@pytest.fixture
def person(tmp_path: Path) -> Project:
    config = REMOTE % (tmp_path / "store")
    found = Project(tmp_path / "person", {**FILES, "pipelines/say.yaml": PIPELINE, "say.py": SAY, "gitml.yaml": config})
    hub = Repository(tmp_path / "hub.git", bare=True)
    found.repo.git("remote", "add", "origin", hub.path)
    found.run()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_file_of_format_3_is_named_and_left_as_it_is(person: Project, case: str) -> None:
    newer = CASES[case]
    path = newer.make(person)
    before = path.read_bytes()
    done = person.do(*newer.command, code=newer.code)
    assert newer.says in done.err
    assert path.read_bytes() == before
    assert not (person.path / ".git/hooks.before-gitml").exists()


@pytest.mark.slow
def test_a_record_of_format_3_is_counted_and_left_and_gc_deletes_nothing(tmp_path: Path) -> None:
    team = Team(tmp_path)
    ann, bob = team.person("ann"), team.person("bob")
    run = ann.run()
    folder = record_folder(run["run"], run["started"])
    other = another_id(run["run"])
    newer = record_folder(other, run["started"])
    content = ann.repo.git_bytes("cat-file", "blob", f"{RUNS}:{folder}/run.json")
    raw = {**json.loads(content), "format": 3, "run": other, "steps": {"wholly": "new"}}
    tip = forge(ann.repo, {f"{newer}/run.json": ("100644", json.dumps(raw).encode())})
    done = ann.do("log", "--json")
    assert [row["run"] for row in done.json] == [run["run"]]
    assert "1 record is a newer gitml's" in done.err
    assert "1 record is a newer gitml's" in ann.do("show", other, code=2).err
    objects = sorted((ann.path / ".git/gitml/objects").rglob("*"))
    for command in (("gc",), ("gc", "--keep-last", "1")):
        assert "format 3" in ann.do(*command, code=3).err
    assert sorted((ann.path / ".git/gitml/objects").rglob("*")) == objects
    assert any("format 3" in fault["what"] for fault in ann.do("fsck", "--json", code=3).json["faults"])
    assert ann.repo.git("rev-parse", RUNS) == tip
    ann.do("push")
    refused = bob.do("fetch", "--json", code=3).json["refused"]
    assert [("format 3" in one["why"], one["path"]) for one in refused] == [(True, newer)]
    assert {step["outcome"] for step in bob.run()["steps"]} == {"reused"}


def test_a_queued_run_of_a_newer_gitml_is_neither_run_nor_set_aside(tmp_path: Path) -> None:
    from gitml.hooks.receive_queue import queued
    from tests.kit.projects.project import Project as Library

    library = Library(tmp_path, FILES)
    path = tmp_path / ".git/gitml/queue/0-0-aa.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"format": 3, "request": {}}))
    with library.workspace() as ws:
        assert queued(ws) == []
    assert path.exists()


@pytest.mark.parametrize(
    "content", [b"", b"{" + b'"a":1,' * 2_000_001 + b'"b":1}', b" " * ((128 << 20) + 1)], ids=["empty", "many", "large"]
)
def test_a_manifest_that_would_take_much_memory_is_refused_unread(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"empty manifest|more than"):
        decode_manifest(content, from_hex("0" * 64))

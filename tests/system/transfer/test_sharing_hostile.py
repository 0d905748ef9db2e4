"""Records that contradict themselves: refused and named, while the rest still comes and nothing here is touched."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitml.records.layout import record_folder
from tests.kit.attacks.forged_records import RUNS, Files, forge, record_of, with_action
from tests.kit.projects.team import Team


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


def changed(**change: Any) -> Callable[[Files], Files]:
    def apply(files: Files) -> Files:
        return {**files, "run.json": json.dumps({**json.loads(files["run.json"]), **change}).encode()}

    return apply


def renamed(prefix: str, name: str) -> Callable[[Files], Files]:
    return lambda files: {(name if path.startswith(prefix) else path): content for path, content in files.items()}


def other_action(files: Files) -> Files:
    """An action whose outputs are not those that the run says came of it."""
    return with_action(files, outputs=[["other", ".gitml/out/other", "file"]])


LIES: dict[str, tuple[Callable[[Files], Files], str]] = {
    "another run": (changed(run="1234567890abcdef"), "is about run"),
    "another day": (changed(started=1.0), "another day"),
    "no time": (changed(started=1e300), "time that is none"),
    "no JSON": (lambda files: {**files, "run.json": b"{"}, "Expecting"),
    "too deep": (lambda files: {**files, "run.json": b"[" * 100_000}, "not a run record"),
    "a later format": (changed(format=99), "format 99"),
    "goes on": (changed(status="running"), "goes on"),
    "no commit": (changed(commit="HEAD"), "can be none"),
    "not a number": (changed(ended="NaN"), "not a run record"),
    "no run.json": (lambda files: {path: c for path, c in files.items() if path != "run.json"}, "no run.json"),
    "other output bytes": (lambda files: {**files, "outputs/" + "0" * 64: b"evil"}, "other bytes"),
    "other log bytes": (renamed("logs/", "logs/" + "1" * 64), "other bytes"),
    "an output of no name": (lambda files: {**files, "outputs/x": b"evil"}, "not a sha256"),
    "other action bytes": (renamed("actions/", f"actions/{'2' * 64}.json"), "other bytes"),
    "an action of other outputs": (other_action, "does not make"),
    "other environment bytes": (renamed("environments/", f"environments/{'3' * 64}.json"), "other bytes"),
    "no reproduction": (lambda files: {**files, "reproductions/x.json": b"<"}, "Expecting"),
    "an odd path": (lambda files: {**files, "outputs/-rf": b""}, "no record has"),
    "a path with a space": (lambda files: {**files, "a b": b""}, "no record has"),
}


def test_records_that_contradict_themselves_are_refused_and_named_and_the_rest_comes(team: Team) -> None:
    ann, bob = team.person("ann"), team.person("bob")
    good = ann.run("-S", "who=good")
    _, files = record_of(ann, good["run"])
    begun = json.loads(files["run.json"])["started"]
    expected = {}
    for number, (change, why) in enumerate(LIES.values()):
        run_id = f"{number:02x}ff00ff00ff00ff"
        folder = record_folder(run_id, begun)
        lying = change({**files, "run.json": files["run.json"].replace(good["run"].encode(), run_id.encode())})
        forge(ann.repo, {f"{folder}/{name}": ("100644", content) for name, content in lying.items()})
        expected[folder] = why
    after = ann.run("-S", "who=after")
    ann.do("push")
    mine = bob.run("-S", "who=mine")
    before = set(bob.repo.git("ls-tree", "-r", "--name-only", RUNS).split("\n"))
    done = bob.do("fetch", "--json", code=3)
    assert done.json["received"]["runs"] == 2
    refused = {item["path"]: item["why"] for item in done.json["refused"]}
    assert refused.keys() == expected.keys()
    assert not {path: refused[path] for path, why in expected.items() if why not in refused[path]}
    assert team.runs_of(bob) == {good["run"], after["run"], mine["run"]}
    there = set(bob.repo.git("ls-tree", "-r", "--name-only", RUNS).split("\n"))
    assert before < there
    assert not any(path.startswith(tuple(expected)) for path in there)
    assert set(bob.outcomes("-S", "who=after").values()) == {"reused"}
    assert bob.do("fsck").code == 0
    assert bob.do("fetch").out == "origin: everything is there already\n"  # it was told once


@pytest.mark.parametrize("mode", ["100755", "120000"])
def test_what_is_no_ordinary_file_is_refused(team: Team, mode: str) -> None:
    ann, bob = team.person("ann"), team.person("bob")
    good = ann.run()
    folder, _ = record_of(ann, good["run"])
    link = f"{folder}/outputs/{hashlib.sha256(b'/etc/passwd').hexdigest()}"
    forge(ann.repo, {link: (mode, b"/etc/passwd")})
    ann.do("push")
    done = bob.do("fetch", "--json", code=3)
    assert done.json["refused"][0]["path"] == folder
    assert "no ordinary file" in done.json["refused"][0]["why"]


def test_paths_outside_the_records_are_refused_and_escape_nowhere(team: Team) -> None:
    ann, bob = team.person("ann"), team.person("bob")
    run = ann.run()
    evil = {
        "hooks/post-checkout": ("100755", b"touch /tmp/owned"),
        "runs/x": ("100644", b""),
        "readme": ("100644", b""),
    }
    forge(ann.repo, evil)
    # No porcelain writes a tree with `..` in it; plumbing does.
    blob = ann.repo.git("hash-object", "-w", "--stdin", input=b"evil")
    tree = ann.repo.git("cat-file", "-p", f"{RUNS}^{{tree}}")
    listed = f"{tree}\n100644 blob {blob}\t..\n"
    raw = ann.repo.git("mktree", input=listed.encode())
    tip = ann.repo.git("commit-tree", "-p", RUNS, "-m", "x", raw)
    ann.repo.git("update-ref", RUNS, tip)
    ann.do("push")
    state = bob.state()
    done = bob.do("fetch", "--json", code=3)
    assert {item["path"] for item in done.json["refused"]} == {*evil, ".."}
    assert team.runs_of(bob) == {run["run"]}
    assert bob.state() == state
    names = bob.repo.git("ls-tree", "-r", "--name-only", RUNS).split("\n")
    assert all(name.startswith("runs/2") for name in names)


def test_a_log_that_changed_or_dropped_records_changes_nothing_here(team: Team) -> None:
    ann, bob = team.person("ann"), team.person("bob")
    first, second = ann.run("-S", "who=1"), ann.run("-S", "who=2")
    ann.do("push")
    bob.do("fetch")
    folder, files = record_of(bob, first["run"])
    shown = bob.do("show", first["run"], "--json").json
    tampered = files["run.json"].replace(b'"message": ""', b'"message": "mine"')
    assert tampered != files["run.json"]
    forge(team.hub, {f"{folder}/run.json": ("100644", tampered)})
    team.hub.git("rev-parse", RUNS)
    done = bob.do("fetch", "--json", code=3)
    assert done.json["refused"][0]["path"] == f"{folder}/run.json"
    empty = team.hub.git("mktree", input=b"")
    dropped = team.hub.git("commit-tree", "-p", RUNS, "-m", "drop", empty)
    team.hub.git("update-ref", RUNS, dropped)
    bob.do("fetch")
    assert team.runs_of(bob) == {first["run"], second["run"]}
    assert bob.do("show", first["run"], "--json").json == shown
    assert bob.do("push", "--json").json["sent"]["runs"] == 2
    carl = team.person("carl")
    carl.do("fetch")
    assert team.runs_of(carl) == {first["run"], second["run"]}


def test_a_ref_that_is_no_log_is_refused(team: Team) -> None:
    ann, bob = team.person("ann"), team.person("bob")
    mine = bob.run()["run"]
    blob = ann.repo.git("hash-object", "-w", "--stdin", input=b"x")
    ann.repo.git("push", "-q", "origin", f"{blob}:{RUNS}")
    assert "no log of records" in bob.do("fetch", code=3).err
    assert team.runs_of(bob) == {mine}


def test_files_of_a_later_gitml_are_kept_and_travel_on(team: Team) -> None:
    ann, bob, carl = (team.person(name) for name in ("ann", "bob", "carl"))
    run = ann.run("-S", "who=ann")
    folder, _ = record_of(ann, run["run"])
    forge(ann.repo, {f"{folder}/provenance/statement.json": ("100644", b"of a later format")})
    ann.do("push")
    bob.run("-S", "who=bob")
    bob.do("push")
    carl.do("fetch")
    assert carl.repo.git("show", f"{RUNS}:{folder}/provenance/statement.json") == "of a later format"

"""A repository that was cloned uses no place that its files name, and runs no step, before its user allows it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.kit.attacks.canaries import leaves_mark, listening
from tests.kit.projects.command_line import Project
from tests.kit.projects.repository import Repository
from tests.kit.terminal import TerminalOutput, at_terminal

BIG = """\
steps:
  make:
    shell: sh
    run: head -c 300000 /dev/zero > ${{ outputs.big }}
    outputs: {big: file}
  count:
    shell: sh
    run: wc -c < ${{ steps.make.outputs.big }} > ${{ outputs.n }}
    outputs: {n: file}
"""


class Person:
    """Somebody with a home, in which what they allow is kept."""

    def __init__(self, top: Path, name: str) -> None:
        self.home = top / f"home-{name}"
        self.home.mkdir(exist_ok=True)
        self.name = name

    def at(self, project: Project) -> Project:
        """The project, driven by this person, of whom nothing was asked before."""
        project.env = {name: value for name, value in project.env.items() if not name.startswith("GITML_")}
        project.env |= {"HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home / "settings")}
        return project

    @property
    def trust_file(self) -> Path:
        """Where what they allowed is kept."""
        return self.home / "settings/gitml/trust.json"


def own(tmp_path: Path, files: dict[str, str | bytes] | None = None, name: str = "own") -> Project:
    """A person's own project."""
    return Person(tmp_path, name).at(Project(tmp_path / name, {"pipelines/big.yaml": BIG, **(files or {})}))


def with_store(tmp_path: Path) -> dict[str, str | bytes]:
    """What names a folder as a remote store, and keeps nothing in records."""
    (tmp_path / "store").mkdir()
    return {"gitml.yaml": f"records: {{inline_file: 0}}\nremotes: ['file://{tmp_path}/store']\n"}


def cloned(tmp_path: Path, project: Project, name: str = "bob") -> Project:
    """Somebody's clone, with the records that were pushed."""
    hub = tmp_path / "hub.git"
    if not hub.exists():
        Repository(hub, bare=True)
        project.repo.git("remote", "add", "origin", str(hub))
        project.repo.git("push", "-q", "origin", "main")
    person = Person(tmp_path, name)
    project.repo.git("clone", "-q", str(hub), str(tmp_path / name))
    there = person.at(Project(tmp_path / name))
    there.do("fetch")
    return there


def asked(project: Project, *words: str, answers: dict[str, str]) -> TerminalOutput:
    """A command at a terminal."""
    return at_terminal([sys.executable, "-m", "gitml", *words], project.path, project.env, answers)


def test_a_repository_without_remotes_is_its_owners_and_nothing_is_asked_of_it_later_either(tmp_path: Path) -> None:
    project = own(tmp_path, with_store(tmp_path))
    project.do("run")
    project.repo.git("remote", "add", "origin", str(tmp_path / "nowhere.git"))
    project.do("run", "-f")


def test_the_first_run_of_a_clone_is_refused_without_a_terminal_and_says_what_to_do(tmp_path: Path) -> None:
    bob = cloned(tmp_path, own(tmp_path))
    refused = bob.do("run", code=7)
    assert "may not run yet" in refused.err
    assert str(tmp_path / "hub.git") in refused.err, "where it comes from"
    assert "gitml trust allow run" in refused.err
    assert bob.do("log", "--json").json == []
    bob.do("trust", "allow", "run")
    bob.do("run")
    assert len(bob.do("log", "--json").json) == 1
    bob.do("trust", "revoke", "run")
    bob.do("run", "-f", code=7)
    bob.do("run", "-f", "--trust")
    bob.do("run", "-f", code=7)
    bob.do("run", "-f", env={"GITML_TRUST": "places,run"})


def test_what_is_reused_runs_nothing_and_so_asks_nothing(tmp_path: Path) -> None:
    ada = own(tmp_path)
    ada.do("run")
    bob = cloned(tmp_path, ada)
    ada.do("push")
    bob.do("fetch")
    reused = bob.do("run", "--json").json
    assert {step["outcome"] for step in reused["steps"]} == {"reused"}


@pytest.mark.parametrize(
    "words",
    [
        ("run",),
        ("run", "--detach"),
        ("reproduce", "latest"),
        ("submit", "--on", "far"),
        ("module", "run", "tool"),
    ],
)
def test_each_command_that_runs_steps_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    module = "name: tool\nversion: 0.1.0\noutputs: {o: file}\nrun: 'touch ${{ outputs.o }}'\n"
    files: dict[str, str | bytes] = {"tool/module.yaml": module, "gitml.yaml": "targets: {far: {ray: '127.0.0.1:1'}}\n"}
    ada = own(tmp_path, files)
    if words[0] == "reproduce":
        ada.do("run")
    bob = cloned(tmp_path, ada)
    if words[0] == "reproduce":
        ada.do("push", "--no-artifacts")
        bob.do("fetch")
    bob.do("trust", "allow", "places")
    refused = bob.do(*words, code=7)
    assert "not run yet" in refused.err
    assert not (bob.path / ".git/gitml/live").exists() or not list((bob.path / ".git/gitml/live").iterdir())


def test_a_person_at_a_terminal_is_shown_what_would_run_and_asked_once(tmp_path: Path) -> None:
    bob = cloned(tmp_path, own(tmp_path))
    no = asked(bob, "run", answers={"[y/N]": "\n"})
    assert no.code == 7
    assert "head -c 300000 /dev/zero" in no.text
    yes = asked(bob, "run", answers={"[y/N]": "y\n"})
    assert yes.code == 0, yes.text
    again = asked(bob, "run", "-f", answers={})
    assert again.code == 0
    assert "[y/N]" not in again.text


def test_a_place_is_asked_about_by_content_and_what_changes_is_asked_about_again(tmp_path: Path) -> None:
    ada = own(tmp_path, with_store(tmp_path))
    ada.do("run")
    bob = cloned(tmp_path, ada)
    ada.do("push", "--trust")
    bob.do("fetch")
    bob.do("trust", "allow", "run")
    refused = bob.do("run", code=7)
    assert f"remote store file (file://{tmp_path}/store)" in refused.err
    assert "gitml trust allow places" in refused.err
    yes = asked(bob, "run", answers={"[y/N]": "yes\n"})
    assert yes.code == 0, yes.text
    assert "places outside of it" in yes.text
    assert bob.do("checkout", "latest:make.big", str(tmp_path / "out")).code == 0
    shutil.copytree(tmp_path / "store", tmp_path / "other")
    bob.repo.commit("another", {"gitml.yaml": f"remotes: ['file://{tmp_path}/other']\n"})
    shutil.rmtree(bob.path / ".git/gitml/objects")
    changed = bob.do("checkout", "latest:make.big", str(tmp_path / "out2"), code=7)
    assert f"file://{tmp_path}/other" in changed.err
    listed = bob.do("trust", "places", "--json").json["places"]
    assert [(place["url"][-5:], place["allowed"], place["named"]) for place in listed] == [
        ("other", False, True),
        ("store", True, False),
    ]


@pytest.mark.parametrize(
    "change",
    [
        "remotes: [{url: 's3://b/p', endpoint: 'http://127.0.0.1:1'}]",
        "remotes: [{url: 's3://b/p', endpoint: 'http://127.0.0.1:2'}]",
        "targets: {far: {ray: '127.0.0.1:1'}}",
        "targets: {far: {ray: '127.0.0.1:1', token: '~/secret'}}",
        "targets: {far: {ray: '127.0.0.1:1', insecure: true}}",
        "targets: {far: {ray: '127.0.0.1:1', dashboard: '127.0.0.1:2'}}",
        "targets: {far: {ray: 'auto', token: '~/secret'}}",
    ],
)
def test_each_detail_of_a_place_counts(tmp_path: Path, change: str) -> None:
    bob = cloned(tmp_path, own(tmp_path, {"gitml.yaml": "remotes: ['s3://b/p']\n"}))
    bob.do("trust", "allow", "places")
    bob.repo.commit("another", {"gitml.yaml": change + "\n"})
    (place,) = [place for place in bob.do("trust", "places", "--json").json["places"] if place["named"]]
    assert not place["allowed"]
    shown = bob.do("trust", "places").out
    for detail in ("127.0.0.1:1", "127.0.0.1:2", "~/secret"):
        assert (detail in change) <= (detail in shown)


def test_what_one_allowed_holds_for_this_clone_alone(tmp_path: Path) -> None:
    bob = cloned(tmp_path, own(tmp_path))
    bob.do("trust", "allow", "run")
    shutil.rmtree(bob.path)
    bob.repo.__init__(bob.path)  # type: ignore[misc]
    shutil.rmtree(bob.path)
    Repository(tmp_path / "elsewhere").git("clone", "-q", str(tmp_path / "hub.git"), str(bob.path))
    bob.do("run", code=7)
    bob.do("trust", "allow", "run")
    bob.do("run")
    shutil.copytree(bob.path, tmp_path / "copy", symlinks=True)
    bob.do("run", "-f", cwd=tmp_path / "copy", code=7)


def test_what_was_allowed_is_kept_where_only_its_user_can_read_it(tmp_path: Path) -> None:
    bob = cloned(tmp_path, own(tmp_path, {"gitml.yaml": "remotes: ['s3://b/p']\n"}))
    bob.do("trust", "allow", "places", "s3")
    bob.do("trust", "allow", "run")
    file = Person(tmp_path, "bob").trust_file
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    (entry,) = json.loads(file.read_text())["repositories"].values()
    assert entry["path"] == str(bob.path / ".git")
    file.write_text("{")
    damaged = bob.do("run", code=2)
    assert str(file) in damaged.err
    file.write_text(json.dumps({"format": 2, "repositories": {}}))
    assert "newer gitml" in bob.do("run", code=2).err


def test_a_wrong_word_is_told_with_the_near_one(tmp_path: Path) -> None:
    bob = cloned(tmp_path, own(tmp_path, {"gitml.yaml": "remotes: ['s3://b/p']\n"}))
    assert "did you mean 'places'" in bob.do("trust", "allow", "place", code=2).err
    assert "did you mean 's3'" in bob.do("trust", "allow", "places", "s33", code=2).err
    assert "GITML_TRUST" in bob.do("run", env={"GITML_TRUST": "everything"}, code=2).err


def test_the_users_own_settings_tell_endpoint_and_token_of_a_place(tmp_path: Path) -> None:
    with listening() as listener:
        here = f"127.0.0.1:{listener.port}"
        gitml_yaml = f"remotes: ['s3://b/p']\ntargets: {{far: {{ray: '{here}'}}}}\n"
        bob = cloned(tmp_path, own(tmp_path, {"gitml.yaml": gitml_yaml}))
        settings = Person(tmp_path, "bob").trust_file.parent
        settings.mkdir(parents=True, exist_ok=True)
        (settings / "config.yaml").write_text(
            f"places:\n  's3://b/p': {{endpoint: 'http://{here}'}}\n  '{here}': {{token: ~/none}}\n"
        )
        (row,) = bob.do("remotes", "--json").json
        assert row["options"] == {"endpoint": f"http://{here}"}
        bob.do("trust", "allow", "places")
        assert "endpoint" not in json.dumps(bob.do("trust", "--json").json), (
            "that is the user's own, not the repository's"
        )
        (settings / "config.yaml").write_text("places: {'s3://b/p': {tokn: x}}\n")
        assert "token" in bob.do("remotes", code=2).err


def test_a_program_that_the_repository_names_by_a_whole_path_is_not_started_to_look_at_it(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    files = {
        "evil/python3": leaves_mark(mark),
        "pipelines/p.yaml": "steps:\n  a:\n    run: /proc/self/cwd/evil/python3 -c pass\n  b:\n    run: /dev/zero x\n",
    }
    ada = own(tmp_path, dict(files))
    os.chmod(ada.path / "evil/python3", 0o755)
    ada.repo.commit("executable")
    bob = cloned(tmp_path, ada)
    for words in (("status",), ("plan", "p"), ("explain", "p", "a"), ("dag", "p"), ("run", "p"), ("ui", "--help")):
        bob.do(*words, code=None)
    assert not mark.exists()
    plan = bob.do("plan", "p").out
    assert "/proc/self/cwd/evil/python3 is not looked at before this repository's steps may run" in plan
    bob.do("trust", "allow", "run")
    assert "is no program" in bob.do("plan", "p").out, "devices are never read"


def test_a_version_managers_file_in_a_clone_chooses_no_python_before_it_is_allowed(tmp_path: Path) -> None:
    """As asdf does by ``python path:DIR`` in `.tool-versions`, a shim on PATH starts what a file where it is called names."""
    mark = tmp_path / "mark"
    shims = tmp_path / "shims"
    shims.mkdir()
    own_python = f'exec {sys.executable} "$@"'
    (shims / "python3").write_text(f'#!/bin/sh\n[ -f .tool-versions ] && exec ./evil/python3 "$@"\n{own_python}\n')
    (shims / "python3").chmod(0o755)
    ada = own(tmp_path, {".tool-versions": "python path:./evil\n", "evil/python3": leaves_mark(mark)})
    os.chmod(ada.path / "evil/python3", 0o755)
    ada.repo.commit("executable")
    bob = cloned(tmp_path, ada)
    bob.env["PATH"] = f"{shims}:{bob.env['PATH']}"
    bob.do("status")
    bob.do("plan")
    assert not mark.exists()


def test_hooks_never_ask_and_push_what_may_be_pushed(tmp_path: Path) -> None:
    ada = own(tmp_path, with_store(tmp_path))
    ada.do("run")
    bob = cloned(tmp_path, ada)
    bob.do("trust", "allow", "run")
    bob.do("run")
    bob.do("hooks", "install")
    bob.repo.commit("more", {"README.md": "x\n"})
    bob.do("run", "-f")
    pushed = at_terminal(["git", "push", "origin", "main"], bob.path, bob.env, {})
    assert pushed.code == 0, pushed.text
    assert "not allowed yet: remote store file" in pushed.text
    assert "[y/N]" not in pushed.text
    assert not list((tmp_path / "store").iterdir())


def test_what_only_looks_starts_no_ray_of_ones_own(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "gitml.yaml": "targets: {mine: {ray: local}}\n",
        "pipelines/there.yaml": "target: mine\nsteps:\n  a: {run: uname}\n",
    }
    project = own(tmp_path, files)
    assert "unknown  a  what target mine has installed is not known here" in project.do("plan", "there").out
    assert "1 not known without asking (gitml run -n)" in project.do("status", "there").out

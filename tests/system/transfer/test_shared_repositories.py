"""Two people of one group work in one repository on one machine, as two users of the system."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.kit.other_users import GROUP, OpenPython, as_user, open_python
from tests.kit.projects.repository import Repository

ANN, BOB = 41_001, 41_002
PIPELINE = """\
params: {n: 1}
steps:
  make:
    run: python3 make.py ${{ outputs.d }} ${{ params.n }}
    outputs: {d: {type: directory, path: results}}
  use:
    run: python3 -c "import sys; open(sys.argv[2], 'w').write(str(sys.argv))" ${{ steps.make.outputs.d }} ${{ outputs.o }}
    outputs: {o: file}
"""
MAKE = "import os, sys\nos.mkdir(sys.argv[1])\nopen(sys.argv[1] + '/x', 'w').write(sys.argv[2] * 2_000_000)\n"

pytestmark = [pytest.mark.root, pytest.mark.slow]


class Place(NamedTuple):
    """A folder that everybody may enter, and a Python for all."""

    folder: Path
    python: OpenPython


@pytest.fixture
def place() -> Iterator[Place]:
    folder = Path(tempfile.mkdtemp(prefix="gitml-shared-"))
    folder.chmod(0o755)
    try:
        with open_python(folder) as python:
            yield Place(folder, python)
    finally:
        shutil.rmtree(folder)


class Person:
    """A user of the machine who belongs to the group, with this umask."""

    def __init__(self, place: Place, uid: int, umask: int) -> None:
        self.uid, self.umask = uid, umask
        self.repo = place.folder / "repo"
        home = place.folder / str(uid)
        home.mkdir()
        os.chown(home, uid, GROUP)
        self.python = place.python.program
        self.env = {**place.python.env, "HOME": str(home)}
        (home / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")  # whoever shares trusts the others
        self.env["GIT_CONFIG_GLOBAL"] = str(home / ".gitconfig")
        self.env.pop("XDG_CACHE_HOME", None)

    def call(self, *words: str, code: int | None = 0) -> str:
        done = subprocess.run(
            [*as_user(self.uid), *words],
            cwd=self.repo,
            env=self.env,
            umask=self.umask,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert code is None or done.returncode == code, f"{words} gave {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def gitml(self, *words: str, code: int | None = 0) -> str:
        return self.call(self.python, "-m", "gitml", *words, code=code)


def team(place: Place, umask: int, shared: str) -> tuple[Person, Person]:
    """Ann, whose repository it is, and Bob."""
    ann, bob = Person(place, ANN, umask), Person(place, BOB, umask)
    ann.repo.mkdir()
    os.chown(ann.repo, ANN, GROUP)
    ann.repo.chmod(0o2775)
    ann.call("git", "init", "-q", "-b", "main", f"--shared={shared}" if shared else "-q", ".")
    (ann.repo / "pipelines").mkdir()
    (ann.repo / "pipelines/p.yaml").write_text(PIPELINE)
    (ann.repo / "make.py").write_text(MAKE)
    ann.call("git", "add", "-A")
    ann.call("git", "commit", "-qm", "begin")
    return ann, bob


@pytest.mark.parametrize("umask", [0o022, 0o002])
def test_the_second_of_a_group_can_do_what_the_first_can(place: Place, umask: int) -> None:
    ann, bob = team(place, umask, "group")
    hub = Repository(place.folder / "hub.git", bare=True)
    hub.git("config", "core.sharedRepository", "0666")
    subprocess.run(["chmod", "-R", "a+rwX", hub.path], check=True)
    ann.gitml("run")
    ann.gitml("module", "list")
    assert bob.gitml("run").count("reuse  ") == 2
    bob.gitml("plan", "-S", "n=2")
    bob.gitml("run", "-S", "n=2")
    bob.gitml("checkout", "latest", str(place.folder / str(BOB) / "out"))
    bob.gitml("fsck", "--deep")
    bob.gitml("gc", "--keep-last", "1")
    bob.call("git", "remote", "add", "origin", hub.path)
    bob.gitml("push")
    bob.gitml("module", "list")
    assert ann.gitml("run", "-S", "n=2").count("reuse  ") == 2
    ann.gitml("run", "-S", "n=3")
    ann.gitml("fsck", "--deep")
    ann.gitml("gc", "--keep-last", "1")


def test_a_repository_that_is_shared_only_later_is_opened_by_its_owners_next_command(place: Place) -> None:
    ann, bob = team(place, 0o022, "")
    ann.gitml("run")
    ann.call("git", "config", "core.sharedRepository", "group")
    subprocess.run(["chmod", "-R", "g+rwX", *map(str, ann.repo.glob(".git/[!g]*"))], check=True)
    subprocess.run(["chmod", "g+rwxs", str(ann.repo / ".git")], check=True)
    refused = bob.gitml("run", "-S", "n=2", code=5)
    assert "any gitml command of theirs opens it" in refused
    ann.gitml("status")
    bob.gitml("run", "-S", "n=2")
    bob.gitml("gc", "--keep-last", "1")


def test_what_another_users_killed_run_left_keeps_nobody_from_working(place: Place) -> None:
    ann, bob = team(place, 0o022, "group")
    ann.gitml("run")
    left = ann.repo / ".git/gitml/live/0123456789abcdef.done/0-1/work"
    ann.call("mkdir", "-p", "-m", "755", str(left))
    ann.call("touch", str(left / "file"))
    subprocess.run(["chmod", "-R", "go-w", str(left.parent)], check=True)
    bob.gitml("gc")
    bob.gitml("status")
    bob.gitml("run", "-S", "n=2")
    ann.gitml("gc")
    assert list((ann.repo / ".git/gitml/live").iterdir()) == []

"""What only looks works where nothing can be written, and leaves no trace there."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest

from gitml.cli.main import gitml
from gitml.cli.table import COMMANDS, LOOKING
from tests.kit.disks.small_disk import small_disk_at
from tests.kit.other_users import OpenPython, as_user, open_python
from tests.kit.projects.command_line import Project
from tests.kit.projects.repository import environment

PIPELINE = """\
name: p
params: {n: 1}
steps:
  make:
    run: python3 make.py ${{ outputs.d }} ${{ outputs.m }} ${{ params.n }}
    outputs: {d: {type: directory, path: results}, m: metrics}
  use:
    run: python3 -c "import sys; open(sys.argv[2], 'w').write(str(sys.argv))" ${{ steps.make.outputs.d }} ${{ outputs.o }}
    outputs: {o: file}
"""
MAKE = """\
import os, sys
os.mkdir(sys.argv[1])
open(sys.argv[1] + "/x", "w").write(sys.argv[3] * 2_000_000)
open(sys.argv[2], "w").write('{"score": %s}' % sys.argv[3])
print("made")
"""
MODULE = "name: count\nversion: 1.0.0\noutputs: {o: file}\nrun: touch ${{ outputs.o }}\n"
FILES = {"pipelines/p.yaml": PIPELINE, "make.py": MAKE, "modules/count/module.yaml": MODULE}
STRANGER = 42_001

# How each command that only looks is called; {out} is a folder that can be written.
WORDS: dict[str, list[list[str]]] = {
    "plan": [["plan"], ["plan", "-S", "n=5"], ["plan", "--at", "HEAD"], ["run", "-n"]],
    "check": [["check"], ["check", "pipelines/p.yaml", "modules/count/module.yaml"]],
    "explain": [["explain", "use"]],
    "status": [["status"]],
    "dag": [["dag"]],
    "env show": [["env", "show"], ["env", "show", "--at", "HEAD"]],
    "env explain": [["env", "explain", "use"]],
    "env diff": [["env", "diff"], ["env", "diff", "HEAD", "latest"]],
    "targets": [["targets"]],
    "log": [["log"]],
    "show": [["show", "latest"]],
    "logs": [["logs", "latest"]],
    "checkout": [["checkout", "latest:make.d", "{out}/made"]],
    "ui": [],  # it needs a terminal: below
    "remotes": [["remotes"]],
    "du": [["du"]],
    "fsck": [["fsck"], ["fsck", "--deep"]],
    "doctor": [["doctor"]],
    "config": [["config"]],
    "completion": [["completion", "bash"]],
    "schema": [["schema", "pipeline"]],
    "trust list": [["trust"]],
    "metrics show": [["metrics", "show"]],
    "metrics diff": [["metrics", "diff"]],
    "plots show": [["plots", "show"]],
    "plots diff": [["plots", "diff"]],
    "params show": [["params", "show"]],
    "params diff": [["params", "diff"]],
    "lineage up": [["lineage", "latest:use.o"]],
    "lineage down": [["lineage", "down", "latest:make.d"]],
    "lineage show": [["lineage", "show", "latest:use.o"]],
    "hooks status": [["hooks", "status"]],
    "module list": [["module", "list"]],
    "module show": [["module", "show", "count"]],
    "module versions": [["module", "versions", "count"]],
    "module history": [["module", "history", "count"]],
    "module resolve": [["module", "resolve", "count"]],
    "module diff": [["module", "diff", "count", "1.0.0", "1.0.1"]],
    "module verify": [["module", "verify"]],
    "module get": [["module", "get", "count", "{out}/module"]],
    "module check": [["module", "check", "modules/count"]],
}


CHANGING = frozenset(
    name.replace(".", " ")
    for name in """run submit collect cancel wait rerun promote shell reproduce push fetch pull lock gc init clone demo hooks.install
    hooks.uninstall
    hooks.run module.publish module.deprecate module.disable module.enable module.set-default module.pull module.push
    module.rebuild module.init module.run env.build env.lock env.push trust.allow trust.revoke""".split()
)
"""What changes the repository, or makes one. Who adds a command adds it here, or to those that only look."""


def commands_of(command: click.Command, name: str) -> Iterator[str]:
    """The full names of a command, or of those in a group."""
    if isinstance(command, click.Group):
        for inner in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), inner)
            assert found is not None
            yield from commands_of(found, f"{name} {inner}")
    else:
        yield name


def test_every_command_says_whether_it_only_looks() -> None:
    context = click.Context(gitml)
    every = {
        full
        for name in COMMANDS
        if (command := gitml.get_command(context, name)) is not None
        for full in commands_of(command, name)
    }
    assert every == LOOKING | CHANGING
    assert not LOOKING & CHANGING
    assert set(WORDS) == LOOKING


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A repository with runs, a module of two versions, and a work tree with changes."""
    folder = Path(tempfile.mkdtemp(prefix="gitml-read-"))
    folder.chmod(0o755)
    project = Project(folder / "p", FILES)
    project.do("run")
    project.do("run", "-S", "n=2")
    project.do("module", "publish", "modules/count", "--default")
    project.repo.commit("1.0.1", {"modules/count/module.yaml": MODULE.replace("1.0.0", "1.0.1")})
    project.do("module", "publish", "modules/count")
    project.repo.write({"make.py": MAKE + "# changed\n", "untracked.txt": "new\n"})
    yield project
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def python(written: Project) -> Iterator[OpenPython]:
    """For all users."""
    with open_python(written.path.parent) as found:
        yield found


def everything(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Each file and folder, with what a change would change."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        found[str(path)] = (status.st_mode, status.st_size, status.st_mtime_ns)
    return found


@contextmanager
def mounted(project: Project) -> Iterator[tuple[Path, list[str]]]:
    """The repository on a mount that is read-only."""
    place = project.path.parent / "mounted"
    place.mkdir()
    done = subprocess.run(["mount", "--bind", str(project.path), str(place)], capture_output=True)
    if done.returncode:
        pytest.skip("root may not mount here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True)
        yield place, []
    finally:
        subprocess.run(["umount", str(place)], check=True)
        place.rmdir()


@contextmanager
def of_another(project: Project) -> Iterator[tuple[Path, list[str]]]:
    """The repository as a user sees it who may read it and nothing else."""
    yield project.path, as_user(STRANGER)


@contextmanager
def in_part(project: Project) -> Iterator[tuple[Path, list[str]]]:
    """A repository of which only what gitml keeps can't be written, as when root ran the first command."""
    copy = project.path.parent / "copy"
    shutil.copytree(project.path, copy, symlinks=True)
    subprocess.run(["chown", "-R", str(STRANGER), str(copy)], check=True)
    subprocess.run(["chown", "-R", "0", str(copy / ".git/gitml")], check=True)
    yield copy, as_user(STRANGER)
    shutil.rmtree(copy)


@contextmanager
def never_used(project: Project) -> Iterator[tuple[Path, list[str]]]:
    """Another's clone in which gitml never ran, with the records of others."""
    clone = project.path.parent / "clone"
    project.repo.git("clone", "-q", str(project.path), str(clone))
    subprocess.run(
        ["git", "fetch", "-q", "origin", "refs/gitml/*:refs/gitml/*"], cwd=clone, check=True, env=environment()
    )
    yield clone, as_user(STRANGER)
    shutil.rmtree(clone)


PLACES = {"a read-only mount": mounted, "another user's": of_another, "in part": in_part, "never used": never_used}


def call(
    python: OpenPython, place: Path, start: list[str], *words: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    home = place.parent / "home"
    home.mkdir(exist_ok=True)
    home.chmod(0o777)
    (home / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")
    environ = {**python.env, "HOME": str(home)}
    environ |= {"GIT_CONFIG_GLOBAL": str(home / ".gitconfig"), "TMPDIR": "/tmp", **(env or {})}
    return subprocess.run(
        [*start, python.program, "-m", "gitml", *words],
        cwd=place,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize("where", PLACES)
def test_what_only_looks_works_where_nothing_can_be_written_and_changes_nothing(
    written: Project, python: OpenPython, where: str
) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting and becoming another user need root")
    with PLACES[where](written) as (place, start), tempfile.TemporaryDirectory() as out:
        temporary = os.path.join(out, "tmp")
        os.mkdir(temporary)
        os.chmod(out, 0o777)
        os.chmod(temporary, 0o777)
        before = everything(place)
        wrong = {}
        for name, calls in WORDS.items():
            for words in calls:
                if where == "never used" and name in ("checkout", "fsck", "hooks status"):
                    continue  # nothing large came along
                done = call(python, place, start, *[word.format(out=out) for word in words], env={"TMPDIR": temporary})
                if done.returncode == 1 and name == "doctor" and "can't be written" in done.stdout:
                    continue  # which is what it is to tell
                if done.returncode or "can't" in done.stderr or "wrong" in done.stdout:
                    wrong[" ".join(words)] = (done.returncode, done.stdout[-300:], done.stderr[-300:])
        assert wrong == {}
        assert everything(place) == before
        assert os.listdir(temporary) == []


@pytest.mark.root
@pytest.mark.slow
def test_a_check_still_finds_what_is_wrong_and_a_change_is_refused_in_one_line(
    written: Project, python: OpenPython
) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    copy = written.path.parent / "damaged"
    shutil.copytree(written.path, copy, symlinks=True)
    bad = next(path for path in (copy / ".git/gitml/objects").glob("??/*") if path.stat().st_size > 1_000_000)
    bad.chmod(0o644)
    bad.write_bytes(b"other")
    project = Project(copy)
    with mounted(project) as (place, start):
        before = everything(place)
        done = call(python, place, start, "fsck")
        assert done.returncode == 3
        assert bad.name in done.stdout
        for words in (["run", "-f"], ["gc"], ["fsck", "--repair"], ["module", "publish", "modules/count"], ["push"]):
            refused = call(python, place, start, *words)
            assert refused.returncode in (2, 5, 6), (words, refused.stdout, refused.stderr)
            assert len([line for line in refused.stderr.splitlines() if line.startswith("gitml: ")]) == 1
        assert everything(place) == before
    shutil.rmtree(copy)


@pytest.mark.root
@pytest.mark.slow
def test_a_full_disk_keeps_nobody_from_looking(written: Project, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk_at(disk, "24m"):
        copy = disk / "p"
        shutil.copytree(written.path, copy, symlinks=True)
        subprocess.run(["git", "checkout", "-q", "."], cwd=copy, check=True)
        with open(disk / "filler", "wb") as filler:
            try:
                while True:
                    filler.write(b"x" * 65536)
                    filler.flush()
            except OSError:
                pass
        home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
        project = Project(copy)
        for words in (
            ["plan"],
            ["plan", "-S", "n=9"],
            ["status"],
            ["log"],
            ["fsck"],
            ["du"],
            ["metrics", "show"],
            ["run", "-n"],
        ):
            project.do(*words, env=home)

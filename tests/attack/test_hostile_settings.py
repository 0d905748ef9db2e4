"""Files that gitml obeys and that are none: links, pipes, devices, sockets, huge ones. Refused in one line, and never opened."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.projects.command_line import Done, Project

FILES = {
    "gitml.yaml": "defaults: {pipeline: t}\n",
    "pipelines/t.yaml": "steps:\n  s: {run: 'touch ${{ outputs.o }}', outputs: {o: file}, environment: requirements.txt}\n",
    "requirements.txt": f"x==1 --hash=sha256:{'0' * 64}\n",
    "module/module.yaml": "name: count\nversion: 0.1.0\nrun: 'true'\n",
    "gitml.lock": '{"format": 1, "modules": {}}\n',
    ".lfsconfig": "[lfs]\n",
    "inner.yaml": "defaults: {pipeline: t}\n",
}
READERS = {
    "gitml.yaml": ("status", "plan", "config", "remotes", "module list", "lock"),
    "pipelines/t.yaml": ("status", "plan", "run -n", "dag", "lock"),
    "requirements.txt": ("status", "plan", "run -n"),
    "module/module.yaml": ("module check module", "module run module"),
    "gitml.lock": ("plan", "lock", "run -n"),
    ".lfsconfig": ("remotes --check", "remotes"),
}


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.open(".", os.O_RDONLY)
        os.chdir(path.parent)
        try:
            sock.bind(path.name)
        finally:
            os.chdir(here)
            os.close(here)


def huge(path: Path) -> None:
    with open(path, "wb") as file:
        for _ in range(50):
            file.write(b"# x\n" * (1 << 18))


KINDS: dict[str, Callable[[Path, Path], object]] = {
    "link to a device": lambda path, top: path.symlink_to("/dev/zero"),
    "link outside": lambda path, top: path.symlink_to(top / "secret"),
    "link to a pipe": lambda path, top: path.symlink_to(top / "pipe"),
    "link inside": lambda path, top: path.symlink_to(os.path.relpath(top / "p/inner.yaml", path.parent)),
    "link to the settings of Git": lambda path, top: path.symlink_to(
        os.path.relpath(top / "p/.git/config", path.parent)
    ),
    "link to nothing": lambda path, top: path.symlink_to("nothing"),
    "link to itself": lambda path, top: path.symlink_to(path.name),
    "pipe": lambda path, top: os.mkfifo(path),
    "socket": lambda path, top: bound(path),
    "folder": lambda path, top: path.mkdir(),
    "huge": lambda path, top: huge(path),
}


def ends(project: Project, command: str) -> Done:
    begun = time.monotonic()
    done = project.do(*command.split(), code=None, env={"GITML_TRUST": "places,run"})
    assert time.monotonic() - begun < 30, command
    assert "Traceback" not in done.err, command
    assert done.code != 70, command
    assert "CANARY" not in done.out + done.err, command
    return done


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_command_waits_for_or_tells_of_what_is_no_file(tmp_path: Path, kind: str) -> None:
    for number, (name, commands) in enumerate(READERS.items()):
        top = tmp_path / str(number)
        top.mkdir()
        project = Project(top / "p", {**FILES, "gitml.yaml": "remotes: lfs\n"} if name == ".lfsconfig" else FILES)
        (top / "secret").write_text("CANARY: [x\n  'y")
        os.mkfifo(top / "pipe")
        (project.path / name).unlink()
        KINDS[kind](project.path / name, top)
        for command in commands:
            done = ends(project, command)
            assert len(done.err.splitlines()) <= 2, (name, command, done.err)


@pytest.mark.parametrize("name", ["gitml.yaml", "pipelines/t.yaml", "gitml.lock"])
@pytest.mark.parametrize("kind", ["link outside", "link inside", "link to a device", "huge"])
def test_it_is_refused_in_one_line_that_names_it(tmp_path: Path, name: str, kind: str) -> None:
    project = Project(tmp_path / "p", FILES)
    (tmp_path / "secret").write_text("CANARY: [x\n  'y")
    (project.path / name).unlink()
    KINDS[kind](project.path / name, tmp_path)
    project.repo.commit("a change")
    for command in ("lock",) if name == "gitml.lock" else ("plan", "plan --at HEAD", "run -n"):
        done = ends(project, command)
        assert done.code == 2
        assert len(done.err.splitlines()) == 1
        assert name in done.err
        assert ("a link" if "link" in kind else "larger than") in done.err
    if name == "gitml.yaml" and kind != "huge":
        done = ends(project, "remotes")
        assert done.code == 2
        assert name in done.err

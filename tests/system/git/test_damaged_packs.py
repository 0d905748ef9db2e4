"""Packs of Git and their indexes that a disk damaged: named by fsck, mended by fsck --repair, and nothing recorded is lost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.projects.command_line import Project
from tests.kit.projects.repository import Repository


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.chmod(0o644)
    os.truncate(path, path.stat().st_size // 2)


def lose(path: Path) -> None:
    path.unlink()
    os.utime(path.with_suffix(".pack"), (1, 1))


DAMAGES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "an index cut": (".idx", cut),
    "an index with a flipped bit": (".idx", lambda path: flip(path, 1200)),
    "an index with a flipped end": (".idx", lambda path: flip(path, -1)),
    "an index lost": (".idx", lose),
    "a pack whose checksum is flipped": (".pack", lambda path: flip(path, -1)),
    "a pack whose head is flipped": (".pack", lambda path: flip(path, 0)),
}


@pytest.fixture
def packed(tmp_path: Path) -> Project:
    project = Project(tmp_path / "p", {"pipelines/p.yaml": "steps:\n  a: {run: echo a}\n  b: {run: echo b}\n"})
    project.run()
    project.repo.git("repack", "-adq")
    project.repo.git("prune-packed")
    return project


@pytest.mark.parametrize("what", DAMAGES)
def test_it_is_named_and_mended_and_all_is_read_again(packed: Project, what: str) -> None:
    ending, how = DAMAGES[what]
    (path,) = (packed.path / ".git/objects/pack").glob(f"*{ending}")
    how(path)
    assert path.stem in packed.do("fsck", "--deep", code=3).out
    packed.do("fsck", "--deep", "--repair", code=None)
    packed.do("fsck", "--deep")
    assert packed.outcomes() == {"a": "reused", "b": "reused"}
    packed.repo.git("fsck", "--strict")
    assert len(packed.do("log", "--json").json) == 2


def test_a_damaged_index_is_an_integrity_error_with_its_mend_and_no_fault_of_the_disk(packed: Project) -> None:
    (path,) = (packed.path / ".git/objects/pack").glob("*.idx")
    cut(path)
    done = packed.do("run", code=3)
    assert "fsck --repair" in done.err


def lose_all(packed: Project) -> None:
    for path in (packed.path / ".git/objects/pack").iterdir():
        path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("damage", [lose_all, lambda packed: flip_all(packed)], ids=["lost", "flipped"])
def test_what_a_git_remote_has_is_fetched_again(
    packed: Project, tmp_path: Path, damage: Callable[[Project], None]
) -> None:
    hub = Repository(tmp_path / "hub.git", bare=True)
    packed.repo.git("remote", "add", "origin", "../hub.git")
    packed.repo.git("push", "-q", "origin", "main")
    packed.do("push")
    tree = packed.repo.git("rev-parse", "HEAD^{tree}")
    damage(packed)
    packed.do("fsck", code=None)
    told = packed.do("fsck", "--deep", "--repair")
    assert "fetched from a Git remote" in told.out
    assert packed.repo.git("rev-parse", "HEAD^{tree}") == tree
    packed.do("fsck", "--deep")
    packed.repo.git("fsck", "--strict")
    assert packed.outcomes() == {"a": "reused", "b": "reused"}
    assert len(packed.do("log", "--json").json) == 2
    hub.git("fsck", "--strict")


def flip_all(packed: Project) -> None:
    for path in (packed.path / ".git/objects/pack").iterdir():
        for at in range(20, path.stat().st_size, 50):
            flip(path, at)


@pytest.mark.slow
def test_a_remote_that_lacks_some_gives_the_others_and_one_that_is_gone_none(packed: Project, tmp_path: Path) -> None:
    Repository(tmp_path / "hub.git", bare=True)
    packed.repo.git("remote", "add", "gone", str(tmp_path / "gone.git"))
    packed.repo.git("remote", "add", "origin", str(tmp_path / "hub.git"))
    packed.repo.git("push", "-q", "origin", "main")
    lose_all(packed)
    told = packed.do("fsck", "--repair", code=3)
    assert "fetched from a Git remote" in told.out
    packed.repo.git("rev-parse", "HEAD^{tree}")


def test_a_killed_run_is_no_obstacle_to_the_repair_of_the_packs_that_its_record_needs(packed: Project) -> None:
    live = packed.path / ".git/gitml/live/0123456789abcdef"
    recorded = packed.do("show", "latest", "--json").json
    live.mkdir(parents=True)
    head = {**recorded, "run": live.name, "steps": []}
    (live / "run.json").write_text(json.dumps(head))
    (live / "steps.json").write_text(json.dumps(["a", "b"]))
    (path,) = (packed.path / ".git/objects/pack").glob("*.idx")
    cut(path)
    assert "fsck --repair" in packed.do("run", code=3).err
    packed.do("fsck", "--repair")
    assert live.name in {run["run"] for run in packed.do("log", "--json", "--all").json}


def test_a_lost_empty_tree_is_nothing_missing(packed: Project) -> None:
    (path,) = (packed.path / ".git/objects/pack").glob("*.pack")
    content = path.read_bytes()
    lose_all(packed)
    packed.repo.git("unpack-objects", "-q", input=content)
    (packed.path / ".git/objects/4b/825dc642cb6eb9a060e54bf8d69288fbee4904").unlink()  # with which the log begins
    lost = packed.repo.git_bytes("hash-object", "-t", "blob", "-w", "--stdin", input=b"lost").decode().strip()
    packed.repo.git("update-ref", "refs/gitml/lost", packed.repo.git("commit-tree", "-m", "x", tree_of(packed, lost)))
    (packed.path / f".git/objects/{lost[:2]}/{lost[2:]}").unlink()
    named = [fault["name"] for fault in packed.do("fsck", "--json", code=3).json["faults"]]
    assert named == [lost]


def tree_of(project: Project, blob: str) -> str:
    return project.repo.git("mktree", input=f"100644 blob {blob}\tfile\n".encode())

"""Packs of Git and their indexes that a disk damaged: named by fsck, mended by fsck --repair, and nothing recorded is lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.commandline import Project


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

"""A disk that is full or fails is said as that, with exit code 5, wherever it strikes."""

from __future__ import annotations

import errno
import os
import random
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from gitml.errors import MachineError, RemoteError
from gitml.execute.attempt import is_of_disk
from gitml.git.command import Location
from gitml.git.errors import explain
from tests.kit.disks.small_disk import small_disk_at
from tests.kit.projects.command_line import Project
from tests.kit.projects.repository import Repository

HERE = Location("/r/.git", "/r/.git", "/r", "sha1", bare=False)
LARGE = random.Random(1).randbytes(2_500_000)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("fetch", "error: unable to write file x: No space left on device\nfatal: unpack-objects failed"),
        ("fetch", "fatal: write error: No space left on device\nfatal: fetch-pack: invalid index-pack output"),
        (
            "fetch",
            "error: insufficient permission for adding an object\nfatal: sha1 file write error: Input/output error",
        ),
        ("push", "fatal: unable to create temporary file: No space left on device"),
        ("fetch", "fatal: unable to create 'x': Read-only file system"),
    ],
)
def test_what_this_disk_refused_git_is_of_this_machine(what: str, said: str) -> None:
    assert isinstance(explain(HERE, what, "origin-not-a-name:", said), MachineError)


@pytest.mark.parametrize(
    "said",
    [
        "remote: error: unable to write file x: No space left on device\nerror: remote unpack failed: unpack-objects failed",
        "remote: fatal: write error: No space left on device\n! [remote rejected] (unpacker error)",
    ],
)
def test_what_the_remotes_disk_refused_is_of_the_remote(said: str) -> None:
    assert isinstance(explain(HERE, "push", "host:", said), RemoteError)


def test_only_what_disks_and_systems_refuse_counts_as_theirs() -> None:
    assert all(is_of_disk(OSError(code, "x")) for code in (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT))
    assert not any(is_of_disk(OSError(code, "x")) for code in (errno.ENOENT, errno.ENAMETOOLONG, errno.EACCES))
    assert not is_of_disk(None)


def test_a_disk_that_fails_while_the_registrys_index_is_made_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.kit.projects.module_folders import module_folders

    def refused(path: str) -> None:
        raise OperationalError("PRAGMA x", (), sqlite3.OperationalError("disk I/O error"))

    monkeypatch.setattr("registry.projection.tables.make", refused)
    with module_folders(tmp_path / "ann") as made, pytest.raises(MachineError, match="disk I/O error"):
        made.publish("1.0.0")


@pytest.mark.slow
@pytest.mark.root
def test_a_disk_that_is_full_when_a_step_is_prepared_ends_the_run_with_5(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    pipeline = "inputs: {raw: data/raw.bin}\nsteps:\n  a: {run: 'wc -c ${{ inputs.raw }}'}\n"
    project = Project(tmp_path / "r", {"pipelines/p.yaml": pipeline, "data/raw.bin": LARGE})
    settings = tmp_path / "config" / "gitml" / "config.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"sandboxes: {place}\n")
    project.env["XDG_CONFIG_HOME"] = str(tmp_path / "config")
    with small_disk_at(place, "1m"):
        done = project.do("run", code=None)
        assert done.code == 5, done
        assert "space" in done.err + done.out
        (step,) = project.do("show", "latest", "--json").json["steps"]
        assert (step["outcome"], step["attempts"][0]["outcome"]) == ("failed", "machine")
    settings.unlink()
    assert project.outcomes() == {"a": "executed"}


@pytest.mark.slow
@pytest.mark.root
def test_a_disk_that_is_full_when_records_are_pulled_is_this_ones(tmp_path: Path) -> None:
    hub = Repository(tmp_path / "hub.git", bare=True)
    config = "records: {inline_file: 50MiB, inline_run: 50MiB}\n"
    pipeline = "steps:\n  a: {shell: sh, run: 'head -c 4000000 /dev/urandom > ${{ outputs.o }}', outputs: {o: file}}\n"
    ann = Project(tmp_path / "ann", {"pipelines/p.yaml": pipeline, "gitml.yaml": config})
    ann.repo.git("remote", "add", "origin", hub.path)
    ann.repo.git("push", "-q", "origin", "main")
    place = tmp_path / "disk"
    place.mkdir()
    with small_disk_at(place, "3m"):
        hub.git("clone", "-q", hub.path, str(place / "bob"))
        bob = Project(place / "bob")
        ann.run()
        ann.do("push")
        done = bob.do("pull", code=None)
        assert done.code == 5, done


def test_a_remote_folder_that_can_not_be_synced_is_the_remotes_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gitml.git.log.local_remote import LocalRemote

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    side = LocalRemote(Location(str(tmp_path), str(tmp_path), None, "sha1", bare=True))
    with pytest.raises(RemoteError, match=r"the remote refused: .*No space left"):
        side.sync(["refs/gitml/runs"])

"""What the operating system refuses comes with whose it is and the command that mends it."""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import shlex  # noqa: F401  what `permissions` imports late is not to be had after setuid
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitml.errors import how_to_mend, machine_error
from gitml.permissions import can_be_changed_by_others, can_be_written, permission_hint
from gitml.workspace import open_workspace
from tests.kit.ordinary_user import ordinary
from tests.kit.projects.repository import Repository

ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """``.git/gitml`` of a repository, given back in the end."""
    place = tmp_path / "a project/.git/gitml"
    (place / "objects/ab").mkdir(parents=True)
    (place / "objects/ab/cd").write_text("x")
    yield place
    subprocess.run(["chmod", "-R", "u+rwX", str(tmp_path)], check=True)


def said(path: Path) -> str:
    """The mend as an ordinary user is told it, for whom permissions count."""
    code = f"from gitml.permissions import permission_hint; print(permission_hint({str(path)!r}))"
    return ordinary(sys.executable, "-c", code).stdout.strip()


def test_a_folder_of_mine_that_i_may_not_write_to_is_opened_by_chmod(folder: Path) -> None:
    (folder / "objects/ab").chmod(0o555)
    for name in ("cd", "new", "not/even/there"):
        assert said(folder / "objects/ab" / name) == f"chmod u+rwx '{folder}/objects/ab'"


def test_a_file_of_mine_that_i_may_not_write_to_is_opened_by_chmod(folder: Path) -> None:
    (folder / "objects/ab/cd").chmod(0)
    assert said(folder / "objects/ab/cd") == f"chmod u+rw '{folder}/objects/ab/cd'"


def test_a_folder_above_that_lets_nobody_through_is_the_one_named(folder: Path) -> None:
    folder.chmod(0o600)
    assert said(folder / "objects/ab/cd") == f"chmod u+rwx '{folder}'"


def give_away(path: Path) -> None:
    """All of it to a user that is nobody here."""
    for place, _, names in os.walk(path):
        for one in (place, *(os.path.join(place, name) for name in names)):
            os.chown(one, 12345, 12345)


@pytest.mark.root
@pytest.mark.parametrize("given", ["objects/ab", "."])
def test_what_another_user_made_is_given_back_as_a_whole_where_it_is_gitmls(folder: Path, given: str) -> None:
    give_away(folder / given)
    told = said(folder / "objects/ab/new")
    assert told == f"it belongs to 12345: sudo chown -R {ME} '{folder}'"


@pytest.mark.root
def test_what_lies_among_things_of_another_user_is_theirs_to_open(folder: Path) -> None:
    give_away(folder.parents[1])
    os.chown(folder.parents[2], 54321, 54321)
    folder.parents[2].chmod(0o755)
    there = folder / "objects/ab"
    assert said(there / "new") == f"{there} belongs to 12345: ask to be let in, or use another place"


def test_a_place_that_is_the_systems_is_never_given_away() -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            os.write(writing, permission_hint("/nonexistent/.cache/gitml").encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with open(reading) as told:
        assert told.read() == "/ belongs to root: ask to be let in, or use another place"


def test_whether_a_folder_could_be_made_is_told_without_making_it(folder: Path) -> None:
    assert can_be_written(str(folder / "not/there"))
    assert not (folder / "not").exists()
    (folder / "objects").chmod(0o555)
    code = f"from gitml.permissions import can_be_written; print(can_be_written({str(folder / 'objects/x')!r}))"
    assert ordinary(sys.executable, "-c", code).stdout.strip() == "False"


def test_what_nothing_denies_gets_no_command(tmp_path: Path) -> None:
    assert permission_hint(str(tmp_path / "x")) == "see who owns it and whether you may write there"


def test_a_full_disk_and_a_read_only_one_have_mends_of_their_own() -> None:
    assert "gitml gc" in (how_to_mend(OSError(errno.ENOSPC, "No space left on device"), "/x") or "")
    assert how_to_mend(OSError(errno.EROFS, "Read-only file system"), "/x") == "mount the file system writable"
    assert how_to_mend(OSError(errno.ENOENT, "No such file"), "/x") is None
    error = machine_error(OSError(errno.EIO, "Input/output error"), "/x")
    assert (error.message, error.where) == ("the disk refused: Input/output error", "/x")


def test_a_folder_that_another_user_could_fill_is_known(tmp_path: Path) -> None:
    own, open_to_all = tmp_path / "own", tmp_path / "open"
    own.mkdir()
    open_to_all.mkdir()
    assert not can_be_changed_by_others(str(own / "gitml/envs"))
    open_to_all.chmod(0o777)
    assert can_be_changed_by_others(str(open_to_all / "gitml/envs"))
    open_to_all.chmod(0o1777)  # as /tmp, where nobody renames what is another's
    assert not can_be_changed_by_others(str(open_to_all / "gitml"))
    (own / "link").symlink_to(open_to_all)
    open_to_all.chmod(0o777)
    assert can_be_changed_by_others(str(own / "link"))
    if os.geteuid() == 0:
        os.chown(own, 65534, 65534)
        assert can_be_changed_by_others(str(own / "gitml/envs"))


def test_environments_are_kept_where_no_other_user_could_have_put_one(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r")
    cache = tmp_path / "cache"
    cache.mkdir()
    environ = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    for mode, shared in ((0o755, False), (0o777, True)):
        cache.chmod(mode)
        with contextlib.closing(open_workspace(str(repository.path), environ)) as ws:
            assert ws.environments_folder().startswith(f"{cache}/") != shared

"""What the operating system refuses comes with whose it is and the command that mends it."""

from __future__ import annotations

import errno
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitml.errors import how_to_be_let, how_to_mend, machine_error
from tests.kit.ordinary import ordinary

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
    code = f"from gitml.errors import how_to_be_let; print(how_to_be_let({str(path)!r}))"
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


@pytest.mark.root
@pytest.mark.parametrize(("given", "whole"), [("objects/ab", "objects/ab"), (".", ".")])
def test_what_another_user_owns_is_given_back_as_a_whole_where_it_is_gitmls(
    folder: Path, given: str, whole: str
) -> None:
    for place, _, names in os.walk(folder / given):
        for path in (place, *(os.path.join(place, name) for name in names)):
            os.chown(path, 12345, 12345)
    (folder / "objects/ab").chmod(0o755)
    told = said(folder / "objects/ab/new")
    assert told == f"it belongs to 12345: sudo chown -R {ME} '{os.path.normpath(folder / whole)}'"


def test_what_nothing_denies_gets_no_command(tmp_path: Path) -> None:
    assert how_to_be_let(str(tmp_path / "x")) == "see who owns it and whether you may write there"


def test_a_full_disk_and_a_read_only_one_have_mends_of_their_own() -> None:
    assert "gitml gc" in (how_to_mend(OSError(errno.ENOSPC, "No space left on device"), "/x") or "")
    assert how_to_mend(OSError(errno.EROFS, "Read-only file system"), "/x") == "mount the file system writable"
    assert how_to_mend(OSError(errno.ENOENT, "No such file"), "/x") is None
    error = machine_error(OSError(errno.EIO, "Input/output error"), "/x")
    assert (error.message, error.where) == ("the disk refused: Input/output error", "/x")

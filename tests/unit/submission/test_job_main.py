"""Where submitted runs are performed is ours alone, and nobody tidies away what another job has just begun."""

from __future__ import annotations

import fcntl
import os
import pwd
import time
from pathlib import Path
from typing import Any

import pytest

from gitml.core.model.stop_signal import StopSignal
from gitml.errors import MachineError
from gitml.submission import job_main
from gitml.submission.job_main import KEEP, new_folder, run_job_bundle, submitted_folder


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Path(submitted_folder(os.environ))


def tidy(base: Path, seconds: float = 0.0) -> None:
    """What every job does when it begins; `seconds` from now."""
    job_main._reap(str(base), time.time() + seconds)


def test_nobody_else_looks_into_the_folder(base: Path) -> None:
    place = Path(new_folder())
    assert [oct(folder.stat().st_mode & 0o777) for folder in (base, place)] == ["0o700", "0o700"]
    base.chmod(0o755)
    new_folder()
    assert oct(base.stat().st_mode & 0o777) == "0o700", "one made by an older gitml neither"


def test_a_folder_of_another_user_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base.mkdir(parents=True)
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.raises(MachineError, match="belongs to another user"):
        new_folder()


def test_without_a_variable_for_it_home_is_where_the_user_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    home = pwd.getpwuid(os.getuid()).pw_dir
    assert submitted_folder({}) == f"{home}/.cache/gitml/submitted"
    assert submitted_folder({"HOME": "/home/ann"}) == "/home/ann/.cache/gitml/submitted"
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert submitted_folder({}) == f"/tmp/gitml-{os.getuid()}-submitted"


def test_what_is_being_made_is_left_alone_while_another_job_tidies(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    class Locking:
        """Locks, and another job that tidies just before."""

        LOCK_EX, LOCK_NB = fcntl.LOCK_EX, fcntl.LOCK_NB

        @staticmethod
        def flock(fd: int, how: int) -> None:
            if how == fcntl.LOCK_EX:
                tidy(base)
                seen.append(os.listdir(base))
            fcntl.flock(fd, how)

    monkeypatch.setattr(job_main, "fcntl", Locking)
    assert os.path.isdir(new_folder())
    performed: list[str] = []

    def perform(parcel: str, home: str, *_: Any) -> Any:
        tidy(base)
        performed.append(home)
        assert os.path.isdir(home)
        raise MachineError("enough")

    monkeypatch.setattr(job_main, "_perform", perform)
    with pytest.raises(MachineError, match="enough"):
        run_job_bundle(str(tmp_path), os.environ, lambda _: None, StopSignal())
    assert [len(names) for names in seen] == [1, 2]
    assert not os.path.exists(performed[0])


def test_what_was_left_goes_in_time(base: Path) -> None:
    place = Path(new_folder())
    (base / "new-left").mkdir()
    tidy(base)
    assert len(os.listdir(base)) == 2
    tidy(base, 2 * 3600)
    assert os.listdir(base) == [place.name]
    tidy(base, KEEP + 60)
    assert os.listdir(base) == []

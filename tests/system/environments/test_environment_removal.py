"""`gc --environments` and `du`: what nothing used lately goes, what a run uses stays."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from tests.system.conftest import Project

DAY = 86400.0


def folders(project: Project) -> list[Path]:
    """The environments that are built."""
    found = Path(project.env["HOME"]) / ".cache/gitml/envs"
    return sorted(path for path in found.iterdir() if path.is_dir()) if found.exists() else []


def used_before(place: Path, days: float) -> None:
    """Has it look as if it was used last so many days ago."""
    moment = time.time() - days * DAY
    os.utime(f"{place}.used", (moment, moment))


@pytest.fixture
def built(locked: Project) -> Path:
    locked.run("a")
    (place,) = folders(locked)
    return place


@pytest.mark.slow
def test_what_no_step_used_for_long_goes_and_is_built_again(locked: Project, built: Path) -> None:
    used_before(built, 89)
    assert locked.gitml("gc", "--environments", "90d", "--json").data["environments"] == 0
    used_before(built, 91)
    assert "would remove 1 environment, " in locked.gitml("gc", "-n", "--environments", "90d").out
    assert folders(locked) == [built]
    data = locked.gitml("gc", "--environments", "90d", "--json").data
    assert data["environments"] == 1
    assert data["environment_bytes"] > 1000
    assert folders(locked) == []
    locked.run("a", "--force")
    assert folders(locked) == [built]
    used_before(built, 91)
    locked.run("a", "--force")  # which notes the use
    assert locked.gitml("gc", "--environments", "90d", "--json").data["environments"] == 0


@pytest.mark.slow
def test_what_a_process_uses_stays_whatever_is_asked(locked: Project, built: Path) -> None:
    with open(f"{built}.used", "rb") as used:
        fcntl.flock(used, fcntl.LOCK_SH)
        locked.gitml("gc", "--environments", "0")
        assert folders(locked) == [built]
    locked.gitml("gc", "--environments", "0")
    assert folders(locked) == []


def test_du_counts_environments_and_packages_of_conda(locked: Project, built: Path) -> None:
    package = built.parents[1] / "conda-packages/a"
    package.mkdir(parents=True)
    (package / "file").write_bytes(bytes(5000))
    rooms = {room["what"]: room for room in locked.gitml("du", "--json").data["rooms"]}
    assert rooms["environments (shared)"]["items"] == 1
    assert rooms["environments (shared)"]["bytes"] > 1000
    assert (rooms["packages of conda (shared)"]["items"], rooms["packages of conda (shared)"]["bytes"]) == (1, 5000)

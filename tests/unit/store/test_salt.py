"""A clone's salt: one for all processes, whole, and its user's alone."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gitml.errors import MachineError
from gitml.permissions import SharedMode
from gitml.store.local.salt import salt_in


def test_it_is_made_once_and_is_the_users_alone(tmp_path: Path) -> None:
    salt = salt_in(str(tmp_path))
    assert len(salt) == 32
    assert salt_in(str(tmp_path)) == salt
    assert [path.name for path in tmp_path.iterdir()] == ["salt"]
    assert stat.S_IMODE((tmp_path / "salt").stat().st_mode) == 0o600
    (tmp_path / "salt").chmod(0o644)
    assert salt_in(str(tmp_path)) == salt
    assert stat.S_IMODE((tmp_path / "salt").stat().st_mode) == 0o600


def test_processes_that_begin_at_once_have_the_same(tmp_path: Path) -> None:
    code = f"from gitml.store.local.salt import salt_in; print(salt_in({str(tmp_path)!r}).hex())"
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(6)]
    assert len({process.communicate()[0] for process in started}) == 1


@pytest.mark.parametrize("content", [b"", b"half of it"])
def test_one_that_a_power_cut_left_in_part_is_made_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "salt").write_bytes(content)
    salt = salt_in(str(tmp_path))
    assert len(salt) == 32
    assert salt_in(str(tmp_path)) == salt


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "known").write_bytes(b"k" * 32)
    os.symlink("known", tmp_path / "salt")
    with pytest.raises(MachineError):
        salt_in(str(tmp_path))


def test_sharing_a_repository_does_not_share_it(tmp_path: Path) -> None:
    salt_in(str(tmp_path))
    (tmp_path / "other").write_text("x")
    (tmp_path / "other").chmod(0o600)
    SharedMode(0o660).open_all(str(tmp_path))
    assert stat.S_IMODE((tmp_path / "salt").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "other").stat().st_mode) == 0o660


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_another_users_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "salt").write_bytes(b"k" * 32)
    os.chown(tmp_path / "salt", 12345, 12345)
    assert salt_in(str(tmp_path)) != b"k" * 32
    assert (tmp_path / f"salt-{os.geteuid()}").exists()

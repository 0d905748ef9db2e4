"""A remote store in a folder of several users."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitml.core.digest import digest_of
from gitml.core.remotes import RemoteSpec, Stored
from gitml.errors import RemoteError
from gitml.store.remote.folder import FolderRemote


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """That of most machines, which takes writing from the group."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def fill(root: Path) -> list[int]:
    """Puts a file and a manifest there; the rights of all folders that were made."""
    remote = FolderRemote(RemoteSpec("r", f"file://{root}"), str(root))
    content = b"content"
    digest = digest_of(content)
    remote.put(Stored(digest, len(content)), content, lambda _: None)
    remote.put_manifests({digest: b"manifest"})
    return [os.stat(place).st_mode & 0o7777 for place, _, _ in os.walk(root)]


def test_whom_a_folder_is_open_to_may_write_everywhere_in_it(tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.mkdir()
    root.chmod(0o2775)
    assert fill(root) == [0o2775] * 5


def test_a_store_that_is_made_in_a_group_s_folder_is_the_group_s(tmp_path: Path) -> None:
    tmp_path.chmod(0o2770)
    assert fill(tmp_path / "store") == [0o2770] * 5


def test_a_store_that_is_made_in_a_folder_of_all_is_its_maker_s(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    assert fill(tmp_path / "store") == [0o755] * 5


def test_a_file_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    remote = FolderRemote(RemoteSpec("r", f"file://{path}"), str(path))
    with pytest.raises(RemoteError, match="not a folder"):
        remote.present([Stored(digest_of(b""), 0)])

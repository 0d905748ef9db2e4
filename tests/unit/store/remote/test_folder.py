"""A remote store in a folder of several users."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitml.core.config.remotes import RemoteSpec, StoredObject, decode_manifest
from gitml.core.model.digest import digest_of
from gitml.errors import IntegrityError, RemoteError
from gitml.store.remote.backends.folder import FolderRemote


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
    remote.put(StoredObject(digest, len(content)), content, lambda _: None)
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
        remote.present([StoredObject(digest_of(b""), 0)])


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder"])
def test_what_is_no_ordinary_file_is_never_waited_for(tmp_path: Path, kind: str) -> None:
    remote = FolderRemote(RemoteSpec("r", f"file://{tmp_path}"), str(tmp_path))
    digest = digest_of(b"x")
    places = [tmp_path / folder / digest[7:9] / digest[9:] for folder in ("objects", "trees")]
    for path in (*places, tmp_path / "gc.json"):
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "folder":
            path.mkdir()
        else:
            os.mknod(path, stat.S_IFSOCK | 0o600)
    with pytest.raises(IntegrityError, match="no ordinary file"):
        remote.get(StoredObject(digest, 1))
    assert remote.present([StoredObject(digest, 0), StoredObject(digest, 1)]) == set()
    assert remote.with_manifest([digest]) == set()
    assert remote.manifest(digest) == b""
    assert remote.note() == b""
    with pytest.raises(ValueError, match="no ordinary file"):
        decode_manifest(b"", digest)

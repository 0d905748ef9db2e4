"""Extracted conda packages go when no environment has a file of them any more."""

from __future__ import annotations

import os
from pathlib import Path

from gitml.execute.environments.conda.package_cache import remove_package, unused_packages


def extracted(cache: Path, name: str) -> Path:
    file = cache / "conda-packages" / name / "share/data"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x" * 10_000)
    return file


def test_a_package_whose_files_are_linked_is_used(tmp_path: Path) -> None:
    used, unused = extracted(tmp_path, "used-1-0"), extracted(tmp_path, "unused-1-0")
    os.link(used, tmp_path / "in-a-prefix")
    (tmp_path / "conda-packages/.checked").mkdir()
    (found,) = unused_packages(tmp_path.as_posix(), -1)
    assert found.path == str(unused.parents[1])
    assert found.size >= 10_000
    remove_package(found)
    assert not unused.exists()
    os.unlink(tmp_path / "in-a-prefix")
    assert [one.path for one in unused_packages(str(tmp_path), -1)] == [str(used.parents[1])]


def test_a_young_package_may_be_needed_by_a_build_that_goes_on(tmp_path: Path) -> None:
    extracted(tmp_path, "unused-1-0")
    assert list(unused_packages(str(tmp_path), 3600)) == []


def test_where_there_are_none_there_is_nothing_to_remove(tmp_path: Path) -> None:
    assert list(unused_packages(str(tmp_path), 0)) == []


def test_links_of_the_cache_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").write_text("x")
    (tmp_path / "conda-packages").mkdir()
    (tmp_path / "conda-packages/linked-1-0").symlink_to(outside)
    assert list(unused_packages(str(tmp_path), -1)) == []

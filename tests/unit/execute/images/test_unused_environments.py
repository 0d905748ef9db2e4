"""Built environments and images that nothing uses are removed, those that a process uses are not."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitml.core.kinds.image_names import parse_image_name
from gitml.execute.environments.build_control import BuildControl
from gitml.execute.environments.images.image_store import ImageStore
from gitml.execute.environments.single_build import RemovedEnvironments, build_once, hold, remove_unused, write_marker
from gitml.execute.process import StopRequests
from gitml.maintenance.gc import remove_environments, usage
from tests.kit.processes import ended_well, forked
from tests.kit.projects.project import Project
from tests.kit.servers.image_registry import BuiltImage, Entry, Registry, image, needs_images, registry

DAY = 86_400.0
BASE = [Entry("base", os.urandom(30_000))]


def in_another_process(work: Callable[[], object]) -> None:
    """Does it in a copy of this process, which ends then: what it holds is held no more."""
    assert ended_well(forked(work))


def built(folder: Path, name: str, age: float = 0.0) -> Path:
    """An environment of a process that has ended, last used `age` seconds ago."""
    place = folder / name

    def build() -> None:
        place.mkdir()
        (place / "content").write_bytes(b"x" * 1000)
        write_marker(str(place), {})

    in_another_process(lambda: build_once(str(place), lambda: None, build, BuildControl(StopRequests())))
    then = time.time() - age
    os.utime(f"{place}.used", (then, then))
    return place


def test_what_was_not_used_for_long_goes_with_its_locks(tmp_path: Path) -> None:
    old, new = built(tmp_path, "old", 10 * DAY), built(tmp_path, "new", 1 * DAY)
    foretold = remove_unused(str(tmp_path), 5 * DAY, time.time(), dry_run=True)
    assert old.exists()
    assert remove_unused(str(tmp_path), 5 * DAY, time.time()) == foretold
    assert foretold == RemovedEnvironments(1, 1002)
    assert sorted(os.listdir(tmp_path)) == ["new", "new.lock", "new.used"]
    assert new.exists()


def test_what_a_process_uses_stays_however_old(tmp_path: Path) -> None:
    place = built(tmp_path, "used", 10 * DAY)
    reader, writer = os.pipe()
    ended, end = os.pipe()

    def use() -> None:
        os.close(end)
        hold(str(place))
        os.utime(f"{place}.used", (1, 1))
        os.write(writer, b"x")
        os.read(ended, 1)

    pid = forked(use)
    os.read(reader, 1)
    assert remove_unused(str(tmp_path), 0, time.time()) == RemovedEnvironments()
    assert place.exists()
    os.write(end, b"x")
    assert ended_well(pid)
    assert remove_unused(str(tmp_path), 0, time.time()).folders == 1
    assert os.listdir(tmp_path) == []
    for fd in (reader, writer, ended, end):
        os.close(fd)


def test_a_use_makes_it_new_again(tmp_path: Path) -> None:
    place = built(tmp_path, "a", 10 * DAY)
    in_another_process(lambda: hold(str(place)))
    assert remove_unused(str(tmp_path), 5 * DAY, time.time()) == RemovedEnvironments()


def test_what_a_killed_build_left_goes_at_once_and_one_that_goes_on_stays(tmp_path: Path) -> None:
    half = tmp_path / "half"
    half.mkdir()
    (half / "some").write_bytes(b"x" * 10)
    removed: list[RemovedEnvironments] = []

    def build() -> None:
        (tmp_path / "goes-on").mkdir()
        removed.append(remove_unused(str(tmp_path), 0, time.time()))
        assert (tmp_path / "goes-on").exists()

    build_once(str(tmp_path / "goes-on"), lambda: None, build, BuildControl(StopRequests()))
    assert removed == [RemovedEnvironments(1, 10)]
    assert not half.exists()


def test_a_stage_beside_goes_only_when_its_build_does_not_go_on(tmp_path: Path) -> None:
    stage = tmp_path / "goes-on.stage"

    def build() -> None:
        stage.mkdir()
        remove_unused(str(tmp_path), 0, time.time())
        assert stage.exists()

    build_once(str(tmp_path / "goes-on"), lambda: None, build, BuildControl(StopRequests()))
    remove_unused(str(tmp_path), 0, time.time(), dry_run=True)
    assert stage.exists()
    remove_unused(str(tmp_path), 0, time.time())
    assert not stage.exists()


def test_a_folder_where_nothing_can_be_written_is_used_all_the_same() -> None:
    build_once("/proc/no-such-folder/x", lambda: 1, lambda: 2, BuildControl(StopRequests()))


def test_one_removed_while_it_was_waited_for_is_built_again(tmp_path: Path) -> None:
    place = built(tmp_path, "a", 10 * DAY)
    assert remove_unused(str(tmp_path), 0, time.time()).folders == 1
    assert not place.exists()
    assert built(tmp_path, "a").exists()
    assert sorted(os.listdir(tmp_path)) == ["a", "a.lock", "a.used"]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Registry]:
    needs_images()
    with registry(tmp_path / "home") as one:
        yield one


def fetched(folder: Path, served: Registry, one: BuiltImage) -> None:
    store = ImageStore(str(folder), {"PATH": os.environ["PATH"], **served.environ()})
    name, _ = parse_image_name(served.push(one))
    assert name is not None
    in_another_process(lambda: store.build(name, one.digest, BuildControl(StopRequests())))


def blobs(folder: Path) -> set[str]:
    return set(os.listdir(folder / "blobs/sha256"))


def test_layers_go_when_nothing_was_unpacked_from_them_for_long_and_images_stay(
    tmp_path: Path, served: Registry
) -> None:
    folder = tmp_path / "images"
    kept, gone = image([BASE, [Entry("kept")]]), image([BASE, [Entry("gone")]])
    fetched(folder, served, kept)
    fetched(folder, served, gone)
    for path in folder.glob("roots/*.used"):
        if path.name.startswith(gone.digest[7:39]):
            os.utime(path, (1, 1))
    for path in folder.glob("blobs/sha256/*"):
        os.utime(path, (1, 1))
    store = ImageStore(str(folder), {})
    foretold = store.remove_unused(5 * DAY, time.time(), dry_run=True)
    assert foretold.folders == 1
    removed = store.remove_unused(5 * DAY, time.time())
    assert (removed.folders, removed.bytes >= foretold.bytes) == (1, True)
    config = json.loads(kept.blobs[kept.digest])["config"]["digest"]
    assert blobs(folder) == {kept.digest[7:], config[7:]}
    assert store.built(kept.digest) is not None
    assert store.built(gone.digest) is None


def test_whatever_lies_among_blobs_and_images_goes_and_what_links_lead_to_stays(
    tmp_path: Path, served: Registry
) -> None:
    folder, other = tmp_path / "images", tmp_path / "other"
    kept = image([BASE])
    fetched(folder, served, kept)
    (other / "in").mkdir(parents=True)
    (other / "in/x").write_text("x")
    blobs_, roots = folder / "blobs/sha256", folder / "roots"
    for name in ("link", "link.part", "f" * 64):
        (blobs_ / name).symlink_to(other)
    for name in ("folder", "folder.part"):
        (blobs_ / name / "deep").mkdir(parents=True)
        (blobs_ / name / "out").symlink_to(other)
    (roots / "linked").symlink_to(other)
    for number, marker in enumerate([{"image": 5}, {"image": "sha256:../../x"}, {"image": kept.digest, "env": 5}, {}]):
        (roots / f"marked{number}").mkdir()
        write_marker(str(roots / f"marked{number}"), marker)
    for path in blobs_.iterdir():
        os.utime(path, (1, 1), follow_symlinks=False)
    ImageStore(str(folder), {}).remove_unused(5 * DAY, time.time())
    config = json.loads(kept.blobs[kept.digest])["config"]["digest"]
    assert blobs(folder) == {kept.digest[7:], config[7:]}
    assert (other / "in/x").exists()
    ImageStore(str(folder), {}).remove_unused(0, time.time() + DAY)
    assert sorted(os.listdir(roots)) == ["linked"]
    assert (other / "in/x").exists()


def test_gc_and_du_know_them(tmp_path: Path, served: Registry) -> None:
    project = Project(tmp_path / "r", {"pipelines/p.yaml": "steps: {a: {run: 'true'}}\n"})
    project.environ.update(served.environ())
    folder = tmp_path / "home/.cache/gitml"
    fetched(folder / "images", served, image([BASE]))
    (folder / "envs").mkdir()
    built(folder / "envs", "a")
    with project.workspace() as ws:
        used = {one.what: one for one in usage(ws)}
        assert used["environments (shared)"].items == 1
        assert used["images (shared)"].items == 1
        assert used["images (shared)"].bytes > 30_000
        assert remove_environments(ws, DAY).folders == 0
        assert remove_environments(ws, 0, dry_run=True).folders == 2
        assert remove_environments(ws, 0).folders == 2
        assert {one.what: one.bytes for one in usage(ws)}["images (shared)"] == 0

"""Images in remote stores: pushed once, asked for before a registry, resumed where they were cut off, and kept by gc."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitml.analysis.environment_build import build_environments
from gitml.analysis.environment_push import images_of, push_environments
from gitml.core.config.remotes import StoredObject, decode_image_entry, encode_image_entry
from gitml.core.model.digest import Digest
from gitml.core.model.events import Event, StepPrepares
from gitml.core.model.stop_signal import StopSignal
from gitml.engine.planning.load import load
from gitml.errors import InputError
from gitml.execute.environments.build_control import BuildControl
from gitml.execute.environments.images.manifests import platform_of
from gitml.execute.process import StopRequests
from gitml.maintenance.gc import KeepPolicy
from gitml.maintenance.remote_gc import collect_remote
from gitml.store.remote.transfer import progress
from gitml.store.remote.transfer.progress import TransferStoppedError
from gitml.transfer.images import PushedImage
from tests.kit.projects.project import Project, outcomes
from tests.kit.servers.image_registry import (
    BuiltImage,
    Entry,
    Registry,
    busybox,
    digest_of,
    image,
    index,
    needs_images,
    registry,
)

PIPELINE = """\
environment: {{image: "{}"}}
steps:
  one:
    run: cp /etc/release ${{{{ outputs.o }}}}
    outputs: {{o: file}}
"""
BIG = os.urandom(3 << 20)


def release(text: str) -> BuiltImage:
    return image([[*busybox(), Entry("big", BIG)], [Entry("etc/release", text.encode())]], ["PATH=/bin"])


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Registry]:
    needs_images(skopeo=False)
    with registry(tmp_path / "home") as one:
        yield one


def project_with(tmp_path: Path, served: Registry, name: str) -> Project:
    files = {
        "pipelines/p.yaml": PIPELINE.format(name),
        "gitml.yaml": f"remotes:\n  - {{name: shared, url: 'file://{tmp_path / 'store'}'}}\n",
    }
    project = Project(tmp_path / "r", files)
    project.environ.update(served.environ(), PATH="/usr/bin:/bin")
    return project


def push(project: Project, *stores: str, stop: StopSignal | None = None) -> list[PushedImage]:
    with project.workspace() as ws:
        found = images_of(ws, load(ws, None, None), ())
        asked = stop or StopSignal()
        return list(push_environments(ws, found, stores, lambda event: None, asked, BuildControl(StopRequests())))


def forget_images(tmp_path: Path, project: Project) -> None:
    """As on another machine: nothing of any image is here, and nothing is known of one."""
    shutil.rmtree(tmp_path / "home/.cache/gitml/images")
    with project.workspace() as ws:
        ws.index.execute("DELETE FROM facts WHERE kind = 'image manifest'", ())


def objects(tmp_path: Path) -> dict[str, bytes]:
    """What lies in the store, by digest."""
    found = (tmp_path / "store/objects").glob("*/*")
    return {f"sha256:{path.parent.name}{path.name}": path.read_bytes() for path in found}


def test_all_of_an_image_is_pushed_once_and_comes_from_the_store_then(tmp_path: Path, served: Registry) -> None:
    built = release("1\n")
    project = project_with(tmp_path, served, served.push(built))
    (first,) = push(project)
    assert (first.sent, first.there) == (len(built.blobs), 0)
    assert objects(tmp_path) == dict(built.blobs)
    (again,) = push(project)
    assert (again.sent, again.bytes, again.there) == (0, 0, len(built.blobs))
    forget_images(tmp_path, project)
    served.close()
    served.blobs.clear()
    run = project.run()
    assert outcomes(run) == {"one": "executed"}
    assert project.output(run.steps[0]) == b"1\n"
    said = [event.what for event in project.events if isinstance(event, StepPrepares)]
    assert any("from remote shared" in words for words in said)


def test_what_is_not_here_is_fetched_from_the_registry_first(tmp_path: Path, served: Registry) -> None:
    built = release("1\n")
    project = project_with(tmp_path, served, served.push(built))
    project.run()
    for layer in (tmp_path / "home/.cache/gitml/images/blobs/sha256").iterdir():
        if layer.stat().st_size > 100_000:
            layer.unlink()
    push(project)
    assert objects(tmp_path) == dict(built.blobs)


def test_of_an_index_the_index_and_this_platforms_image_are_pushed(tmp_path: Path, served: Registry) -> None:
    built, other = release("1\n"), release("another platform's\n")
    architecture, variant = platform_of()
    both = index({("linux", "s390x", ""): other, ("linux", architecture, variant): built})
    project = project_with(tmp_path, served, served.push(both))
    push(project)
    there = objects(tmp_path)
    assert there == {**built.blobs, both.digest: both.blobs[both.digest]}
    forget_images(tmp_path, project)
    served.close()
    assert outcomes(project.run()) == {"one": "executed"}


def test_a_build_ahead_asks_the_store_too(tmp_path: Path, served: Registry) -> None:
    project = project_with(tmp_path, served, served.push(release("1\n")))
    push(project)
    forget_images(tmp_path, project)
    served.close()
    said: list[str] = []
    with project.workspace() as ws:
        loaded = load(ws, None, None)
        (done,) = build_environments(ws, loaded, (), StopRequests(), lambda one, words: said.append(words))
    assert done.outcome == "built", done.error
    assert any("from remote shared" in words for words in said)


def test_other_bytes_in_a_store_are_refused_and_the_registry_is_asked(tmp_path: Path, served: Registry) -> None:
    built = release("1\n")
    project = project_with(tmp_path, served, served.push(built))
    push(project)
    for path in (tmp_path / "store/objects").glob("*/*"):
        content = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    forget_images(tmp_path, project)
    served.requests.clear()
    run = project.run()
    assert project.output(run.steps[0]) == b"1\n"
    assert any("/blobs/" in path for path in served.requests)


BROKEN = {
    "empty": b"",
    "nothing in it": b"{}",
    "deep": b"[" * 9999,
    "newer": b'{"format": 9}',
    "no digest": b'{"format": 1, "tree": "x"}',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_entry_is_passed_over(tmp_path: Path, served: Registry, content: bytes) -> None:
    project = project_with(tmp_path, served, served.push(release("1\n")))
    push(project)
    for path in (tmp_path / "store/trees").glob("*/*"):
        path.chmod(0o644)
        path.write_bytes(content)
    forget_images(tmp_path, project)
    assert outcomes(project.run()) == {"one": "executed"}


def test_what_a_store_names_beside_the_parts_of_an_image_is_not_fetched(tmp_path: Path, served: Registry) -> None:
    built, other = release("1\n"), os.urandom(100_000)
    project = project_with(tmp_path, served, served.push(built))
    push(project)
    stray = Digest(digest_of(other))
    (entry,) = (tmp_path / "store/trees").glob("*/*")
    parts = decode_image_entry(entry.read_bytes(), Digest(built.digest))
    assert parts is not None
    place = tmp_path / f"store/objects/{stray[7:9]}/{stray[9:]}"
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(other)
    entry.chmod(0o644)
    entry.write_bytes(encode_image_entry(Digest(built.digest), (*parts, StoredObject(stray, len(other)))))
    forget_images(tmp_path, project)
    served.close()
    served.blobs.clear()
    assert outcomes(project.run()) == {"one": "executed"}
    there = {f"sha256:{path.name}" for path in (tmp_path / "home/.cache/gitml/images/blobs/sha256").iterdir()}
    assert there == built.blobs.keys()


@pytest.mark.slow
def test_a_part_of_another_size_than_the_manifest_says_leaves_it_to_the_registry(
    tmp_path: Path, served: Registry
) -> None:
    built = release("1\n")
    project = project_with(tmp_path, served, served.push(built))
    push(project)
    (entry,) = (tmp_path / "store/trees").glob("*/*")
    parts = decode_image_entry(entry.read_bytes(), Digest(built.digest))
    assert parts is not None
    for number in (0, len(parts) - 1):
        changed = [part if at != number else part._replace(size=2**40) for at, part in enumerate(parts)]
        entry.chmod(0o644)
        entry.write_bytes(encode_image_entry(Digest(built.digest), changed))
        forget_images(tmp_path, project)
        served.requests.clear()
        with project.workspace() as ws:
            ws.index.execute("DELETE FROM results", ())
        assert list(outcomes(project.run())) == ["one"]
        assert any("/blobs/" in path for path in served.requests)


def test_a_store_that_lacks_a_layer_leaves_it_to_the_registry(tmp_path: Path, served: Registry) -> None:
    built = release("1\n")
    project = project_with(tmp_path, served, served.push(built))
    push(project)
    largest = max((tmp_path / "store/objects").glob("*/*"), key=lambda path: path.stat().st_size)
    digest = f"sha256:{largest.parent.name}{largest.name}"
    largest.unlink()
    forget_images(tmp_path, project)
    served.requests.clear()
    assert outcomes(project.run()) == {"one": "executed"}
    asked = {path.rpartition("/")[2] for path in served.requests if "/blobs/" in path}
    layers = {layer["digest"] for layer in json.loads(built.blobs[built.digest])["layers"]}
    assert asked & layers == {digest}


def test_a_push_that_is_stopped_goes_on_later(
    tmp_path: Path, served: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_REPORTS", 0.0)
    built = release("1\n")
    project = project_with(tmp_path, served, served.push(built))
    stop = StopSignal()
    with project.workspace() as ws:
        found = images_of(ws, load(ws, None, None), ())

        def emit(event: Event) -> None:
            stop.ask()

        with pytest.raises(TransferStoppedError):
            list(push_environments(ws, found, (), emit, stop, BuildControl(StopRequests())))
    assert not list((tmp_path / "store/trees").glob("*/*"))  # what is not whole can't be seen
    (done,) = push(project)
    assert done.sent + done.there == len(built.blobs)
    assert objects(tmp_path) == dict(built.blobs)


def test_git_lfs_and_stores_that_take_nothing_are_refused(tmp_path: Path, served: Registry) -> None:
    project = project_with(tmp_path, served, served.push(release("1\n")))
    with pytest.raises(InputError, match="no remote store 'nowhere'"):
        push(project, "nowhere")
    project.repo.commit(
        "lfs",
        {"gitml.yaml": "remotes:\n  - {name: big, url: lfs}\n  - {name: other, url: 'file:///x/y', push: false}\n"},
    )
    with pytest.raises(InputError, match="keeps no images"):
        push(project, "big")
    with pytest.raises(InputError, match="push: false"):
        push(project, "other")
    with pytest.raises(InputError, match=r"no remote store of gitml\.yaml keeps images"):
        push(project)


def collected(project: Project, *, later: float = 100 * 86400.0) -> int:
    """How many objects gc deletes, called twice: what is doomed the first time goes the second."""
    with project.workspace() as ws:
        now = time.time()
        ws.now = lambda: now + later  # type: ignore[method-assign]
        collect_remote(ws, "shared", KeepPolicy(last=1))
        ws.now = lambda: now + 2 * later  # type: ignore[method-assign]
        return collect_remote(ws, "shared", KeepPolicy(last=1)).deleted


def test_gc_keeps_images_that_runs_used_or_a_branch_names_and_no_others(tmp_path: Path, served: Registry) -> None:
    used, named, neither = release("used\n"), release("named\n"), release("neither\n")
    project = project_with(tmp_path, served, served.push(neither))
    push(project)
    project.repo.commit("used", {"pipelines/p.yaml": PIPELINE.format(served.push(used))})
    push(project)
    project.run()
    project.repo.commit("named", {"pipelines/p.yaml": PIPELINE.format(served.push(named))})
    push(project)
    assert collected(project) > 0
    there = objects(tmp_path)
    assert used.blobs.keys() <= there.keys()
    assert named.blobs.keys() <= there.keys()
    assert not (neither.blobs.keys() - used.blobs.keys() - named.blobs.keys()) & there.keys()
    entries = {f"sha256:{path.parent.name}{path.name}" for path in (tmp_path / "store/trees").glob("*/*")}
    assert entries == {used.digest, named.digest}


def test_gc_keeps_the_index_of_an_image_that_is_kept(tmp_path: Path, served: Registry) -> None:
    built = release("1\n")
    architecture, variant = platform_of()
    both = index({("linux", architecture, variant): built})
    project = project_with(tmp_path, served, served.push(both))
    push(project)
    project.run()
    project.repo.commit("none", {"pipelines/p.yaml": "steps: {a: {run: 'true'}}\n"})
    assert collected(project) == 0
    assert both.digest in objects(tmp_path)


def test_gc_keeps_all_images_where_a_pipeline_cannot_be_read(tmp_path: Path, served: Registry) -> None:
    project = project_with(tmp_path, served, served.push(release("1\n")))
    push(project)
    project.repo.commit("broken", {"pipelines/p.yaml": "steps: ["})
    assert collected(project) == 0


def test_a_store_that_was_not_allowed_is_not_asked_for_an_image(tmp_path: Path, served: Registry) -> None:
    """Registries have images too, so nobody is asked for the sake of one; nor does a run fail for want of a store."""
    project = project_with(tmp_path, served, served.push(release("1\n")))
    push(project)
    forget_images(tmp_path, project)
    (tmp_path / "hub.git").mkdir()
    project.repo.git("clone", "-q", "--bare", ".", str(tmp_path / "hub.git/x"))
    clone = tmp_path / "clone"
    project.repo.git("clone", "-q", str(tmp_path / "hub.git/x"), str(clone))
    project.start = str(clone)
    project.environ["GITML_TRUST"] = "run"
    served.requests.clear()
    assert outcomes(project.run()) == {"one": "executed"}
    assert any("/blobs/" in path for path in served.requests)

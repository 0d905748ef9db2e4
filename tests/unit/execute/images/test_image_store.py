"""Images of this machine: fetched once by digest, verified, unpacked once however many ask, and never half."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from gitml.childprocess import ChildProcess
from gitml.core.kinds.image_names import ImageName, parse_image_name
from gitml.errors import InputError, IntegrityError, MachineError
from gitml.execute.environments.build_control import BuildControl
from gitml.execute.environments.images import registry as skopeo
from gitml.execute.environments.images.image_store import ImageStore
from gitml.execute.environments.images.manifests import platform_of
from gitml.execute.environments.images.registry import ImageGoneError
from gitml.execute.environments.images.root import ImageRoot
from gitml.execute.process import StopRequests
from tests.kit.disks.small_disk import small_disk_at
from tests.kit.processes import ended_well, forked, kill_forked, wait_until
from tests.kit.servers.image_registry import (
    MANIFEST,
    BuiltImage,
    Entry,
    Registry,
    digest_of,
    folder,
    image,
    index,
    needs_images,
    registry,
)

BIG = os.urandom(300_000)
LAYERS = [[folder("etc"), Entry("etc/x", BIG)], [Entry("y", b"second")]]


@pytest.fixture(params=["skopeo", "gitml"])
def served(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Registry]:
    """A registry, which is asked by skopeo, and by gitml itself where there is none."""
    needs_images(skopeo=request.param == "skopeo")
    with registry(tmp_path / "home") as one:
        one.search_path = os.environ["PATH"] if request.param == "skopeo" else "/nowhere"
        yield one


def store_of(tmp_path: Path, served: Registry) -> ImageStore:
    return ImageStore(str(tmp_path / "images"), {"PATH": served.search_path, **served.environ()})


def named(text: str) -> ImageName:
    name, _ = parse_image_name(text)
    assert name is not None
    return name


def build(store: ImageStore, text: str) -> ImageRoot:
    name = named(text)
    return store.build(name, store.fetch_manifest(name, name.digest), BuildControl(StopRequests()))


@pytest.mark.parametrize(("docker", "compress"), [(False, False), (False, True), (True, True)])
def test_an_image_is_fetched_once_and_unpacked(tmp_path: Path, served: Registry, docker: bool, compress: bool) -> None:
    store = store_of(tmp_path, served)
    name = served.push(image(LAYERS, ["A=b"], docker=docker, compress=compress))
    root = build(store, name)
    assert Path(root.folder, "etc/x").read_bytes() == BIG
    assert Path(root.folder, "y").read_bytes() == b"second"
    assert root.variables() == {"A": "b"}
    served.requests.clear()
    assert store.build(named(name), named(name).digest, BuildControl(StopRequests())) == root
    assert store.known_manifest(named(name), named(name).digest) == named(name).digest
    assert served.requests == []


def test_of_an_index_only_this_platforms_image_is_fetched(tmp_path: Path, served: Registry) -> None:
    own, other = image(LAYERS), image([[Entry("other", b"o" * 20_000)]])
    architecture, variant = platform_of()
    both = index({("linux", "s390x", ""): other, ("linux", architecture, variant): own})
    store = store_of(tmp_path, served)
    name = named(served.push(both))
    assert store.known_manifest(name, both.digest) is None
    assert store.fetch_manifest(name, both.digest) == own.digest
    assert store.known_manifest(name, both.digest) == own.digest
    store.build(name, own.digest, BuildControl(StopRequests()))
    assert not any(digest in path for path in served.requests for digest in other.blobs)


def test_layers_that_another_image_brought_are_not_fetched_again(tmp_path: Path, served: Registry) -> None:
    store = store_of(tmp_path, served)
    build(store, served.push(image(LAYERS)))
    served.requests.clear()
    build(store, served.push(image([*LAYERS, [Entry("z", os.urandom(20_000))]])))
    first = json.loads(image(LAYERS).blobs[image(LAYERS).digest])["layers"][0]["digest"]
    assert not any(first in path for path in served.requests)


def test_a_tag_that_moved_changes_nothing(tmp_path: Path, served: Registry) -> None:
    first, second = image(LAYERS), image([[Entry("other")]])
    served.push(first, "1")
    store = store_of(tmp_path, served)
    name = f"{served.host}/team/tiny:1@{first.digest}"
    served.push(second, "1")
    assert Path(build(store, name).folder, "y").read_bytes() == b"second"


def test_an_image_that_is_gone_is_said_to_be_gone(tmp_path: Path, served: Registry) -> None:
    with pytest.raises(ImageGoneError, match=r"is gone.*manifest unknown"):
        build(store_of(tmp_path, served), f"{served.host}/team/tiny@{image(LAYERS).digest}")


def test_other_bytes_than_asked_for_are_refused(tmp_path: Path, served: Registry) -> None:
    first, second = image(LAYERS), image([[Entry("other")]])
    name = served.push(first)
    served.push(second)
    served.blobs[first.digest] = second.blobs[second.digest]
    with pytest.raises((InputError, IntegrityError)):
        build(store_of(tmp_path, served), name)
    assert not list(Path(tmp_path / "images").glob("roots/*/built.json"))


def test_a_damaged_layer_is_fetched_again(tmp_path: Path, served: Registry) -> None:
    store = store_of(tmp_path, served)
    built = image(LAYERS)
    name = named(served.push(built))
    layer = json.loads(built.blobs[built.digest])["layers"][0]["digest"]
    path = tmp_path / "images/blobs" / layer.replace(":", "/")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half of it")
    with pytest.raises(IntegrityError, match="layer 1"):
        build(store, str(name))
    assert Path(build(store, str(name)).folder, "etc/x").read_bytes() == BIG


@pytest.mark.slow
def test_a_registry_that_cuts_off_leaves_nothing_half(tmp_path: Path, served: Registry) -> None:
    store = store_of(tmp_path, served)
    name = served.push(image(LAYERS))
    served.cut = True
    with pytest.raises(InputError, match="can't be fetched"):
        build(store, name)
    place = named(name).digest[7:39]
    assert sorted(os.listdir(tmp_path / "images/roots")) == [f"{place}.lock", f"{place}.used"]
    served.cut = False
    assert Path(build(store, name).folder, "y").read_bytes() == b"second"


def test_a_registry_that_never_ends_is_left_when_there_is_more_than_it_said(tmp_path: Path, served: Registry) -> None:
    store = store_of(tmp_path, served)
    name = served.push(image(LAYERS))
    served.endless = True
    with pytest.raises(IntegrityError, match="more bytes arrived than"):
        build(store, name)
    assert not list(tmp_path.glob("images/roots/*/"))
    assert sum(path.stat().st_size for path in tmp_path.glob("images/**/*") if path.is_file()) < 10_000


@pytest.mark.parametrize("served", ["skopeo"], indirect=True)  # gitml's own requests end by themselves
def test_skopeo_does_not_wait_for_ever(tmp_path: Path, served: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skopeo, "_SILENT", 0.5)
    store = store_of(tmp_path, served)
    name = served.push(image(LAYERS))
    served.pause = 100.0
    with pytest.raises(InputError, match=r"sent next to nothing for 0\.5 s"):
        build(store, name)
    assert not list(tmp_path.glob("images/roots/*/"))


def test_what_the_disk_has_no_room_for_is_not_begun(tmp_path: Path, served: Registry) -> None:
    built = image(LAYERS)
    raw = json.loads(built.blobs[built.digest])
    raw["layers"][1]["size"] = 2**49
    content = json.dumps(raw).encode()
    huge = BuiltImage(digest_of(content), {**built.blobs, digest_of(content): content}, {digest_of(content): MANIFEST})
    store = store_of(tmp_path, served)
    with pytest.raises(MachineError, match=r"it takes 536,870,912 MiB, .* are free: No space left on device"):
        build(store, served.push(huge))
    assert not any(layer["digest"] in path for path in served.requests for layer in raw["layers"])


def test_a_registry_that_is_not_there_is_said_with_its_host(tmp_path: Path, served: Registry) -> None:
    name = served.push(image(LAYERS))
    served.close()
    with pytest.raises(InputError, match=r"can't be fetched.*connection refused") as refused:
        build(store_of(tmp_path, served), name)
    assert served.host in refused.value.message
    assert "HTTPS_PROXY" in (refused.value.hint or "")


def test_the_users_own_credentials_are_used_and_shown_nowhere(tmp_path: Path, served: Registry) -> None:
    served.password = base64.b64encode(b"ann:hunter2hunter2").decode()
    name = served.push(image(LAYERS))
    store = store_of(tmp_path, served)
    with pytest.raises(InputError, match="can't be fetched") as refused:
        build(store, name)
    assert "skopeo login" in (refused.value.hint or "")
    auth = tmp_path / "home/.docker/config.json"
    auth.parent.mkdir()
    auth.write_text(json.dumps({"auths": {served.host: {"auth": served.password}}}))
    build(store, name)
    kept = [path for path in (tmp_path / "images").rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        content = path.read_bytes()
        assert b"hunter2" not in content
        assert served.password.encode() not in content


def test_of_two_builds_at_once_one_builds_and_both_have_it(tmp_path: Path, served: Registry) -> None:
    name = served.push(image(LAYERS))
    served.pause = 0.5
    written = [tmp_path / "first", tmp_path / "second"]

    def work(at: Path) -> None:
        at.write_text(build(store_of(tmp_path, served), name).folder)

    builders = [forked(partial(work, at)) for at in written]
    assert [ended_well(pid) for pid in builders] == [True, True]
    folders = {at.read_text() for at in written}
    assert len(folders) == 1
    assert Path(folders.pop(), "y").read_bytes() == b"second"
    layer = json.loads(image(LAYERS).blobs[named(name).digest])["layers"][0]["digest"]
    assert sum(layer in path for path in served.requests) == 1


def test_a_build_that_is_killed_leaves_nothing_that_counts(tmp_path: Path, served: Registry) -> None:
    name = served.push(image(LAYERS))
    served.pause = 5.0

    def work() -> None:
        os.setsid()
        build(store_of(tmp_path, served), name)

    pid = forked(work)
    wait_until(lambda: any("/blobs/" in path for path in served.requests))
    kill_forked(pid)
    served.pause = 0.0
    assert not list((tmp_path / "images/roots").glob("*/built.json"))
    assert Path(build(store_of(tmp_path, served), name).folder, "y").read_bytes() == b"second"


def test_programs_are_looked_up_as_links_lead_within_the_image(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/real").write_text("")
    (root / "usr/bin/real").chmod(0o755)
    (root / "usr/bin/text").write_text("")
    os.symlink("/usr/bin", root / "bin")
    os.symlink("../../../../usr/bin/real", root / "usr/bin/up")
    os.symlink("/bin/sh", root / "usr/bin/sh")
    os.symlink("round", root / "usr/bin/round")
    found = ImageRoot(str(root), (("PATH", "/bin:/sbin"),))
    assert found.find_program("real", found.search_path()) == "/bin/real"
    assert found.find_program("up", "/usr/bin") == "/usr/bin/up"
    assert found.find_program("./x", "/usr/bin") == "./x"
    for name in ("sh", "text", "round", "none"):  # the machine has a sh, the image none
        assert found.find_program(name, "/bin:relative") is None
    assert found.exists("/bin/.././bin/up")
    assert not found.exists("/etc/passwd")


@pytest.mark.root
@pytest.mark.parametrize("size", ["400k", "1500k"])
def test_a_disk_that_is_full_is_said_and_leaves_nothing(tmp_path: Path, served: Registry, size: str) -> None:
    """While it is fetched, and while it is unpacked."""
    folder_ = tmp_path / "images"
    folder_.mkdir()
    zeros = bytes(1_200_000)  # a few bytes when packed
    name = served.push(image([[Entry("random", os.urandom(500_000))], [Entry("zeros", zeros)]]))
    with small_disk_at(folder_, size):
        store = store_of(tmp_path, served)
        with pytest.raises(MachineError, match=r"(?i)no space left on device") as refused:
            ChildProcess(lambda: build(store, name)).result()  # what it holds is held no more when it ends
        assert "gitml gc" in (refused.value.hint or "")
        assert not list(folder_.glob("roots/*/"))

"""A new kind of remote store needs an entry in two tables, and no other change: a toy kind is parsed, pushed to and pulled from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from gitml.core.config.parse import parse_config, project_schema
from gitml.core.config.remotes import RemoteSpec
from gitml.core.kinds import remote_kinds
from gitml.core.kinds.remote_kinds import LFS, RemoteKind, RemoteOption
from gitml.core.language.diagnostics import SpecError
from gitml.core.model.digest import Digest, hex_of
from gitml.core.model.protocols import RemoteStore
from gitml.core.model.stop_signal import StopSignal
from gitml.errors import InputError
from gitml.store.remote.backends import kinds
from gitml.store.remote.backends.folder import FolderRemote
from gitml.store.remote.backends.kinds import open_remote
from gitml.transfer.download import download
from gitml.transfer.run_selector import RunSelection
from gitml.transfer.upload import upload
from tests.contracts.test_remote_store import *  # noqa: F403 - every claim about remote stores, of the toy
from tests.contracts.test_remote_store import Place
from tests.kit.projects.project import Project

PIPELINE = "steps:\n  a: {shell: sh, run: 'head -c 3000000 /dev/zero > ${{ outputs.o }}', outputs: {o: file}}\n"


class ToyRemote(FolderRemote):
    """``toy:///FOLDER``: a box of a folder, which the option ``box`` names."""

    def __init__(self, spec: RemoteSpec) -> None:
        super().__init__(spec, os.path.join(spec.path, spec.options.get("box", "")).rstrip("/"))
        self.place = spec.url


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = RemoteKind(
        lambda place: None if place.startswith("/") else "toy:// needs a whole path",
        {"box": RemoteOption("the box of a toy", lambda box: None if box.isidentifier() else f"{box!r} is no box")},
    )
    monkeypatch.setitem(remote_kinds.REMOTE_KINDS, "toy", kind)
    monkeypatch.setitem(kinds.OPENERS, "toy", ToyRemote)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """What the contract is about."""
    opened: list[RemoteStore] = []

    def remember(make: Callable[[], RemoteStore]) -> RemoteStore:
        opened.append(make())
        return opened[-1]

    def overwrite(digest: Digest, content: bytes) -> None:
        name = hex_of(digest)
        path = tmp_path / f"store/objects/{name[:2]}/{name[2:]}"
        path.chmod(0o644)
        path.write_bytes(content)

    spec = RemoteSpec("r", f"toy://{tmp_path}/store")
    here = Place(partial(remember, partial(open_remote, spec)), overwrite)
    here.mistyped = RemoteSpec("r", f"toy://{tmp_path}/never/made")
    yield here
    for remote in opened:
        remote.close()


def test_outputs_are_pushed_to_it_and_pulled_from_it(tmp_path: Path) -> None:
    files = {"gitml.yaml": f"remotes: [{{url: 'toy://{tmp_path}', box: red}}]\n", "pipelines/p.yaml": PIPELINE}
    project = Project(tmp_path / "r", files)
    output = project.run().steps[0].outputs[0]
    with project.workspace() as ws:
        ws.consent.allow_once("places")
        (sent,) = upload(ws, RunSelection(), lambda _: None, StopSignal())
        assert (sent.remote, [root.digest for root in sent.sent]) == ("toy", [output.digest])
        name = hex_of(output.digest)
        assert (tmp_path / f"red/objects/{name[:2]}/{name[2:]}").stat().st_size == 3_000_000
        shutil.rmtree(ws.store.objects)
    with project.workspace() as ws:
        ws.consent.allow_once("places")
        assert not ws.store.has(output.digest, output.size, tree=False)
        came = download(ws, RunSelection(), lambda _: None, StopSignal())
        assert ([root.digest for root in came.came], came.lost) == ([output.digest], ())
        assert ws.store.read(output.digest) == b"\0" * 3_000_000


def test_its_mistakes_are_reported_where_they_are_written(tmp_path: Path) -> None:
    for written, said in (
        ("toy://x", "toy:// needs a whole path"),
        ("{url: 'toy:///x', box: 'a b'}", "'a b' is no box"),
        ("{url: 'file:///x', box: a}", "'box' is for toy:// only"),
        ("toi:///x", "toi:// is no kind of remote; there are lfs, s3, gs, az, ssh, file, toy"),
    ):
        with pytest.raises(SpecError) as told:
            parse_config(f"remotes: [{written}]\n".encode())
        assert said in str(told.value)
    assert "box" in str(project_schema())


def test_one_whose_package_is_missing_is_reported_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = remote_kinds.REMOTE_KINDS["toy"]._replace(package="no_such_toys", extra="toys")
    monkeypatch.setitem(remote_kinds.REMOTE_KINDS, "toy", kind)
    with pytest.raises(InputError, match="needs the package no_such_toys") as told:
        open_remote(RemoteSpec("r", "toy:///x"))
    assert told.value.hint == "pip install 'gitml[toys]'"


def test_both_tables_have_the_same_kinds() -> None:
    assert set(remote_kinds.REMOTE_KINDS) - {LFS} == set(kinds.OPENERS)

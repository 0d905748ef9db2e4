"""What a step that did not succeed left of its outputs is kept, whatever shape it is in, and never at the failure's expense."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from gitml.core.model.action import ActionOutput
from gitml.core.model.result import OutputRef
from gitml.core.model.tree import decode_tree
from gitml.errors import MachineError
from gitml.execute.sandbox.outputs import NO_ROOM, keep_partial
from gitml.store.local.store import LocalStore

OUTPUTS = (
    ActionOutput("d", "out/d", "directory"),
    ActionOutput("f", "out/f", "file"),
    ActionOutput("m", "out/m", "metrics"),
)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "store"))


@pytest.fixture
def out(tmp_path: Path, store: LocalStore) -> Path:
    """The folder that the outputs lie in, below ``work``."""
    store.put(b"so that the store is there")
    folder = tmp_path / "work/out"
    folder.mkdir(parents=True)
    return folder


def kept(out: Path, store: LocalStore, taken: Sequence[OutputRef] = ()) -> dict[str, str]:
    """The kinds of what was kept by port; nothing may be told."""
    found = keep_partial(OUTPUTS, str(out.parent), store, taken)
    assert found.notes == ()
    return {ref.name: ref.kind for ref in found.outputs}


def names(store: LocalStore, ref: OutputRef) -> list[str]:
    return [os.fsdecode(entry.name) for entry in decode_tree(store.read(ref.digest))]


def test_what_is_there_is_kept_and_what_is_missing_or_empty_is_left_out(out: Path, store: LocalStore) -> None:
    (out / "f").write_text("half a model")
    (out / "m").write_text("")
    found = keep_partial(OUTPUTS, str(out.parent), store)
    assert [(ref.name, ref.kind, store.read(ref.digest)) for ref in found.outputs] == [("f", "file", b"half a model")]


def test_a_port_of_another_kind_than_declared_is_kept_as_what_it_is(out: Path, store: LocalStore) -> None:
    (out / "f").mkdir()
    (out / "f/x").write_text("x")
    (out / "d").write_text("d")
    (out / "m").write_text("not JSON")
    assert kept(out, store) == {"d": "file", "f": "directory", "m": "metrics"}


def test_a_directory_is_kept_without_what_no_store_takes(out: Path, store: LocalStore) -> None:
    (out / "d/inner").mkdir(parents=True)
    (out / "d/good").write_text("good")
    os.mkfifo(out / "d/inner/pipe")
    (out / "d/.git/hooks").mkdir(parents=True)
    (out / "d/passwd").symlink_to("/etc/passwd")
    (out / "d/inner/up").symlink_to("../good")
    (out / "d/inner/out").symlink_to("../../f")
    found = keep_partial(OUTPUTS, str(out.parent), store)
    assert names(store, found.outputs[0]) == ["good", "inner"]
    inner = next(entry for entry in decode_tree(store.read(found.outputs[0].digest)) if entry.kind == "d")
    assert [os.fsdecode(entry.name) for entry in decode_tree(store.read(inner.digest))] == ["up"]


def test_what_the_step_locked_is_kept(out: Path, store: LocalStore) -> None:
    (out / "d").mkdir()
    (out / "d/x").write_text("x")
    (out / "d/x").chmod(0)
    (out / "d").chmod(0)
    (out / "f").write_text("f")
    (out / "f").chmod(0)
    assert kept(out, store) == {"d": "directory", "f": "file"}


def test_an_output_that_is_a_link_counts_as_what_it_leads_to_in_the_sandbox_only(
    out: Path, store: LocalStore, tmp_path: Path
) -> None:
    (out / "epoch-9").write_text("weights")
    (out / "f").symlink_to("epoch-9")
    (tmp_path / "outside").write_text("not the step's")
    (out / "m").symlink_to(tmp_path / "outside")
    assert kept(out, store) == {"f": "file"}
    assert (tmp_path / "outside").read_text() == "not the step's"


def test_what_was_taken_before_another_output_was_refused_counts(out: Path, store: LocalStore) -> None:
    digest = store.put(b"taken")
    (out / "m").write_text("{}")
    assert kept(out, store, [OutputRef("f", "file", digest, 5)]) == {"f": "file", "m": "metrics"}


class FullStore(LocalStore):
    """A store on a disk with so many bytes free of a gigabyte."""

    free = 0

    def disk_space(self) -> tuple[int, int]:
        return self.free, 2**30


def test_on_a_nearly_full_disk_nothing_is_kept_and_that_is_told(out: Path, tmp_path: Path) -> None:
    store = FullStore(str(tmp_path / "store"))
    (out / "f").write_text("f")
    found = keep_partial(OUTPUTS, str(out.parent), store)
    assert (found.outputs, found.notes) == ((), (NO_ROOM,))
    store.free = 2**29
    assert [ref.name for ref in keep_partial(OUTPUTS, str(out.parent), store).outputs] == ["f"]


class RefusingStore(LocalStore):
    """A store that can't take files."""

    def ingest_file(self, path: str) -> tuple[str, int]:  # type: ignore[override]
        raise MachineError("the disk refused", where=path)


def test_a_port_that_cannot_be_kept_keeps_no_other(out: Path, tmp_path: Path) -> None:
    store = RefusingStore(str(tmp_path / "store"))
    (out / "d").mkdir()
    (out / "d/x").write_text("x")
    (out / "f").write_text("f")
    found = keep_partial(OUTPUTS, str(out.parent), store)
    assert [ref.name for ref in found.outputs] == ["d"]
    assert found.notes == ("what a failed step made of its output f could not be kept",)

"""Where directories are stored, as the log tells it to every clone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from gitml.core.config.remotes import StoredObject
from gitml.core.model.digest import digest_of
from gitml.errors import IntegrityError
from gitml.records.lfs_pointers import LogPointers
from tests.kit.projects.project import Project

PIPELINE = "steps:\n  a:\n    run: mkdir ${{ outputs.o }}\n    outputs: {o: directory}\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "r", {"pipelines/p.yaml": PIPELINE})


def test_pointers_that_another_process_wrote_meanwhile_are_not_written_again(project: Project) -> None:
    project.run()
    with project.workspace() as ws:
        pointers = LogPointers(ws.index, ws.records)
        manifests = {digest_of(b"tree %d" % n): StoredObject(digest_of(b"manifest %d" % n), n) for n in range(3)}
        append = ws.records.append
        other = iter([1, 2])  # how many of the files another process writes just before each try

        def late(files: Mapping[str, bytes], message: str, commit: str | None) -> str:
            append(dict(list(files.items())[: next(other)]), message, commit)
            return append(files, message, commit)

        ws.records.append = late  # type: ignore[method-assign]
        pointers.add(manifests)
        for tree, item in manifests.items():
            assert pointers.manifests_of(tree) == [item]
    with project.workspace() as ws:
        ws.rebuild_index()
        pointers = LogPointers(ws.index, ws.records)
        assert all(pointers.manifests_of(tree) == [item] for tree, item in manifests.items())


def test_a_log_that_refuses_pointers_it_does_not_have_is_told(project: Project) -> None:
    project.run()
    with project.workspace() as ws:

        def refuse(*_: object) -> str:
            raise IntegrityError("refused")

        ws.records.append = refuse  # type: ignore[assignment, method-assign]
        with pytest.raises(IntegrityError, match="refused"):
            LogPointers(ws.index, ws.records).add({digest_of(b"t"): StoredObject(digest_of(b"m"), 1)})

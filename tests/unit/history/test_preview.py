"""Previews: the right form, a bounded part, hostile content."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gitml.core.model.digest import Digest
from gitml.errors import IntegrityError
from gitml.history.files.preview import (
    BYTES,
    CELL,
    FIELDS,
    FOLDER,
    JSON,
    LINES,
    PICTURE,
    PICTURE_BYTES,
    READ,
    ROWS,
    TABLE,
    TEXT,
    WIDTH,
    preview,
    preview_of,
)  # fmt: skip
from gitml.workspace import Workspace
from tests.kit.projects.project import Project


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    project = Project(tmp_path / "r", {"a": "b"})
    with project.workspace() as ws:
        yield ws


def of(data: bytes, name: str = "") -> object:
    return preview_of(data, len(data), False, name)


def test_each_content_has_the_form_that_tells_most() -> None:
    assert preview_of(b"one\ntwo\n", 8, False).lines == ("one", "two")
    assert preview_of(b'{"a": [1]}', 10, False).kind == JSON
    table = preview_of(b"a,b\n1,x\n2,y\n", 12, False, "t.csv")
    assert (table.kind, table.head, table.rows) == (TABLE, ("a", "b"), (("1", "x"), ("2", "y")))
    assert preview_of(b"a\tb\n1\t2\n", 8, False, "t.tsv").head == ("a", "b")
    records = preview_of(b'[{"a": 1, "b": null}, {"a": 2}]', 31, False)
    assert (records.kind, records.head, records.rows) == (TABLE, ("a", "b"), (("1", ""), ("2", "")))
    assert preview_of(b"\0\1\2", 3, False).kind == BYTES
    assert preview_of(b"", 0, False).about == "empty"


def test_a_table_without_names_gets_numbers_for_columns() -> None:
    assert preview_of(b"1,2.5\n3,4\n", 10, False, "t.csv").head == ("1", "2")


@pytest.mark.parametrize(
    "data",
    [
        b"{" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'"' * 9,
        b'a,"' + b"x" * 200_000,
        b"\xff\xfe" * 500,
        b'{"a": 1e999999}',
    ],
)
@pytest.mark.parametrize("name", ["", "x.csv", "x.json"])
def test_no_content_makes_a_preview_fail_or_grow(data: bytes, name: str) -> None:
    found = preview_of(data, len(data), False, name)
    assert len(found.lines) <= LINES
    assert len(found.rows) <= ROWS
    assert all(len(line) <= WIDTH for line in found.lines)
    assert all(len(cell) <= CELL for row in found.rows for cell in row)


def test_wide_and_long_tables_are_cut_and_say_so() -> None:
    data = "\n".join(",".join(f"c{n}" for n in range(FIELDS + 5)) for _ in range(ROWS + 50)).encode()
    found = preview_of(data, len(data), False, "t.csv")
    assert found.cut
    assert (len(found.head), len(found.rows)) == (FIELDS, ROWS)


def test_no_more_than_a_part_of_a_large_content_is_read(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = ws.store.put(b"line\n" * (1 << 20))
    asked = []
    real = ws.store.open

    def opened(digest: Digest) -> object:
        file = real(digest)
        read = file.read

        class Counting:
            def __enter__(self) -> Counting:
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            def seek(self, to: int) -> int:
                return file.seek(to)

            def read(self, size: int) -> bytes:
                asked.append(size)
                return read(size)

        return Counting()

    monkeypatch.setattr(ws.store, "open", opened)
    found = preview(ws, digest, 5 << 20, tree=False)
    assert (found.kind, found.cut, len(found.lines)) == (TEXT, True, LINES)
    assert sum(asked) <= READ + 1


def test_a_character_cut_at_the_end_of_what_is_read_is_no_reason_to_call_it_binary(ws: Workspace) -> None:
    data = b"x" * (READ - 1) + "é".encode() * 10
    found = preview(ws, ws.store.put(data), len(data), tree=False)
    assert found.kind == TEXT


def test_a_picture_is_given_whole_unless_it_is_too_large(ws: Workspace) -> None:
    small = b"GIF89a\x05\0\x04\0" + b"." * READ * 2
    found = preview(ws, ws.store.put(small), len(small), tree=False)
    assert (found.kind, found.content) == (PICTURE, small)
    assert found.about.startswith("GIF picture, 5 x 4")
    found = preview(ws, ws.store.put(b"GIF89a\x05\0\x04\0"), PICTURE_BYTES + 1, tree=False)
    assert (found.content, found.cut) == (b"", True)


def test_a_folder_lists_its_entries_folders_first(ws: Workspace, tmp_path: Path) -> None:
    made = tmp_path / "out"
    (made / "sub").mkdir(parents=True)
    (made / "a\x1b[2J").write_text("x")
    digest, size = ws.store.ingest_tree(str(made))
    found = preview(ws, digest, size, tree=True)
    assert (found.kind, [row[:2] for row in found.rows]) == (FOLDER, [("sub", "directory"), ("a\x1b[2J", "file")])


def test_a_content_that_is_not_here_is_an_integrity_error(ws: Workspace) -> None:
    with pytest.raises(IntegrityError):
        preview(ws, Digest("sha256:" + "0" * 64), 3, tree=False)

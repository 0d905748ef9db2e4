"""Previews: the beginning of a content in the form that shows most; no more than a bounded part is read.

What is returned is raw: the caller makes it safe for a terminal.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from gitml.core.model.digest import Digest
from gitml.core.text.format import is_number
from gitml.core.text.format import size as size_in_words
from gitml.core.text.image_header import Picture, picture_of
from gitml.history.files import contents
from gitml.workspace import Workspace

TEXT, JSON, TABLE, PICTURE, FOLDER, BYTES = "text", "json", "table", "picture", "folder", "bytes"

READ = 128 << 10  # bytes of a text that are read
PICTURE_BYTES = 16 << 20  # a larger picture is described
LISTING_BYTES = 4 << 20  # a larger listing of a directory is not read
LINES, WIDTH = 500, 2000
ROWS, FIELDS, CELL = 200, 40, 200


class ContentPreview(NamedTuple):
    """`about` describes the content in some words; `cut`: there is more of it than is given.

    `lines` of text, JSON or bytes (in hexadecimal); `head` and `rows` of a table or folder; `content` of a picture that is not
    too large to be shown.
    """

    kind: str
    about: str
    cut: bool = False
    lines: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    picture: Picture | None = None
    content: bytes = b""


def preview(ws: Workspace, digest: Digest, size: int | None, *, tree: bool, name: str = "") -> ContentPreview:
    """The Preview of a Blob or Tree; by `name` (of its file) a table is known. IntegrityError when it is missing."""
    if tree:
        return _folder(ws, digest)
    head = contents.piece(ws, digest, 0, READ + 1)
    cut = len(head) > READ
    head = head[:READ]
    total = size if size is not None else len(head)
    picture = picture_of(head)
    if picture is not None:
        return _picture(ws, digest, picture, total, head, cut)
    return preview_of(head, total, cut, name)


def preview_of(head: bytes, total: int, cut: bool, name: str = "") -> ContentPreview:
    """The Preview of a file of `total` bytes that begins with `head`."""
    if not head:
        return ContentPreview(TEXT, "empty")
    text = _text(head, cut)
    if text is None:
        shown = _hexadecimal(head[: 16 * 64])
        return ContentPreview(BYTES, f"binary, {size_in_words(total)}", total > 16 * 64, lines=shown)
    suffix = os.path.splitext(name)[1].lower()
    if suffix in (".csv", ".tsv") or (not suffix and _looks_like_table(text)):
        return _table(text, cut, "\t" if suffix == ".tsv" or "\t" in text.partition("\n")[0] else None, total)
    if not cut and text.lstrip()[:1] in ("{", "["):
        found = _json(text, total)
        if found is not None:
            return found
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    more = cut or len(lines) > LINES
    count = f"{len(lines):,} lines, " if not cut else ""
    return ContentPreview(
        TEXT, f"text, {count}{size_in_words(total)}", more, tuple(line[:WIDTH] for line in lines[:LINES])
    )


def _folder(ws: Workspace, digest: Digest) -> ContentPreview:
    if len(contents.piece(ws, digest, 0, LISTING_BYTES + 1)) > LISTING_BYTES:
        return ContentPreview(FOLDER, "a directory with too many files to be listed here", True)
    entries = contents.listing(ws, digest)
    kinds = {"d": "directory", "x": "program", "l": "link", "f": "file"}
    shown = sorted(entries, key=lambda entry: (entry.kind != "d", entry.name))[:ROWS]
    rows = tuple((os.fsdecode(entry.name), kinds[entry.kind], size_in_words(entry.size)) for entry in shown)
    total = sum(entry.size for entry in entries)
    about = f"directory, {len(entries):,} {'entry' if len(entries) == 1 else 'entries'}, {size_in_words(total)}"
    return ContentPreview(FOLDER, about, len(entries) > ROWS, head=("name", "kind", "size"), rows=rows)


def _picture(ws: Workspace, digest: Digest, picture: Picture, total: int, head: bytes, cut: bool) -> ContentPreview:
    size = f", {picture.width} x {picture.height}" if picture.width and picture.height else ""
    about = f"{picture.format} {'drawing' if picture.is_drawing else 'picture'}{size}, {size_in_words(total)}"
    if total > PICTURE_BYTES:
        return ContentPreview(PICTURE, about, True, picture=picture)
    content = contents.piece(ws, digest, 0, PICTURE_BYTES) if cut else head
    return ContentPreview(PICTURE, about, picture=picture, content=content)


def _text(head: bytes, cut: bool) -> str | None:
    """The bytes as text, without a character that was cut at their end; None when they are none."""
    if b"\0" in head:
        return None
    try:
        return head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if cut and error.start >= len(head) - 3:
            return head[: error.start].decode("utf-8-sig")
    text = head.decode("utf-8", "replace")
    odd = text.count("\N{REPLACEMENT CHARACTER}") + sum(text.count(chr(code)) for code in range(1, 9))
    return text if odd * 20 < len(text) else None


def _hexadecimal(data: bytes) -> tuple[str, ...]:
    lines = []
    for at in range(0, len(data), 16):
        piece = data[at : at + 16]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
        lines.append(f"{at:06x}  {piece[:8].hex(' '):<23}  {piece[8:].hex(' '):<23}  {shown}")
    return tuple(lines)


def _looks_like_table(text: str) -> bool:
    """Whether the first lines hold as many commas or tabs each, and some."""
    lines = [line for line in text.split("\n", 6)[:6] if line.strip()][:5]
    for mark in (",", "\t"):
        counts = {line.count(mark) for line in lines}
        if len(lines) > 1 and len(counts) == 1 and counts != {0}:
            return True
    return False


def _table(text: str, cut: bool, delimiter: str | None, total: int) -> ContentPreview:
    if cut:
        text = text.rpartition("\n")[0]
    first = text.partition("\n")[0]
    mark = delimiter or (";" if first.count(";") > first.count(",") else ",")
    rows: list[tuple[str, ...]] = []
    wide = False
    try:
        for fields in csv.reader(io.StringIO(text), delimiter=mark):
            if len(rows) > ROWS:
                cut = True
                break
            wide = wide or len(fields) > FIELDS
            if fields:
                rows.append(tuple(field[:CELL] for field in fields[:FIELDS]))
    except csv.Error:  # a field beyond all bounds
        cut = True
    if not rows:
        return ContentPreview(TABLE, "an empty table")
    head, body = (rows[0], rows[1:]) if _names_columns(rows) else (tuple(str(n + 1) for n in range(len(rows[0]))), rows)
    known = f"{len(body):,} rows, " if not cut else ""
    about = f"table, {known}{len(head)}{'+' if wide else ''} columns, {size_in_words(total)}"
    return ContentPreview(TABLE, about, cut or wide, head=head, rows=tuple(body[:ROWS]))


def _names_columns(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row has the names of the columns: no name is a number, or empty throughout."""
    return len(rows) > 1 and any(rows[0]) and not any(is_number(cell) for cell in rows[0])


def _json(text: str, total: int) -> ContentPreview | None:
    try:
        value = json.loads(text)
        if _is_records(value):
            return _records(value, total)
        shown = json.dumps(value, indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    lines = shown.split("\n")
    about = f"JSON, {size_in_words(total)}"
    return ContentPreview(JSON, about, len(lines) > LINES, tuple(line[:WIDTH] for line in lines[:LINES]))


def _is_records(value: Any) -> bool:
    """Whether it is a list of several objects of plain values."""
    return (
        isinstance(value, list)
        and len(value) > 1
        and all(
            isinstance(item, dict) and not any(isinstance(part, (dict, list)) for part in item.values())
            for item in value
        )
    )


def _records(value: Sequence[dict[str, Any]], total: int) -> ContentPreview:
    names = list(dict.fromkeys(name for item in value[:ROWS] for name in item))
    rows = tuple(tuple(_shown(item.get(name)) for name in names[:FIELDS]) for item in value[:ROWS])
    about = f"JSON, {len(value):,} records, {size_in_words(total)}"
    return ContentPreview(TABLE, about, len(value) > ROWS or len(names) > FIELDS, head=tuple(names[:FIELDS]), rows=rows)


def _shown(value: Any) -> str:
    return "" if value is None else str(value)[:CELL]

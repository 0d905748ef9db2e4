"""What a difference between two executions is said to come of, by the place where it is."""

from __future__ import annotations

import gzip
import io
import pickle
import sqlite3
import zipfile
from pathlib import Path

import pytest

from gitml.analysis.difference_causes import cause_of_difference


def cause(one: bytes, two: bytes) -> str | None:
    at = next((n for n, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    return cause_of_difference(one[:32], one, two, at, 0)


def zipped(year: int) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr(zipfile.ZipInfo("x", (year, 1, 2, 3, 4, 6)), "same")
    return content.getvalue()


@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        (b"at 2026-01-02 03:04:05\n", b"at 2026-01-02 03:04:07\n", "a time"),
        (b"1 passed in 1.12s\n", b"1 passed in 1.37s\n", "a duration"),
        (b"took 00:00:09.5", b"took 00:00:10", "a time"),
        (b'{"id": "123e4567-e89b-12d3-a456-426614174000"}', b'{"id": "123e4567-e89b-12d3-a456-426614174abc"}', "an id that is generated"),
        (b"<f at 0x7f001122>", b"<f at 0x7f001133>", "the address of an object in memory"),
        (b"loss 0.12345678901", b"loss 0.12345678902", "the last digits of a number"),
        (b"loss 0.5", b"loss 0.6", None),
        (b"n 12", b"n 13", None),
        (b"abc", b"abd", None),
        (b"abc", b"ab", None),
        (gzip.compress(b"x", mtime=1), gzip.compress(b"x", mtime=2), "the time of writing: compress with mtime=0, gzip -n, in a gzip file"),
        (zipped(2025), zipped(2026), "the time of an entry, in a zip archive"),
        (pickle.dumps([0.5]), pickle.dumps([0.7]), "in a pickle"),
    ],
)  # fmt: skip
def test_a_cause_is_named_where_the_place_shows_it(one: bytes, two: bytes, said: str | None) -> None:
    found = cause(one, two)
    assert found is None if said is None else (found or "").startswith(said), found


def test_a_time_in_a_row_of_a_database_is_named(tmp_path: Path) -> None:
    contents = []
    for name, time in (("a", "2026-01-02 03:04:05.1"), ("b", "2026-01-02 03:04:06.2")):
        with sqlite3.connect(tmp_path / name) as database:
            database.execute("create table trials (started text)")
            database.execute("insert into trials values (?)", (time,))
        database.close()
        contents.append((tmp_path / name).read_bytes())
    assert cause(contents[0], contents[1]) == "a time, in an SQLite database"

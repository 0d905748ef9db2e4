"""Parts of directories: found by listings alone, links followed as programs do, and nothing that leads out."""

from __future__ import annotations

import os

import pytest

from gitml.core.model.digest import Digest, digest_of
from gitml.core.model.tree import TreeEntry, decode_tree, encode_tree
from gitml.core.planner.directory_part import DirectoryPart, find_part
from gitml.core.text.path_pattern import path_pattern
from gitml.errors import InputError

Folder = dict[str, "str | Folder"]


class Stored:
    """Directories by Digest; text that starts with ``->`` is a link, with ``#!`` an executable."""

    def __init__(self, folder: Folder) -> None:
        self.contents: dict[Digest, bytes] = {}
        self.root = self.put(folder).digest

    def put(self, thing: str | Folder, name: str = "x") -> TreeEntry:
        if isinstance(thing, dict):
            entries = [self.put(inner, inside) for inside, inner in thing.items()]
            content, kind, size = encode_tree(entries), "d", sum(entry.size for entry in entries)
        else:
            content = thing.removeprefix("-> ").encode()
            kind, size = "l" if thing.startswith("->") else "x" if thing.startswith("#!") else "f", len(content)
        digest = digest_of(content)
        self.contents[digest] = content
        return TreeEntry(os.fsencode(name), kind, digest, size)

    def part(self, part: str) -> DirectoryPart:
        return find_part(self.root, part, self.contents.__getitem__)

    def names(self, part: str) -> list[str]:
        found = self.part(part)
        self.contents |= found.listings
        return sorted(self.below(found.digest, ""))

    def below(self, digest: Digest, prefix: str) -> list[str]:
        found: list[str] = []
        for entry in decode_tree(self.contents[digest]):
            name = prefix + os.fsdecode(entry.name)
            found += self.below(entry.digest, f"{name}/") if entry.kind == "d" else [name]
        return found


RAW: Folder = {
    "train.csv": "1,2",
    "tool": "#!/bin/sh",
    "sub": {"a.csv": "a", "b.txt": "b", "deep": {"c.csv": "c"}},
    "latest.csv": "-> sub/a.csv",
    "way": "-> sub/deep",
    "loop": "-> loop",
    "out": "-> ../x",
    "up": {"link": "-> ../train.csv"},
}


def test_a_path_is_the_file_or_folder_there_and_links_are_followed() -> None:
    raw = Stored(RAW)
    assert raw.part("train.csv") == DirectoryPart("file", digest_of(b"1,2"), 3)
    assert raw.part("tool").kind == "executable"
    assert raw.part("latest.csv").digest == digest_of(b"a")
    assert raw.part("way/c.csv").digest == digest_of(b"c")
    assert raw.part("way") == raw.part("sub/deep")
    assert raw.part("sub") == DirectoryPart("directory", raw.put({**RAW["sub"]}).digest, 3)  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.csv", ["latest.csv", "train.csv"]),
        ("sub/*.csv", ["sub/a.csv"]),
        ("**/*.csv", ["latest.csv", "sub/a.csv", "sub/deep/c.csv", "train.csv"]),
        ("s?b", ["sub/a.csv", "sub/b.txt", "sub/deep/c.csv"]),
        ("sub/**", ["sub/a.csv", "sub/b.txt", "sub/deep/c.csv"]),
        ("wa[xy]", ["way/c.csv"]),
        ("**/**/c.csv", ["sub/deep/c.csv"]),
    ],
)
def test_a_pattern_is_a_directory_of_all_that_matches_in_its_layout(pattern: str, names: list[str]) -> None:
    assert Stored(RAW).names(pattern) == names


def test_what_lies_beside_a_part_changes_nothing_of_it() -> None:
    other = Stored({**RAW, "more.txt": "x", "sub": {"a.csv": "a", "b.txt": "other"}})
    assert other.part("train.csv") == Stored(RAW).part("train.csv")
    assert other.part("sub/*.csv") == Stored(RAW).part("sub/*.csv")
    assert other.part("sub") != Stored(RAW).part("sub")


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        ("trian.csv", "there is no 'trian.csv' (did you mean 'train.csv'?)"),
        ("sub/zzz", "there is no 'sub/zzz' (there is 'a.csv', 'b.txt', 'deep')"),
        ("train.csv/x", "there is no 'train.csv/x': train.csv is a file"),
        ("*.parquet", "nothing in it matches '*.parquet' (there is 'latest.csv', 'loop', 'out', 'sub', 'tool', 'train.csv', 'up', 'way')"),
        ("loop", "'loop' is a link that forms a cycle"),
        ("lo*", "'loop' is a link that forms a cycle"),
        ("out", "'out' leads out of the directory"),
        ("up", "'up' holds a link that leads out of it, so it can't be had without the rest of the directory"),
    ],
)  # fmt: skip
def test_what_is_not_there_or_leads_out_is_named(part: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        Stored(RAW).part(part)
    assert caught.value.message == problem


def test_a_listing_that_is_not_here_is_no_answer() -> None:
    raw = Stored(RAW)
    del raw.contents[raw.part("sub").digest]
    assert raw.part("train.csv").kind == "file"
    for part in ("sub/a.csv", "**/*.csv", "sub"):
        with pytest.raises(LookupError):
            raw.part(part)


def test_folders_that_name_one_another_many_times_are_refused_in_good_time() -> None:
    contents: dict[Digest, bytes] = {}
    digest = digest_of(b"x")
    kind = "f"
    for _ in range(60):
        listing = encode_tree([TreeEntry(b"%d" % n, kind, digest, 1) for n in range(10)])
        digest, kind = digest_of(listing), "d"
        contents[digest] = listing
    with pytest.raises(InputError, match="more than 1,000,000 files and folders"):
        find_part(digest, "**/nothing", contents.__getitem__)
    assert find_part(digest, "0", contents.__getitem__).kind == "directory"


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    pattern = path_pattern("/".join(["**", "a*a*a*a*b"] * 30))
    assert not pattern.covers("/".join(["a" * 60] * 60))
    assert path_pattern("**/x").covers("x")
    assert path_pattern("a/**").covers("a/b/c")
    assert not path_pattern("a/**").covers("a")

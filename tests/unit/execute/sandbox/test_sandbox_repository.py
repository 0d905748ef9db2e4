"""The repository in a sandbox is one that Git reads, and bad commits are refused."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from gitml.core.model.action import StepCommit
from gitml.core.model.protocols import Entry
from gitml.errors import InputError
from gitml.execute.sandbox import repository
from gitml.execute.sandbox.git_files import _LARGE, IndexEntry, PackWriter, index_bytes
from gitml.execute.sandbox.repository import LARGEST, SandboxFiles, write_repository
from gitml.git.objects.reader import Objects
from gitml.git.repository import discover
from tests.kit.projects.repository import Repository, environment

NOTHING = SandboxFiles({}, set(), set(), set(), set(), set())


def objects_of(repo: Repository) -> Objects:
    return Objects(discover(repo.path, environment()))


def sandbox(repo: Repository, commit: str, work: Path, files: dict[str, bytes], **more: set[str]) -> Repository:
    """A sandbox with some files of a commit, and its repository."""
    git: dict[str, Entry] = {}
    for path, content in files.items():
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_bytes(content)
        os.utime(work / path, (946684800, 946684800))
        git[path] = Entry("100644", repo.git("hash-object", "--stdin", input=content))
    with objects_of(repo) as objects:
        write_repository(str(work), objects, StepCommit(commit), NOTHING._replace(git=git, **more))
    return Repository(work)


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_git_finds_every_object_of_it_sound(tmp_path: Path, object_format: str) -> None:
    repo = Repository(tmp_path / "r", object_format=object_format)
    files = {f"d{n % 7}/f{n}": f"{n}\n" * n for n in range(300)}
    odd = {"a\tb": "tab", "a-b": "1", "a/b": "2", "a.b": "3", "x" * 250 + "/" + "y" * 250: "", "empty": ""}
    repo.commit("before", {"gone": "gone"})
    os.unlink(repo.file("gone"))
    commit = repo.commit("one", {**files, **odd})
    work = tmp_path / "w"
    all_of_it = {path: text.encode() for path, text in {**files, **odd}.items()}
    made = sandbox(repo, commit, work, all_of_it)
    assert made.git("status", "--porcelain") == ""
    assert made.git("fsck", "--strict") == ""
    assert made.git("rev-parse", "HEAD", "--is-shallow-repository", "--show-object-format").split() == [
        commit, "true", object_format,
    ]  # fmt: skip
    assert made.git("rev-list", "--all", "HEAD") == commit
    assert made.git("ls-files", "-s") == repo.git("ls-files", "-s")
    assert sorted(os.listdir(work / ".git/refs/heads")) == []


def test_the_last_bytes_count_and_what_is_large_is_listed_without_its_content(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "r")
    contents = {"fits": os.urandom(LARGEST), "large": os.urandom(LARGEST + 1)}
    commit = repo.commit("one", contents)
    made = sandbox(repo, commit, tmp_path / "w", contents)
    assert made.git("status", "--porcelain") == ""
    assert made.git_bytes("cat-file", "blob", "HEAD:fits") == contents["fits"]
    with pytest.raises(AssertionError, match="HEAD:large"):
        made.git("cat-file", "blob", "HEAD:large")
    for name in contents:
        (tmp_path / "w" / name).write_bytes(contents[name][:-1] + bytes([contents[name][-1] ^ 1]))
    assert made.git("status", "--porcelain") == " M fits\n M large"


def test_a_file_that_came_after_shows_as_changed_though_the_step_did_not_have_it(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "r")
    commit = repo.commit("one", {"a": "a", "out/model": "old", "folder/gone": "g"})
    made = sandbox(repo, commit, tmp_path / "w", {"a": b"a"}, outputs={"out/model"}, folders={"folder", "out"})
    assert made.git("status", "--porcelain") == " D folder/gone", "of a folder that the step has whole all is missed"
    made.write({"out/model": "new"})
    assert made.git("status", "--porcelain") == " D folder/gone\n M out/model"


class ForgedTrees:
    """A commit whose trees hold what no work tree could."""

    def __init__(self, entries: dict[str, dict[str, Entry]]) -> None:
        self.entries = entries

    def read(self, oid: str) -> bytes:
        return f"tree {'a' * 40}\n\n".encode()

    def tree(self, oid: str) -> dict[str, Entry]:
        return self.entries[oid]

    def stream(self, oid: str, write: object) -> int:
        raise AssertionError("nothing of it is read")

    def read_many(self, oids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        raise AssertionError("nothing of it is read")


A, B = "a" * 40, "b" * 40
BAD = {
    "a folder of Git": ({A: {".GIT": Entry("40000", B)}}, "git itself refuses"),
    "a folder in itself": ({A: {"x" * 200: Entry("40000", A)}}, "longer than 4096 bytes"),
    "a bomb": ({A: {f"f{n}": Entry("40000", B) for n in range(200)}, B: {f"f{n}": Entry("100644", A) for n in range(200)}}, "too many"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_commit_that_no_work_tree_could_have_is_refused(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees, message = BAD[what]
    monkeypatch.setattr(repository, "_MOST", 10_000)
    with pytest.raises(InputError, match=message):
        write_repository(str(tmp_path), ForgedTrees(trees), StepCommit("c" * 40), NOTHING)


def test_a_pack_of_more_than_two_gigabytes_has_its_offsets_in_a_table_of_their_own(tmp_path: Path) -> None:
    pack = PackWriter(str(tmp_path), 40)
    pack.add("a" * 40, "blob", b"first")
    pack._offset += _LARGE
    pack.add("b" * 40, "blob", b"far away")
    pack.close()
    (index,) = tmp_path.glob("*.idx")
    content = index.read_bytes()
    assert content[-20:] == hashlib.sha1(content[:-20]).digest()
    offsets = 8 + 1024 + 2 * 20 + 2 * 4
    near, far = struct.unpack(">II", content[offsets : offsets + 8])
    assert (near, far) == (12, _LARGE)
    assert struct.unpack(">Q", content[offsets + 8 : offsets + 16])[0] > _LARGE


def test_an_index_keeps_entries_apart_by_lengths_of_any_kind() -> None:
    for length in range(1, 20):
        made = index_bytes([IndexEntry(b"x" * length, Entry("100644", A)), IndexEntry(b"y", Entry("160000", B))], 40)
        assert (len(made) - 12 - 20) % 8 == 0
        assert made[12 + 62 + length : 12 + 62 + length + 1] == b"\0"

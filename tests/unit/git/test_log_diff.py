"""The difference of two logs, a page at a time, is what git says of the whole."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest

from gitml.git.log import diff
from gitml.git.log.diff import tree_changes
from gitml.git.objects.reader import Objects
from gitml.git.repository import discover
from tests.kit.projects.repository import Repository


def commit(repo: Repository, files: dict[str, bytes]) -> str:
    parts = [b"feature done\ncommit refs/heads/made\nmark :1\ncommitter x <x> 1700000000 +0000\ndata 0\ndeleteall\n"]
    for path, content in files.items():
        parts.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(content), content))
    parts.append(b"\nget-mark :1\ndone\n")
    return repo.git("fast-import", "--quiet", "--force", input=b"".join(parts)).strip()


def as_git_says(repo: Repository, ours: str, theirs: str) -> list[tuple[str, str | None, str | None]]:
    fields = repo.git_bytes("diff-tree", "-r", "-z", "--no-renames", "--no-abbrev", ours, theirs).decode().split("\0")
    found = []
    for meta, path in zip(fields[::2], fields[1::2], strict=False):
        _, _, old, new, status = meta[1:].split(" ")
        found.append((path, None if status == "A" else old, None if status == "D" else new))
    return found


def as_paged(repo: Repository, ours: str | None, theirs: str) -> list[tuple[str, str | None, str | None]]:
    with Objects(discover(repo.path, {})) as objects:
        return [(path, old and old.oid, new and new.oid) for path, old, new in tree_changes(objects, ours, theirs)]


def some_files(rng: random.Random) -> dict[str, bytes]:
    """Records as they lie in the log, and paths that no record has, some of which are a file here and a folder there."""
    files: dict[str, bytes] = {}
    for _ in range(rng.randrange(60)):
        id = f"{rng.randrange(12):02x}{rng.randrange(3):014x}"
        day = f"runs/2026/{rng.randrange(1, 3):02}/{rng.randrange(1, 4):02}"
        name = rng.choice(["run.json", "outputs/x", "logs/y", "a b/\u00fc"])
        files[f"{day}/{id[:2]}/{id}/{name}"] = b"%d" % rng.randrange(3)
    for path in rng.sample(
        ["x", "runs/x", "runs/2026/01", "runs/2026/01/01/00/a", "runs/2026/02/01/zz", "y/z", "a\nb/c"], 3
    ):
        if (
            not any(known.startswith(f"{path}/") or path.startswith(f"{known}/") for known in files)
            and "\n" not in path
        ):
            files[path] = b"%d" % rng.randrange(2)
    return files


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
@pytest.mark.parametrize(("wide", "pages"), [(200, 400), (3, 2), (0, 1)])
def test_the_pages_are_what_git_says_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, object_format: str, wide: int, pages: int
) -> None:
    monkeypatch.setattr(diff, "_WIDE", wide)
    monkeypatch.setattr(diff, "_PAGES", pages)
    repo = Repository(tmp_path, object_format=object_format)
    rng = random.Random(7)
    commits = [commit(repo, some_files(rng)) for _ in range(8)]
    empty = commit(repo, {})
    for ours, theirs in pairwise(commits):
        assert as_paged(repo, ours, theirs) == as_git_says(repo, ours, theirs)
    assert as_paged(repo, None, commits[0]) == as_git_says(repo, empty, commits[0])
    assert as_paged(repo, commits[0], empty) == as_git_says(repo, commits[0], empty)
    assert as_paged(repo, commits[0], commits[0]) == []


def test_a_day_of_thousands_of_records_is_many_pages(tmp_path: Path) -> None:
    repo = Repository(tmp_path)
    ids = [f"{number % 256:02x}{number:014x}" for number in range(1500)]
    tip = commit(repo, {f"runs/2026/01/01/{id[:2]}/{id}/run.json": b"{}" for id in ids})
    assert len(as_paged(repo, None, tip)) == 1500
    with Objects(discover(repo.path, {})) as objects:
        tree = objects.resolve(f"{tip}^{{tree}}")
        assert tree is not None
        items = list(diff._compared(objects, "", "", tree, 0))
    assert len(items) == 256

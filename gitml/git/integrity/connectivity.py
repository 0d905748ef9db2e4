"""Whether all that commits name is here, told in little memory: ``git fsck`` holds every object of a repository.

By induction: a commit has all its objects if its first parent has, and if the trees and files by which the two differ are here.
So every commit is compared with its first parent, some at a time; of a commit without one, all of it counts as a difference.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import IO

from gitml.git.command import Location, ended_by_nul, git_status, is_partial, popen, stderr_file
from gitml.git.objects.reader import SPARING

_PAGE = 20_000  # commits that one git compares
_ASKED = 50_000  # objects that one git is asked for
_PLAIN = (*SPARING, "-c", "core.commitGraph=false")  # which tells of commits that may be missing
_COMPARE = (*_PLAIN, "diff-tree", "--stdin", "--root", "-r", "-z", "--no-renames", "--no-abbrev", "--no-commit-id")
_NO_FILE = ("000000", "160000")  # the mode of what was removed, and of a submodule


def is_connected(location: Location, tips: Iterable[str]) -> bool:
    """Whether every object that the commits `tips` and the index name, directly or not, is here.

    False also where that can't be told this way: for a partial clone, for a tip that is no commit, where Git fails.
    """
    if is_partial(location):
        return False
    return _index_is_connected(location) and _commits_are_connected(location, list(tips))


def _index_is_connected(location: Location) -> bool:
    if location.worktree is None:
        return True
    options = ("rev-list", "--objects", "--quiet", "--missing=print", "--indexed-objects")
    out, _, code = git_status(location, *_PLAIN, *options)
    return code == 0 and not out.strip()


def _commits_are_connected(location: Location, tips: list[str]) -> bool:
    if not tips:
        return True
    listed = "".join(f"{tip}\n" for tip in tips).encode()
    kinds, _, _ = git_status(location, "cat-file", "--batch-check=%(objecttype)", input=listed)
    if set(kinds.split()) != {b"commit"}:
        return False
    listing = (*_PLAIN, "rev-list", "--parents", "--stdin")
    with stderr_file() as errors, _given(listed) as given:
        with popen(location, *listing, stdin=given.fileno(), stderr=errors.fileno()) as walk:
            assert walk.stdout is not None
            pairs = (b" ".join(line.split()[:2]) + b"\n" for line in walk.stdout)
            is_whole = all(_page_is_connected(location, page) for page in _pages(pairs, _PAGE))
            if not is_whole:
                walk.kill()
        return is_whole and walk.returncode == 0


def _page_is_connected(location: Location, pairs: list[bytes]) -> bool:
    """Whether what commits add to their first parents is here; `pairs` are lines as ``diff-tree --stdin`` takes them."""
    with stderr_file() as errors, _given(b"".join(pairs)) as given:
        with popen(location, *_COMPARE, stdin=given.fileno(), stderr=errors.fileno()) as compared:
            is_whole = all(_are_here(location, page) for page in _pages(_new_objects(compared.stdout), _ASKED))
            if not is_whole:
                compared.kill()
        return is_whole and compared.returncode == 0


def _new_objects(stream: IO[bytes] | None) -> Iterator[bytes]:
    """The object ids that entries of ``diff-tree --raw -z`` have on their newer side."""
    assert stream is not None
    fields = ended_by_nul(stream)
    for about in fields:
        next(fields, None)  # its path
        _, mode, _, oid, _ = about.split(b" ")
        if mode.decode() not in _NO_FILE:
            yield oid


def _are_here(location: Location, oids: list[bytes]) -> bool:
    asked = b"".join([oid + b"\n" for oid in dict.fromkeys(oids)])
    out, _, code = git_status(location, *SPARING, "cat-file", "--batch-check=", "--buffer", input=asked)
    return code == 0 and not out.strip()


def _pages(items: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    found = iter(items)
    while page := list(islice(found, size)):
        yield page


@contextmanager
def _given(content: bytes) -> Iterator[IO[bytes]]:
    """A file without a name that a process reads, where a pipe could block while the process waits to be read itself."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        yield file

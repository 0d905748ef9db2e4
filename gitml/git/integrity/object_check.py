"""Git's objects checked and repaired: what HEAD, the index and the records name, and every loose object whole.

A power cut can leave loose objects that Git itself wrote without a sync empty or cut. Git takes a file of that name for the
object and never writes it again, so a damaged one is moved aside, and written again from the work tree where that has it, or
fetched again from the Git remotes.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import IO, NamedTuple

from gitml.errors import GitmlError
from gitml.git.command import DURABLE, Location, ended_by_nul, git, git_status, is_partial, popen, stderr_file
from gitml.git.integrity.durability import sync_objects
from gitml.git.integrity.quarantine import loose_path
from gitml.git.log.remote_refs import configured
from gitml.git.objects.reader import EMPTY_TREES, SPARING

_CHUNK = 1 << 20
_MISSING = re.compile(r"^missing (\w+) ([0-9a-f]{40,64})$", re.MULTILINE)


class ObjectFault(NamedTuple):
    """An object that is damaged (then `path` is its file) or missing, and what is wrong with it."""

    oid: str
    what: str
    path: str | None = None


def damaged_objects(location: Location) -> Iterator[ObjectFault]:
    """The loose objects that are not what their names say."""
    objects = os.path.join(location.common_dir, "objects")
    rest = 62 if location.object_format == "sha256" else 38
    for number in range(256):
        folder = f"{objects}/{number:02x}"
        try:
            names = sorted(os.listdir(folder))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for name in names:
            if len(name) == rest and not name.startswith("tmp_"):
                oid = f"{number:02x}{name}"
                problem = _problem(f"{folder}/{name}", oid, location.object_format)
                if problem is not None:
                    yield ObjectFault(oid, problem, f"{folder}/{name}")


def missing_objects(location: Location, roots: Iterable[str]) -> list[ObjectFault]:
    """Objects that the commits `roots`, HEAD and the index name, directly or not, and can't be read.

    Only where there are some are they listed, by a git that holds every object of the repository.
    """
    tips, found = [], {}
    for root in roots:
        if is_here(location, root):
            tips.append(root)
        else:
            found[root] = "what a ref names is missing"
    head, _, code = git_status(location, "rev-parse", "--verify", "--quiet", "HEAD")
    if code == 0 and is_here(location, commit := head.decode("ascii", "replace").strip()):
        tips.append("HEAD")
    elif code == 0:
        found[commit] = "the commit that HEAD names is missing"
    if not found and is_connected(location, tips):
        return []
    cached = ("--cache",) if location.worktree is not None else ()
    out, _, _ = git_status(
        location, "fsck", "--connectivity-only", "--no-dangling", "--no-reflogs", "--no-progress", *cached, *tips
    )
    listed = _MISSING.findall(out.decode("utf-8", "replace"))
    # Git has the empty tree without an object, and every log begins with it; its fsck asks for one all the same
    found.update({oid: f"the {kind} is missing" for kind, oid in listed if oid not in EMPTY_TREES.values()})
    return [ObjectFault(oid, what) for oid, what in found.items()]


def is_damaged(location: Location, oid: str) -> bool:
    """Whether the loose object `oid` is there and is not what its name says."""
    path = loose_path(location, oid)
    return os.path.lexists(path) and _problem(path, oid, location.object_format) is not None


def rewrite_objects(location: Location, wanted: Iterable[str]) -> set[str]:
    """Writes those of these objects again that the work tree or the index holds; gives the ones that are there now."""
    lacking = {oid for oid in wanted if not is_here(location, oid)}
    if lacking and location.worktree is not None:
        _from_files(location, lacking)
        _from_index(location)
        sync_objects(location)
    return {oid for oid in lacking if is_here(location, oid)}


def is_here(location: Location, oid: str) -> bool:
    """Whether git can read the object."""
    return git_status(location, "cat-file", "-e", oid)[2] == 0 and not is_damaged(location, oid)


def _from_files(location: Location, lacking: set[str]) -> None:
    """Hashes the files of the work tree that HEAD or the index says had one of these contents."""
    assert location.worktree is not None
    listed = git(location, "ls-files", "--stage", "-z", check=False)
    listed += git_status(location, "ls-tree", "-r", "-z", "--full-tree", "HEAD")[0]
    paths: dict[bytes, None] = {}
    for line in listed.split(b"\0"):
        head, _, path = line.partition(b"\t")
        words = head.decode("ascii", "replace").split(" ")
        if path and not lacking.isdisjoint(words):
            paths[path] = None
    for path in paths:
        full = os.path.join(os.fsencode(location.worktree), path)
        if os.path.islink(full):
            git(location, "hash-object", "-w", "--stdin", input=os.readlink(full))
        elif os.path.isfile(full):
            given = ("-c", "core.safecrlf=false", "hash-object", "-w", "--", os.fsdecode(path))
            git_status(location, *given)


def _from_index(location: Location) -> None:
    from gitml.git.worktree.temporary_index import TemporaryIndex

    try:
        index = TemporaryIndex(location)
    except GitmlError:
        return
    try:
        index.write_every_tree()
    except GitmlError:
        return  # it names blobs that are nowhere, or files in conflict
    finally:
        index.close()


def _problem(path: str, oid: str, algorithm: str) -> str | None:
    """What is wrong with the bytes of a loose object."""
    try:
        if not os.path.getsize(path):
            return "its file is empty"
        state, inflate = hashlib.new(algorithm), zlib.decompressobj()
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                state.update(inflate.decompress(chunk))
        state.update(inflate.flush())
    except FileNotFoundError:
        return None  # packed meanwhile
    except zlib.error:
        return "its file is damaged"
    except OSError as error:
        return f"its file can't be read: {error.strerror}"
    return None if inflate.eof and state.hexdigest() == oid else "its file is damaged"


_PAGE = 20_000  # commits that one git compares
_ASKED = 50_000  # objects that one git is asked for
_PLAIN = (*SPARING, "-c", "core.commitGraph=false")  # which tells of commits that may be missing
_COMPARE = (*_PLAIN, "diff-tree", "--stdin", "--root", "-r", "-z", "--no-renames", "--no-abbrev", "--no-commit-id")
_NO_FILE = ("000000", "160000")  # the mode of what was removed, and of a submodule


def is_connected(location: Location, tips: Iterable[str]) -> bool:
    """Whether every object that the commits `tips` and the index name, directly or not, is here.

    False also where that can't be found out this way: for a partial clone, for a tip that is no commit, where Git fails.
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


_FETCH = (
    "--quiet --no-tags --no-write-fetch-head --no-auto-gc --recurse-submodules=no --refmap= --no-filter --stdin".split()
)
_UNKNOWN = re.compile(rb"not our ref ([0-9a-f]{40,64})")
_TRIES = 100  # each leaves out one object that the remote does not have


def refetch(location: Location, wanted: Iterable[str]) -> set[str]:
    """Fetches these objects, and all that they name, from the remotes of the repository; gives those that are here now.

    A remote that can't be reached has nothing.
    """
    left = set(wanted)
    found: set[str] = set()
    for remote in configured(location) if left else ():
        _from_remote(location, remote, left)
        here = {oid for oid in left if is_here(location, oid)}
        found |= here
        left -= here
        if not left:
            break
    if found:
        sync_objects(location)
    return found


def _from_remote(location: Location, remote: str, wanted: Iterable[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="gitml-refetch-") as folder:
        apart = location._replace(git_dir=folder, common_dir=folder, explicit=True, scratch="")
        git(location, "init", "--quiet", "--bare", f"--object-format={location.object_format}", folder)
        settings = ("-c", f"include.path={location.common_dir}/config", "-c", "fetch.unpackLimit=1")
        asked = set(wanted)
        for _ in range(_TRIES):
            lines = "".join(f"{oid}\n" for oid in sorted(asked)).encode()
            given = (*settings, "fetch", *_FETCH, "--end-of-options", remote)
            _, said, code = git_status(apart, *given, input=lines)
            unknown = {oid.decode() for oid in _UNKNOWN.findall(said)} & asked
            asked -= unknown
            if code == 0 or not unknown or not asked:
                break
        packs = os.path.join(folder, "objects", "pack")
        for name in sorted(os.listdir(packs)):
            if name.endswith(".pack"):
                _index_pack(location, os.path.join(packs, name))


def _index_pack(location: Location, path: str) -> None:
    """Makes a pack from elsewhere one of this repository, every object of it hashed."""
    with open(path, "rb") as pack, popen(location, *DURABLE, "index-pack", "--stdin", stdin=pack.fileno()) as process:
        process.communicate()

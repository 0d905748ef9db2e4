"""One commit on its way to a machine without the repository: a Git bundle of its files and none of its history."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import IO, NamedTuple

from gitml import layout
from gitml.errors import IntegrityError
from gitml.git.command import Location, git, popen, translate
from gitml.git.objects.reader import Objects, tree_of_commit

_PACK = ("pack-objects", "--revs", "--stdout", "--shallow", "--delta-base-offset", "--quiet")
_TAGS = b"refs/tags/"
_LONGEST = 5000  # bytes of a line: the names of tags may be as long as those of files


class BundledTag(NamedTuple):
    """A tag that goes with a bundle, and its id."""

    name: str
    oid: str


def write_bundle(
    location: Location,
    objects: Objects,
    commit: str,
    trees: Sequence[str],
    path: str,
    *,
    below: str | None = None,
    tags: Sequence[BundledTag] = (),
) -> None:
    """Writes the bundle of `commit`, whose parents it leaves out, of its submodules that are here, and of further Git trees.

    `below` is the commit that it is a snapshot on, if steps have a repository of that; `tags` are those that they have.
    """
    commits = list(dict.fromkeys([commit, below or commit]))
    tree = tree_of_commit(objects.read(commit))
    submodules = objects.files.submodules_of(tree) if objects.files.location.beside else []
    for oid in (*commits, *trees, *(tag.oid for tag in tags)):
        if not objects.is_oid(oid):
            raise IntegrityError(f"not an object id: {oid[:80]!r}")
    if location.object_format == "sha1":
        header = "# v2 git bundle\n"
    else:
        header = f"# v3 git bundle\n@object-format={location.object_format}\n"
    wanted = "".join([f"--shallow {oid}\n" for oid in (*commits, *submodules)])
    wanted += "".join([f"{oid}\n" for oid in (*commits, *submodules, *trees, *(tag.oid for tag in tags))])
    header += "".join([f"{commits[1]} {layout.SUBMITTED_BASE_REF}\n" for _ in commits[1:]])
    with open(path, "wb") as file:
        file.write(f"{header}{commit} {layout.SUBMITTED_REF}\n".encode())
        file.writelines([b"%s %s%s\n" % (tag.oid.encode(), _TAGS, os.fsencode(tag.name)) for tag in tags])
        file.write(b"\n")
        file.flush()
        reads = location._replace(beside=objects.files.location.beside)
        process = popen(reads, *_PACK, stdin=subprocess.PIPE, stdout=file.fileno())
        with process:
            _, stderr = process.communicate(wanted.encode())
        if process.returncode:
            raise translate(location.folder, _PACK, process.returncode, stderr)


def open_bundle(path: str, folder: str) -> str:
    """Makes `folder` a bare repository with what the bundle at `path` holds; gives its commit. IntegrityError for no bundle."""
    with open(path, "rb") as file:
        object_format, refs = _header(file)
        commit = refs[os.fsencode(layout.SUBMITTED_REF)]
        os.mkdir(folder)
        # Until `git init` has run there is no repository to be in: this one is only to be.
        location = Location(folder, folder, None, object_format, bare=True)
        git(location, "init", "--quiet", "--bare", f"--object-format={object_format}", "--template=", ".")
        process = popen(location, "index-pack", "--stdin", stdin=file.fileno(), stdout=subprocess.DEVNULL)
        with process:
            _, stderr = process.communicate()
        if process.returncode:
            raise translate(folder, ("index-pack",), process.returncode, stderr)
    with open(os.path.join(folder, "shallow"), "w") as shallow:
        below = refs.get(os.fsencode(layout.SUBMITTED_BASE_REF))
        shallow.writelines([f"{oid}\n" for oid in (commit, below) if oid is not None])
    wanted = b"".join([b"create %s\0%s\0" % (ref, oid.encode()) for ref, oid in refs.items()])
    git(location, "update-ref", "--stdin", "-z", input=wanted)
    git(location, "update-ref", "--no-deref", "HEAD", commit)
    return commit


def _header(file: IO[bytes]) -> tuple[str, dict[bytes, str]]:
    """(object format, ids by ref) of a bundle, the commit's among them; leaves the descriptor where the pack begins."""
    object_format, length = "sha1", 0
    refs: dict[bytes, str] = {}
    ours = (os.fsencode(layout.SUBMITTED_REF), os.fsencode(layout.SUBMITTED_BASE_REF))
    first = file.readline(200)
    length += len(first)
    if first not in (b"# v2 git bundle\n", b"# v3 git bundle\n"):
        raise IntegrityError("not a Git bundle")
    while (line := file.readline(_LONGEST)) != b"\n":
        length += len(line)
        oid, _, ref = line.rstrip(b"\n").partition(b" ")
        if line.startswith(b"@object-format="):
            object_format = oid.partition(b"=")[2].decode("ascii", "replace")
        elif ref in ours or ref.startswith(_TAGS):
            refs[ref] = oid.decode("ascii", "replace")
        else:
            raise IntegrityError(f"not a bundle of ours: {line[:80]!r}")
    if object_format not in ("sha1", "sha256") or ours[0] not in refs:
        raise IntegrityError("not a bundle of ours")
    os.lseek(file.fileno(), length + 1, os.SEEK_SET)
    return object_format, refs

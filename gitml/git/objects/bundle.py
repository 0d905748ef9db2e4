"""One commit on its way to a machine without the repository: a Git bundle of its files and none of its history."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import IO

from gitml import layout
from gitml.errors import IntegrityError
from gitml.git.command import Location, git, popen, translate
from gitml.git.objects.reader import Objects

_PACK = ("pack-objects", "--revs", "--stdout", "--shallow", "--delta-base-offset", "--quiet")


def write_bundle(location: Location, objects: Objects, commit: str, trees: Sequence[str], path: str) -> None:
    """Writes the bundle of `commit`, whose parents it leaves out, and of further Git trees."""
    for oid in (commit, *trees):
        if not objects.is_oid(oid):
            raise IntegrityError(f"not an object id: {oid[:80]!r}")
    if location.object_format == "sha1":
        header = "# v2 git bundle\n"
    else:
        header = f"# v3 git bundle\n@object-format={location.object_format}\n"
    wanted = f"--shallow {commit}\n{commit}\n" + "".join(f"{tree}\n" for tree in trees)
    with open(path, "wb") as file:
        file.write(f"{header}{commit} {layout.SUBMITTED_REF}\n\n".encode())
        file.flush()
        process = popen(location, *_PACK, stdin=subprocess.PIPE, stdout=file.fileno())
        with process:
            _, stderr = process.communicate(wanted.encode())
        if process.returncode:
            raise translate(location.folder, _PACK, process.returncode, stderr)


def open_bundle(path: str, folder: str) -> str:
    """Makes `folder` a bare repository with what the bundle at `path` holds; gives its commit. IntegrityError for no bundle."""
    with open(path, "rb") as file:
        object_format, commit = _header(file)
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
        shallow.write(f"{commit}\n")
    git(location, "update-ref", layout.SUBMITTED_REF, commit)
    git(location, "update-ref", "--no-deref", "HEAD", commit)
    return commit


def _header(file: IO[bytes]) -> tuple[str, str]:
    """(object format, commit) of a bundle; leaves the descriptor where the pack begins."""
    object_format, commit, length = "sha1", "", 0
    first = file.readline(200)
    length += len(first)
    if first not in (b"# v2 git bundle\n", b"# v3 git bundle\n"):
        raise IntegrityError("not a Git bundle")
    while (line := file.readline(300)) != b"\n":
        length += len(line)
        text = line.decode("ascii", "replace").rstrip("\n")
        if text.startswith("@object-format="):
            object_format = text.partition("=")[2]
        elif text.endswith(f" {layout.SUBMITTED_REF}"):
            commit = text.partition(" ")[0]
        else:
            raise IntegrityError(f"not a bundle of ours: {text[:80]!r}")
    if object_format not in ("sha1", "sha256") or not commit:
        raise IntegrityError("not a bundle of ours")
    os.lseek(file.fileno(), length + 1, os.SEEK_SET)
    return object_format, commit

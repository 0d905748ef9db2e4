"""A module tried alone: its folder as it lies in the work tree, and files from anywhere as its inputs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from gitml import layout
from gitml.core.language.spec import ModuleSpec
from gitml.core.model.protocols import Source
from gitml.errors import InputError
from gitml.git.command import Location, git
from gitml.git.objects.reader import Objects
from gitml.modules.folder import load_spec
from gitml.modules.spec import FILE
from registry.content import check_content, path_in


class ModuleTryout(NamedTuple):
    """What a try needs: the module's tree and what it says, and a commit that holds each input at ``<port>/<name>``."""

    content: str
    spec: ModuleSpec
    commit: str
    inputs: Mapping[str, str]


def prepare_tryout(
    location: Location, objects: Objects, worktree: Source, folder: str, inputs: Mapping[str, str]
) -> ModuleTryout:
    """Writes the module and its inputs (port -> path on this machine) as Git objects that nothing refers to.

    InputError when the folder is no module, holds what a module can't, or an input is not there.
    """
    path = path_in(location, folder)
    entry = worktree.lookup(path)
    if entry is None or not entry.is_tree:
        raise InputError("no such folder, or nothing in it that Git would take", where=folder)
    check_content(objects, entry.oid, path or ".")
    spec = load_spec(objects, entry.oid, f"{path}/{FILE}" if path else FILE)
    places: dict[str, str] = {}
    top = []
    for port, given in inputs.items():
        name = os.path.basename(os.path.abspath(given))
        if not name.isprintable() or "\\" in name:
            raise InputError(f"input {port!r} has a name that can't stand in a command", where=ascii(given)[1:-1])
        listing = os.fsencode(_entry(location, given, port, name)) + b"\0"
        tree = git(location, "mktree", "-z", input=listing).decode("ascii").strip()
        top.append(f"040000 tree {tree}\t{port}\0")
        places[port] = f"{port}/{name}"
    tree = git(location, "mktree", "-z", input="".join(top).encode()).decode("ascii").strip()
    who = "gitml <gitml@localhost> 0 +0000"
    text = f"tree {tree}\nauthor {who}\ncommitter {who}\n\ninputs of a module that is tried\n".encode()
    commit = git(location, "hash-object", "-t", "commit", "-w", "--stdin", input=text).decode("ascii").strip()
    return ModuleTryout(entry.oid, spec, commit, places)


def _entry(location: Location, path: str, port: str, name: str) -> str:
    """The line of a tree for what lies at `path`."""
    full = os.path.realpath(path)
    if os.path.isfile(full):
        with open(full, "rb") as file:
            oid = (
                git(location, "hash-object", "-w", "--no-filters", "--stdin", input=file.read()).decode("ascii").strip()
            )
        return f"100644 blob {oid}\t{name}"
    if not os.path.isdir(full):
        raise InputError(f"nothing is there for input {port!r}", where=path)
    return f"040000 tree {_tree(location, full)}\t{name}"


def _tree(location: Location, folder: str) -> str:
    """A folder as a tree, what Git would ignore included."""
    index = layout.own_folder(location.common_dir, f"try-{os.getpid()}.index")
    os.makedirs(os.path.dirname(index), exist_ok=True)
    there = ("-C", folder, f"--git-dir={location.git_dir}", f"--work-tree={folder}", "-c", "core.autocrlf=false")
    env = {"GIT_INDEX_FILE": index}
    try:
        git(location, *there, "add", "--all", "--force", "--", ".", env=env)
        return git(location, *there, "write-tree", env=env).decode("ascii").strip()
    finally:
        for leftover in (index, f"{index}.lock"):
            if os.path.exists(leftover):
                os.unlink(leftover)

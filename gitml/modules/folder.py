"""A module's folder: begun, checked, read from a commit, published."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from gitml import layout
from gitml.core.kinds.environment_kinds import SCRIPT, VENV, environment_files, script_of, tagged_image
from gitml.core.kinds.image_pins import LOCK_PATH
from gitml.core.language.diagnostics import Diagnostic, SpecError
from gitml.core.language.spec import ModuleSpec
from gitml.core.model.environment import PACKAGES
from gitml.core.model.protocols import Source
from gitml.errors import Guard, InputError
from gitml.git.command import Location, git
from gitml.git.objects.reader import Objects
from gitml.git.objects.source import TreeSource
from gitml.git.worktree.status import read_regular_file
from gitml.modules.service import ModuleService
from gitml.modules.spec import FILE, MAX_BYTES, manifest_of, parse_module
from registry.content import Content, check_content, content_at, path_in, read_checked
from registry.registry import Publication
from registry.versions import check_name


class NewModule(NamedTuple):
    """What `create_module` wrote."""

    name: str
    files: tuple[str, ...]


_MODULE = """\
name: {name}
version: 0.1.0
description: Counts the lines of a file and how many of them hold a word.
category: text
tags: [example]

inputs:
  text: file
  ignore: {{type: file, optional: true, help: lines not to count}}
outputs:
  counts: metrics
params:
  word: {{default: the, help: the word to look for}}

run: >-
  python3 count.py ${{{{ inputs.text }}}} --word ${{{{ params.word }}}} --ignore ${{{{ inputs.ignore }}}}
  --out ${{{{ outputs.counts }}}}
"""

_SCRIPT = '''\
"""Counts the lines of a file, and those that hold a word."""

import argparse
import json

parser = argparse.ArgumentParser()
parser.add_argument("text")
parser.add_argument("--word", required=True)
parser.add_argument("--ignore")
parser.add_argument("--out", required=True)
given = parser.parse_args()

ignored = set()
if given.ignore:
    with open(given.ignore, encoding="utf-8") as file:
        ignored = set(file)
with open(given.text, encoding="utf-8") as file:
    lines = [line for line in file if line not in ignored]
with open(given.out, "w", encoding="utf-8") as file:
    json.dump({"lines": len(lines), "with_word": sum(given.word in line for line in lines)}, file)
'''


def create_module(folder: str, name: str | None = None) -> NewModule:
    """Writes a module that works into `folder`, new or without a module; InputError when there is one."""
    name = check_name(name or os.path.basename(os.path.abspath(folder)).lower())
    files = {FILE: _MODULE.format(name=name), "count.py": _SCRIPT}
    with Guard(folder, "can't write it"):
        os.makedirs(folder, exist_ok=True)
        there = [leaf for leaf in files if os.path.lexists(os.path.join(folder, leaf))]
        if there:
            raise InputError(f"{there[0]} is there already", where=folder, hint="name a new folder")
        for leaf, text in files.items():
            with open(os.path.join(folder, leaf), "x", encoding="utf-8") as file:
                file.write(text)
    return NewModule(name, tuple(os.path.join(folder, leaf) for leaf in files))


def check_folder(folder: str) -> ModuleSpec:
    """The module in a folder of the work tree as it lies there; SpecError with every mistake."""
    path = os.path.join(folder, FILE)
    data = read_regular_file(path, path, MAX_BYTES)
    if data is None:
        raise InputError(f"no {FILE} here", where=folder, hint="start one: gitml module init DIR")
    spec = parse_module(data, path)
    _check_environment(spec, path, lambda file: os.path.isfile(os.path.join(folder, file)))
    return spec


def parse_in_folder(data: bytes, path: str, is_there: Callable[[str], bool]) -> ModuleSpec:
    """What the module.yaml at `path` says; SpecError with every mistake, also for a file it needs that is not beside it."""
    spec = parse_module(data, path)
    _check_environment(spec, path, is_there)
    return spec


def load_spec(objects: Objects, content_oid: str, path: str = FILE) -> ModuleSpec:
    """The module whose content is this Git tree, its bytes checked against their ids. `path` is named in mistakes."""
    source = TreeSource(objects, content_oid.removeprefix("git:"))
    read_checked(objects, source.tree, "tree")
    entry = source.lookup(FILE)
    if entry is None or entry.mode not in ("100644", "100755"):
        raise InputError(f"no {FILE} in this folder", where=path, hint="start one: gitml module init DIR")
    spec = parse_module(read_checked(objects, entry.oid, "blob"), path)

    def is_there(file: str) -> bool:
        found = source.lookup(file)
        return found is not None and not found.is_tree

    _check_environment(spec, path, is_there)
    return spec


def content_and_spec(modules: ModuleService, folder: str, at: str | None = None) -> tuple[Content, ModuleSpec]:
    """A folder with a `module.yaml` as it is at a commit, see `registry.content.content_at`, and what the file says."""
    content = content_at(modules.location, modules.objects, folder, at)
    return content, load_spec(modules.objects, content.tree, os.path.join(content.path, FILE))


def publish_folder(
    modules: ModuleService,
    folder: str,
    *,
    registry: str | None = None,
    at: str | None = None,
    version: str | None = None,
    default: bool = False,
    allow_breaking: bool = False,
    message: str = "",
) -> Publication:
    """Publishes a folder with a `module.yaml` as it is at a commit; see `registry.Registry.publish`.

    What its users have to install themselves is among the notes.
    """
    content, spec = content_and_spec(modules, folder, at)
    done = modules.registry(registry).publish(
        content, manifest_of(spec), version=version, default=default, allow_breaking=allow_breaking, message=message
    )
    return done._replace(notes=(*done.notes, *left_to_users(spec)))


def left_to_users(spec: ModuleSpec) -> tuple[str, ...]:
    """What a module needs that no version of it contains, a sentence each: packages that its users install themselves."""
    environment = spec.settings.environment
    packages = environment.texts(PACKAGES)
    if environment.kind == VENV:
        needs = f"a virtual environment {environment.name} in the project that uses it, with what it imports"
    elif packages:
        needs = f"{', '.join(packages[:5])}{' …' if len(packages) > 5 else ''} installed on every machine that runs it"
    else:
        return ()
    return (f"the module contains no lock of its packages: it needs {needs} ({_LOCK_FOR_USERS})",)


_LOCK_FOR_USERS = "a lock in its folder is installed for its users: gitml env lock requirements.in"


def _check_environment(spec: ModuleSpec, path: str, is_there: Callable[[str], bool]) -> None:
    """SpecError for an environment that no version of the module could have."""
    argv = ["".join(part for part in word if isinstance(part, str)) for word in spec.words]
    environment = script_of(spec.settings.environment, argv)
    mistake = None
    if environment.kind == SCRIPT and not environment.name:
        mistake = "environment script: the command starts no Python script; name it: {script: train.py}"
    for file, required in environment_files(environment):
        if required and not is_there(file):
            mistake = f"environment file {file!r} is not in the module's folder"
    image = tagged_image(environment)
    if image is not None and not is_there(LOCK_PATH):
        mistake = f"image {image} is named by a tag, which may be moved: a module names it by its digest, name@sha256:…"
    if mistake is not None:
        raise SpecError([Diagnostic(path, 1, 1, mistake)])


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
    spec = load_spec(objects, entry.oid, os.path.join(path, FILE))
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

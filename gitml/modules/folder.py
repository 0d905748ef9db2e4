"""A module's folder: begun, checked, read from a commit, published."""

from __future__ import annotations

import os
from typing import NamedTuple

from gitml.core.language.diagnostics import Diagnostic, SpecError
from gitml.core.language.environment_kinds import environment_file
from gitml.core.language.spec import ModuleSpec
from gitml.errors import InputError, machine_error
from gitml.git.objects.reader import Objects
from gitml.git.objects.source import TreeSource
from gitml.git.worktree.status import read_regular_file
from gitml.modules.service import ModuleService
from gitml.modules.spec import FILE, MAX_BYTES, manifest_of, parse_module
from registry.content import content_at, read_checked
from registry.names import check_name
from registry.registry import Publication


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
    try:
        os.makedirs(folder, exist_ok=True)
        there = [leaf for leaf in files if os.path.lexists(os.path.join(folder, leaf))]
        if there:
            raise InputError(f"{there[0]} is there already", where=folder, hint="name a new folder")
        for leaf, text in files.items():
            with open(os.path.join(folder, leaf), "x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise machine_error(error, folder, "can't write it") from error
    return NewModule(name, tuple(os.path.join(folder, leaf) for leaf in files))


def check_folder(folder: str) -> ModuleSpec:
    """The module in a folder of the work tree as it lies there; SpecError with every mistake."""
    path = os.path.join(folder, FILE)
    data = read_regular_file(path, path, MAX_BYTES)
    if data is None:
        raise InputError(f"no {FILE} here", where=folder, hint="start one: gitml module init DIR")
    spec = parse_module(data, path)
    file = environment_file(spec.settings.environment)
    if file is not None and not os.path.isfile(os.path.join(folder, file)):
        raise _missing_environment(file, path)
    return spec


def load_spec(objects: Objects, content_oid: str, path: str = FILE) -> ModuleSpec:
    """The module whose content is this Git tree, its bytes checked against their ids. `path` is named in mistakes."""
    source = TreeSource(objects, content_oid.removeprefix("git:"))
    read_checked(objects, source.tree, "tree")
    entry = source.lookup(FILE)
    if entry is None or entry.mode not in ("100644", "100755"):
        raise InputError(f"no {FILE} in this folder", where=path, hint="start one: gitml module init DIR")
    spec = parse_module(read_checked(objects, entry.oid, "blob"), path)
    file = environment_file(spec.settings.environment)
    if file is not None:
        found = source.lookup(file)
        if found is None or found.is_tree:
            raise _missing_environment(file, path)
    return spec


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
    """Publishes a folder with a `module.yaml` as it is at a commit; see `registry.Registry.publish`."""
    content = content_at(modules.location, modules.objects, folder, at)
    spec = load_spec(modules.objects, content.tree, f"{content.path}/{FILE}" if content.path else FILE)
    return modules.registry(registry).publish(
        content, manifest_of(spec), version=version, default=default, allow_breaking=allow_breaking, message=message
    )


def _missing_environment(file: str, path: str) -> InputError:
    where = Diagnostic(path, 1, 1, f"environment file {file!r} is not in the module's folder")
    return SpecError([where])

"""What `gitml init` writes, and taking exactly that away again."""

from __future__ import annotations

import os
from typing import NamedTuple

from gitml.errors import InputError

CONFIG = """\
# Settings for all pipelines of this repository; everything here may be left out. `gitml config` shows what is in force.
defaults:
  pipeline: {pipeline}
"""
PIPELINE = """\
# A first pipeline: `gitml run` runs it, `gitml run` again reuses it, and `gitml run -S name=you` runs what that changes.
help: Counts the letters of a greeting

params:
  name: {default: world, help: whom to greet}

steps:
  greet:
    run: python3 pipelines/hello.py greet ${{ params.name }} ${{ outputs.greeting }}
    outputs: {greeting: file}

  count:
    run: python3 pipelines/hello.py count ${{ steps.greet.outputs.greeting }} ${{ outputs.numbers }}
    outputs: {numbers: metrics}
"""
SCRIPT = '''\
"""The steps of the first pipeline: greet NAME FILE, count FILE METRICS."""

import json
import pathlib
import sys

what, given, target = sys.argv[1:]
if what == "greet":
    pathlib.Path(target).write_text(f"Hello, {given}!\\n")
else:
    text = pathlib.Path(given).read_text()
    pathlib.Path(target).write_text(json.dumps({"letters": sum(letter.isalpha() for letter in text)}))
'''
FIRST = {"pipelines/hello.yaml": PIPELINE, "pipelines/hello.py": SCRIPT}


class FileOutcome(NamedTuple):
    """A file and what became of it: written, kept, removed or changed (so it stays)."""

    path: str
    state: str


def write(root: str) -> list[FileOutcome]:
    """Writes `gitml.yaml`, and a first pipeline where there is none; whatever is there stays as it is."""
    named = _pipelines(root)
    files = {} if named else dict(FIRST)
    default = "hello" if not named else named[0] if len(named) == 1 else None
    if default is not None:
        files["gitml.yaml"] = CONFIG.format(pipeline=default)
    done = []
    for path, content in sorted(files.items()):
        full = os.path.join(root, path)
        if os.path.lexists(full):
            done.append(FileOutcome(path, "kept"))
            continue
        _refuse_links(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "x", encoding="utf-8") as file:
            file.write(content)
        done.append(FileOutcome(path, "written"))
    return done


def undo(root: str) -> list[FileOutcome]:
    """Removes what `write` wrote wherever it is unchanged, and a folder that it leaves empty."""
    done = []
    for path in sorted({*FIRST, "gitml.yaml"}, reverse=True):
        full = os.path.join(root, path)
        if os.path.islink(full) or not os.path.isfile(full):
            continue
        with open(full, encoding="utf-8", errors="surrogateescape") as file:
            unchanged = _is_ours(path, file.read())
        if unchanged:
            os.unlink(full)
        done.append(FileOutcome(path, "removed" if unchanged else "changed"))
    folder = os.path.join(root, "pipelines")
    if os.path.isdir(folder) and not os.path.islink(folder) and not os.listdir(folder):
        os.rmdir(folder)
    return done


def _is_ours(path: str, content: str) -> bool:
    if path in FIRST:
        return content == FIRST[path]
    before, _, after = CONFIG.partition("{pipeline}")
    name = content[len(before) : len(content) - len(after)]
    return content == CONFIG.format(pipeline=name) and "\n" not in name


def _pipelines(root: str) -> list[str]:
    folder = os.path.join(root, "pipelines")
    if not os.path.isdir(folder):
        return []
    names = (os.path.splitext(name) for name in os.listdir(folder))
    return sorted(stem for stem, suffix in names if suffix in (".yaml", ".yml") and stem)


def _refuse_links(root: str, path: str) -> None:
    folder = os.path.dirname(os.path.join(root, path))
    real = os.path.realpath(folder)
    if real != os.path.join(os.path.realpath(root), os.path.dirname(path)).rstrip("/"):
        raise InputError("a link is where a folder is needed", where=folder, hint="move it away")

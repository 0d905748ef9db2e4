"""Before a commit: its pipelines and modules are valid, `gitml.lock` is true, and no large file slipped in."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from typing import NamedTuple

from gitml.analysis.file_check import check_pipeline, diagnostic_at, error_text
from gitml.analysis.lock import resolve_lock
from gitml.core.config.project import PATH as CONFIG
from gitml.core.config.project import Config, Hooks, matches
from gitml.core.language.diagnostics import Diagnostic, SpecError
from gitml.core.model.paths import project_of_file
from gitml.core.model.protocols import Entry, Source
from gitml.engine.planning.load import config_at, every_pipeline, files_named_by, read_config
from gitml.engine.planning.module_resolution import read_image_pins, read_lock
from gitml.engine.planning.projects import FOLDER
from gitml.errors import InputError, RemoteError
from gitml.git.command import git
from gitml.git.objects.source import ListableSource, TreeSource
from gitml.git.worktree.temporary_index import TemporaryIndex
from gitml.modules.lockfile import PATH as LOCK
from gitml.modules.spec import FILE as MODULE
from gitml.modules.spec import parse_module
from gitml.workspace import Workspace

_MODULE_LIKE = re.compile(rb"^(run|outputs|inputs)\s*:", re.MULTILINE)


class CommitCheck(NamedTuple):
    """Every mistake, in order of place, and what is worth a word but keeps no commit from being made."""

    mistakes: tuple[Diagnostic, ...] = ()
    warnings: tuple[str, ...] = ()


def check_commit(ws: Workspace, index: str | None = None) -> CommitCheck:
    """What is wrong with the commit that the index (or the file `index`) makes; of all files when nothing is staged."""
    made = staged(ws, index)
    everything = not made.changed and not made.removed
    source = made.source
    mistakes: list[Diagnostic] = []
    warnings: list[str] = []
    try:
        config = read_config(ws, source)
    except SpecError as error:
        config = Config()
        mistakes += error.diagnostics
    if "pre-commit" in config.hooks.skip:
        return CommitCheck()
    mistakes += _large(ws, made, config.hooks)
    pipelines = sorted(every_pipeline(source).values())
    for project, pipeline_paths in groupby(pipelines, project_of_file):
        own = {CONFIG, f"{project}/{CONFIG}"}
        try:
            config_here = config_at(ws, source, project) if project else config
        except SpecError as error:
            mistakes += error.diagnostics
            config_here = config
        for path in pipeline_paths:
            entry = source.lookup(path)
            named = [] if entry is None else files_named_by(ws, source, config_here, path, entry)
            if everything or {*made.changed, *made.removed} & {*own, path, *named}:
                found = check_pipeline(ws, source, path, config_here)
            elif made.removed:
                found = check_pipeline(ws, source, path, config_here).of(made.removed)
            else:
                continue
            mistakes += found.mistakes
            warnings += found.warnings
    for path in sorted(_modules(source, made, everything=everything)):
        entry = source.lookup(path)
        assert entry is not None
        data = source.read(entry.oid)
        if _MODULE_LIKE.search(data):  # other tools have files of this name too
            try:
                parse_module(data, path)
            except SpecError as error:
                mistakes += error.diagnostics
    touched = any(path in made.changed or path in made.removed for path in (LOCK, CONFIG, *pipelines))
    if (everything or touched or any(_is_pipeline(path) for path in made.removed)) and not mistakes:
        wrong, untold = _of_lock(ws, source)
        mistakes += wrong
        warnings += untold
    return CommitCheck(tuple(sorted(set(mistakes))), tuple(dict.fromkeys(warnings)))


def _is_pipeline(path: str) -> bool:
    return posixpath.basename(posixpath.dirname(path)) == FOLDER


def _modules(source: Source, made: Staged, *, everything: bool) -> Iterator[str]:
    for path in made.changed:
        if posixpath.basename(path) == MODULE:
            yield path
    if everything:
        folders = [("", "")]
        while folders:
            prefix, path = folders.pop()
            entry = source.lookup(path)
            for name, found in source.children(entry.oid).items() if entry else ():
                if found.is_tree:
                    folders.append((f"{prefix}{name}/", prefix + name))
                elif name == MODULE and not found.is_link:
                    yield prefix + name


def _of_lock(ws: Workspace, source: ListableSource) -> tuple[list[Diagnostic], list[str]]:
    """How `gitml.lock`, if there is one, differs from what the pipelines use: (mistakes, what could not be checked)."""
    entry = source.lookup(LOCK)
    if entry is None:
        return [], []
    text = source.read(entry.oid).decode("utf-8", "replace")
    try:
        locked = resolve_lock(ws, (), source, ask=False)
    except RemoteError as error:
        return [], [f"{LOCK} was not checked: {error.message}"]
    except SpecError as error:
        return list(error.diagnostics), []
    except InputError as error:
        use = error.where or ""
        return [diagnostic_at(LOCK, text, f'"{use}"', error_text(error))], []
    had = {*read_lock(source), *read_image_pins(source)}
    found = []
    for change in locked.changes:
        use = next((key for key in {*had, *locked.entries, *locked.images} if change.startswith(f"{key}: ")), "")
        mistake = f"{change}: gitml lock, then git add {LOCK}"
        if use in had:
            found.append(diagnostic_at(LOCK, text, f'"{use}"', mistake))
        else:
            found.append(_where_used(source, use, mistake) or Diagnostic(LOCK, 1, 1, mistake))
    return found, list(locked.warnings)


def _where_used(source: ListableSource, use: str, mistake: str) -> Diagnostic | None:
    for path in sorted(every_pipeline(source).values()):
        entry = source.lookup(path)
        text = source.read(entry.oid).decode("utf-8", "replace") if entry else ""
        if re.search(rf"module:\s*[\"']?{re.escape(use)}", text):
            return diagnostic_at(path, text, use, mistake)
    return None


def _large(ws: Workspace, made: Staged, hooks: Hooks) -> list[Diagnostic]:
    files = {path: entry for path, entry in made.changed.items() if not entry.is_submodule and not entry.is_link}
    headers = ws.objects.headers([entry.oid for entry in files.values()])
    large = {path: header.size for path, header in zip(files, headers, strict=True) if header.size >= hooks.large_file}
    large = {path: size for path, size in large.items() if not matches(path, hooks.large_files)}
    in_lfs = _meant_for_lfs(ws, list(large)) if large else set()
    found = []
    for path, size in large.items():
        mend = "Let a step make it and keep it as an output, or track it with Git LFS (git lfs track)"
        if path in in_lfs:
            mend = "It is meant for Git LFS, which didn't take it: git lfs install, then git add --renormalize it"
        shown = f"{size / (1 << 20):.1f} MiB, and from {hooks.large_file / (1 << 20):g} MiB on one is refused"
        found.append(
            Diagnostic(path, 1, 1, f"a large file: {shown}. {mend}; or allow it: hooks.large_files in {CONFIG}")
        )
    return found


def _meant_for_lfs(ws: Workspace, paths: list[str]) -> set[str]:
    given = "".join(path + "\0" for path in paths).encode("utf-8", "surrogateescape")
    answer = git(ws.location, "check-attr", "-z", "--cached", "--stdin", "filter", input=given, check=False)
    fields = answer.decode("utf-8", "surrogateescape").split("\0")
    return {path for path, value in zip(fields[::3], fields[2::3], strict=False) if value == "lfs"}


_DIFF = ("diff", "--cached", "--raw", "-z", "--no-renames", "--no-abbrev", "--no-ext-diff", "--no-relative")


class Staged(NamedTuple):
    """`source` has all files as staged; `changed` those that are new or differ from HEAD; `removed` paths are gone."""

    source: TreeSource
    changed: dict[str, Entry]
    removed: tuple[str, ...]


def staged(ws: Workspace, index: str | None) -> Staged:
    """What the index, or the file `index` that Git made for this one commit, holds."""
    env = {"GIT_INDEX_FILE": index} if index else {}
    answer = git(ws.location, *_DIFF, "--ignore-submodules=all", env=env)
    changed: dict[str, Entry] = {}
    removed = []
    fields = os.fsdecode(answer).split("\0")
    for about, path in zip(fields[::2], fields[1::2], strict=False):
        _, mode, _, oid, kind = about.split(" ")
        if kind == "D":
            removed.append(path)
        else:
            changed[path] = Entry(mode, oid)
    with closing(TemporaryIndex(ws.location, index)) as scratch:
        tree = scratch.write_tree()
    return Staged(TreeSource(ws.objects, tree), changed, tuple(removed))

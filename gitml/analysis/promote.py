"""Promotion: the files and the values of a run as a commit on a branch, so that the next run there reuses all that it made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from gitml.core.language.params import bind_recorded, defaults_of
from gitml.core.language.spec import Pipeline
from gitml.core.language.yaml_document import Node, read_yaml
from gitml.core.model.paths import from_top, project_of_file
from gitml.core.model.protocols import Entry
from gitml.core.parameters.projection import ALL, projected, with_values
from gitml.core.parameters.value_path import Path, Value, changed_parts, part_at, path_text, same_value, text_of_value
from gitml.core.records.record import Run
from gitml.engine.planning.load import config_at, parse_at
from gitml.engine.planning.projects import project_of_name
from gitml.errors import BusyError, InputError
from gitml.git.command import git, git_status, translate
from gitml.git.integrity.durability import UPDATE, sync_objects, sync_refs
from gitml.git.objects.source import CommitSource, settings_in
from gitml.git.revisions import commit_info
from gitml.git.worktree.snapshot import is_snapshot
from gitml.git.worktree.temporary_index import TemporaryIndex
from gitml.workspace import Workspace

_MARK = b"\xef\xbb\xbf"
BRANCH = "promoted/"
"""Before the id of the run in the name of a branch that nobody names."""


class ChangedValue(NamedTuple):
    """A value that a file has from now on."""

    file: str
    param: str
    before: Value
    after: Value


class Promotion(NamedTuple):
    """What was made of a run: a `commit` on a `branch`, its parent, and the values that its files have otherwise than before.

    With `existed` the branch was that already.
    """

    run: str
    branch: str
    commit: str
    parent: str
    values: tuple[ChangedValue, ...]
    existed: bool = False


def promote(ws: Workspace, run: Run, branch: str | None = None, message: str = "") -> Promotion:
    """Makes a branch with one commit: exactly the files that `run` ran, with its values as the defaults in them.

    InputError for a run that is a commit with its own values already, and for a branch that is something else.
    """
    name = branch or f"{BRANCH}{run.id[:8]}"
    _check_branch(ws, name)
    source = CommitSource(ws.objects, run.commit)
    info = commit_info(ws.objects, run.commit)
    snapshot = run.dirty or is_snapshot(ws.objects, run.commit)
    changed, values = _changed_files(ws, source, run)
    if not snapshot and not values:
        raise InputError(
            f"run {run.id[:8]} ran commit {run.commit[:12]} with the values that are in its files: there is nothing to promote",
            hint=f"git branch {name} {run.commit[:12]}",
        )
    parents = list(info.parents) if snapshot else [run.commit]
    tree = _tree_with(ws, info.tree, changed)
    at = _tip(ws, name)
    if at is not None:
        was = commit_info(ws.objects, at)
        if was.tree == tree and list(was.parents) == parents:
            return Promotion(run.id, name, at, parents[0] if parents else "", tuple(values), existed=True)
        raise InputError(f"there is a branch {name}, and it is something else", hint="name another: --branch NAME")
    text = message or run.message or f"{run.pipeline}: the files and values of run {run.id[:8]}"
    words = [word for parent in parents for word in ("-p", parent)]
    made = git(ws.location, "commit-tree", *words, "-F", "-", tree, input=os.fsencode(_message(text, run, values)))
    commit = made.decode("ascii").strip()
    _create(ws, name, commit)
    return Promotion(run.id, name, commit, parents[0] if parents else "", tuple(values))


def _message(text: str, run: Run, values: list[ChangedValue]) -> str:
    lines = [text.rstrip("\n"), ""]
    lines += [f"{value.param}: {text_of_value(value.after)} (was {text_of_value(value.before)})" for value in values]
    return "\n".join([*lines, *([""] if values else []), f"Run: {run.id}", ""])


def _changed_files(
    ws: Workspace, source: CommitSource, run: Run
) -> tuple[dict[str, tuple[str, bytes]], list[ChangedValue]]:
    """The files in which the values of the run are no defaults, by path: mode and new content; and those values."""
    entry = source.lookup(run.path)
    if entry is None:
        raise InputError(f"no pipeline file {run.path!r} at commit {run.commit[:12]}")
    project = project_of_name(run.pipeline) or project_of_file(run.path)
    pipeline = parse_at(source, entry, run.path, config_at(ws, source, project))
    bound = bind_recorded(pipeline.params, run.params)
    defaults = defaults_of(pipeline.params)
    files: dict[str, tuple[str, bytes]] = {}
    values: list[ChangedValue] = []
    for file in pipeline.config:
        changes = list(changed_parts(file.values, {key: bound[key] for key in file.values}))
        if changes:
            path = from_top(file.path, project)
            found = source.lookup(path)
            assert found is not None
            files[path] = found.mode, _as_bytes(projected(file, ALL, changes), source.read(found.oid))
            values += [ChangedValue(path, path_text(at), part_at(file.values, at), value) for at, value in changes]
    own = {
        name: value
        for name, value in bound.items()
        if name in pipeline.params
        and not pipeline.params[name].source
        and not pipeline.params[name].secret
        and not same_value(defaults.get(name), value)
    }
    if own:
        data = settings_in(source, entry, run.path)
        files[run.path] = entry.mode, _with_defaults(pipeline, data, run.path, own)
        values += [ChangedValue(run.path, name, defaults.get(name), value) for name, value in own.items()]
    return files, values


def _with_defaults(pipeline: Pipeline, data: bytes, path: str, values: Mapping[str, Value]) -> bytes:
    """A pipeline file with these defaults of parameters; every other byte stays."""
    root, text = read_yaml(data, path)
    places: list[tuple[Path, Value]] = []
    for name, value in values.items():
        node: Node | None = None
        if "params" in root.value and root.value["params"][1].is_mapping:
            node = dict(root.value["params"][1].value).get(name, (None, None))[1]
        if node is None:
            raise InputError(
                f"the default of parameter {name!r} is not in {path}", hint="change it where it is, and commit"
            )
        places.append((("params", name, "default") if node.is_mapping else ("params", name), value))
    try:
        changed = with_values(text, root, places)
    except KeyError as error:
        name = error.args[0][1]
        what = f"the default of parameter {name!r} stands for other values too: change it by hand"
        raise InputError(what, where=path) from None
    return _as_bytes(changed, data)


def _as_bytes(text: str, before: bytes) -> bytes:
    """The content of a file with another text, with the byte order mark that it had."""
    return (_MARK if before.startswith(_MARK) else b"") + text.encode("utf-8", "surrogateescape")


def _tree_with(ws: Workspace, tree: str, files: Mapping[str, tuple[str, bytes]]) -> str:
    """The tree with other contents of some files."""
    if not files:
        return tree
    entries = {
        path: Entry(mode, git(ws.location, "hash-object", "-w", "--stdin", input=content).decode("ascii").strip())
        for path, (mode, content) in files.items()
    }
    index = TemporaryIndex(ws.location, empty=True)
    try:
        index.read(tree)
        index.put(entries)
        return index.write_tree()
    finally:
        index.close()


def _check_branch(ws: Workspace, name: str) -> None:
    _, _, code = git_status(ws.location, "check-ref-format", f"refs/heads/{name}")
    if code or name.startswith("-"):
        raise InputError(f"{name[:80]!r} can't be the name of a branch", where="--branch")


def _tip(ws: Workspace, name: str) -> str | None:
    ref = f"refs/heads/{name}^{{commit}}"
    out, _, code = git_status(ws.location, "rev-parse", "--quiet", "--verify", "--end-of-options", ref)
    return None if code else out.decode("ascii").strip()


def _create(ws: Workspace, name: str, commit: str) -> None:
    """Makes the branch, durably; BusyError where another process just did."""
    sync_objects(ws.location)
    ref = f"refs/heads/{name}"
    _, said, code = git_status(ws.location, *UPDATE, input=os.fsencode(f"create {ref}\0{commit}\0"))
    if code and _tip(ws, name) is not None:
        raise BusyError(f"the branch {name} was made meanwhile", hint="name another: --branch NAME")
    if code:
        raise translate(ws.location.folder, UPDATE, code, said)
    sync_refs(ws.location, [ref])

"""The nodes of lineage: artifacts, steps, files, parameters, modules, commits; and finding one by its name."""

from __future__ import annotations

import os
from contextlib import closing
from typing import NamedTuple

from gitml.core.model.digest import PREFIX, Digest, from_hex
from gitml.core.model.graph import IN
from gitml.core.records.record import Run, StepRun
from gitml.errors import InputError
from gitml.git.objects.source import CommitSource
from gitml.git.revisions import commit_info, resolve_commit
from gitml.history.files.selector import select
from gitml.history.runs import find_run, names_run
from gitml.layout import REGISTRY_REF
from gitml.modules.registry_places import registries_here
from gitml.store.index.artifacts import made_with_prefix, makers_of
from gitml.store.index.runs import newest_runs, run_row
from gitml.workspace import Workspace

_HEX = frozenset("0123456789abcdef")


class LineageNode(NamedTuple):
    """A node. `kind` is artifact, step, file, param, module or commit; equal ones have the same `id`.

    `name` is ``step.port``, a step's name, a path, a parameter's name, a module with its version, or a commit's subject;
    `content` a Digest, an ActionKey, a Git id, a value or a commit id; `run`, `pipeline` and `commit` are where it was made or
    performed.
    """

    id: str
    kind: str
    name: str
    content: str = ""
    run: str | None = None
    pipeline: str | None = None
    commit: str | None = None


def newest_nodes(ws: Workspace) -> list[LineageNode]:
    """The outputs of the newest run that made any, of the last twenty."""
    for row in newest_runs(ws.index, limit=20):
        try:
            return find_nodes(ws, row.id)
        except InputError:
            continue  # it made nothing
    return []


def find_nodes(ws: Workspace, text: str, rev: str = "HEAD") -> list[LineageNode]:
    """What `text` names.

    That is ``RUN``, ``RUN:STEP``, ``RUN:STEP.PORT``, a digest or its beginning, a path at `rev`, a commit, or a module (all its
    versions) or ``MODULE@VERSION``; InputError for what is none of them.
    """
    head = text.partition(":")[0]
    if names_run(ws, head):
        if ":" not in text:
            find_run(ws, head)  # says so when it is ambiguous
        return [artifact_node(output.ref.digest, output.step, output.run) for output in select(ws, text).outputs]
    digests = _digests(ws, text)
    if len(digests) > 1:
        raise InputError(f"several artifacts begin with {text!r}", hint="give more digits")
    if digests:
        return [newest_artifact(ws, digests[0])]
    file = _file(ws, text, rev)
    if file is not None:
        return [file]
    try:
        commit = resolve_commit(ws.objects, ws.location, text)
    except InputError:
        modules = _modules(ws, text)
        if modules:
            return modules
        raise InputError(
            f"nothing here is called {text[:80]!r}",
            hint="name RUN:STEP.PORT, a digest, a path of the commit, a commit, or MODULE@VERSION",
        ) from None
    return [commit_node(ws, commit)]


def artifact_node(digest: Digest, step: StepRun, run: Run) -> LineageNode:
    """The artifact as a step of this run gave it."""
    port = next((output.name for output in step.outputs if output.digest == digest), "")
    return LineageNode(
        f"artifact:{digest}", "artifact", f"{step.name}.{port}", digest, step.origin or run.id, run.pipeline, run.commit
    )


def newest_artifact(ws: Workspace, digest: Digest) -> LineageNode:
    """The artifact as the newest step that made it did."""
    makers = makers_of(ws.index, digest)
    if not makers:
        return LineageNode(f"artifact:{digest}", "artifact", digest[:19], digest)
    newest = makers[0]
    row = run_row(ws.index, newest.run)
    name = f"{newest.step}.{newest.port}"
    commit = row.commit if row is not None else None
    return LineageNode(f"artifact:{digest}", "artifact", name, digest, newest.run, newest.pipeline, commit)


def _digests(ws: Workspace, text: str) -> list[Digest]:
    digits = text.removeprefix("sha256:")
    if not 8 <= len(digits) <= 64 or not _HEX.issuperset(digits):
        return []
    if len(digits) == 64:
        digest = from_hex(digits)
        return [digest] if makers_of(ws.index, digest) else []
    return made_with_prefix(ws.index, PREFIX + digits)


def _file(ws: Workspace, text: str, rev: str) -> LineageNode | None:
    """The file at this path of the commit: as written from the root, or from the current folder."""
    try:
        commit = resolve_commit(ws.objects, ws.location, rev)
    except InputError:
        return None
    source = CommitSource(ws.objects, commit)
    for path in _paths(ws, text):
        entry = source.lookup(path)
        if entry is not None:
            return file_node(path, entry.oid, commit)
    return None


def _modules(ws: Workspace, text: str) -> list[LineageNode]:
    """The versions of the module that this names, in the project's registries; none when it names none."""
    from gitml.modules.service import ModuleService, parse_ref

    registries = registries_here(ws.location)
    if not registries and ws.objects.resolve(REGISTRY_REF) is None:
        return []
    with closing(ModuleService(ws.location, ws.objects, registries, ws.consent)) as modules:
        try:
            ref = parse_ref(text)
            found = modules.registry(ref.registry).versions(ref.name)
        except InputError:
            return []
    wanted = [version for version in found if ref.requirement in (None, version.version)]
    return [module_node(version.content, f"{version.module}@{version.version}") for version in wanted]


def _paths(ws: Workspace, text: str) -> list[str]:
    found = [os.path.normpath(text)]
    root = ws.location.worktree
    if root is not None:
        found.insert(0, os.path.relpath(os.path.realpath(os.path.abspath(text)), os.path.realpath(root)))
    return [path for path in found if path != "." and not path.startswith(("/", ".."))]


def file_node(path: str, oid: str, commit: str | None) -> LineageNode:
    """The node for a file of a commit. A module gets a copy in a folder of no meaning: of that only the name is shown."""
    if path.startswith(f"{IN}/"):
        path = path.split("/", 3)[3]
    return LineageNode(f"file:{path}@{oid}", "file", path, oid, commit=commit)


def commit_node(ws: Workspace, commit: str) -> LineageNode:
    """A commit by its full id."""
    return LineageNode(f"commit:{commit}", "commit", commit_info(ws.objects, commit).subject, commit, commit=commit)


def module_node(content: str, name: str) -> LineageNode:
    """The node for a module's content (``git:<tree>``), called `name`."""
    oid = content.removeprefix("git:")
    return LineageNode(f"module:{oid}", "module", name, oid)


def module_name(content: str, run: Run | None) -> str:
    """``name@version`` as the run recorded it, else the beginning of the content's id."""
    for module in run.modules.values() if run is not None else ():
        if module.get("content") == content:
            return f"{module.get('name', '?')}@{module.get('version', '?')}"
    return content.removeprefix("git:")[:12]

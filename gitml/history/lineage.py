"""Where things come from and what was made of them, derived from what was recorded: nothing of this is stored.

The answer is a graph of Things. ``up`` has edges to what a Thing was made from, ``down`` to what was made of it. Loops of
Python's own stack are avoided: a chain of steps may be long.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from gitml.core.action import Action
from gitml.core.digest import PREFIX, Digest, from_hex
from gitml.core.record import Run, StepRun
from gitml.errors import InputError
from gitml.history.runs import find_run, is_run_prefix, live_ids, read_run
from gitml.history.selecting import select
from gitml.repo.revisions import commit_info, resolve_commit
from gitml.repo.source import CommitSource
from gitml.store.lineage import Use
from gitml.workspace import Workspace

_HEX = frozenset("0123456789abcdef")


class Thing(NamedTuple):
    """A node. `kind` is artifact, step, file, param or commit; `id` tells equal ones.

    `name` is ``step.port``, a step's name, a path, a parameter's name, or a commit's subject; `content` a Digest, an
    ActionKey, a Git id, a value or a commit id; `run`, `pipeline` and `commit` say where it was made or performed.
    """

    id: str
    kind: str
    name: str
    content: str = ""
    run: str | None = None
    pipeline: str | None = None
    commit: str | None = None


class Lineage(NamedTuple):
    """`roots` are the ids of what was asked for; `edges` lead from an id to those it was made from, or that were made of it."""

    roots: tuple[str, ...]
    things: dict[str, Thing]
    edges: dict[str, list[str]]


def find_things(ws: Workspace, text: str, rev: str = "HEAD") -> list[Thing]:
    """What `text` names: ``RUN``, ``RUN:STEP``, ``RUN:STEP.PORT``, a digest or its beginning, a path at `rev`, or a commit."""
    head = text.partition(":")[0]
    if (is_run_prefix(head) and (ws.index.find_runs(head, 1) or head in live_ids(ws))) or head == "latest":
        if ":" not in text:
            find_run(ws, head)  # says so when it is ambiguous
        return [_artifact(output.ref.digest, output.step, output.run) for output in select(ws, text).outputs]
    digests = _digests(ws, text)
    if len(digests) > 1:
        raise InputError(f"several artifacts begin with {text!r}", hint="give more digits")
    if digests:
        return [_made_artifact(ws, digests[0])]
    file = _file(ws, text, rev)
    if file is not None:
        return [file]
    try:
        commit = resolve_commit(ws.objects, ws.location, text)
    except InputError:
        raise InputError(
            f"nothing here is called {text[:80]!r}",
            hint="name RUN:STEP.PORT, a digest, a path of the commit, or a commit",
        ) from None
    return [_commit(ws, commit)]


def up(ws: Workspace, things: Iterable[Thing]) -> Lineage:
    """Everything that `things` were made from, down to files of commits and parameters."""
    return _Walk(ws).up(list(things))


def down(ws: Workspace, things: Iterable[Thing]) -> Lineage:
    """Everything that was made of `things`, in all recorded runs."""
    return _Walk(ws).down(list(things))


class _Walk:
    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self.things: dict[str, Thing] = {}
        self.edges: dict[str, list[str]] = {}
        self.runs: dict[str, Run | None] = {}

    def add(self, parent: str | None, thing: Thing) -> bool:
        """Adds a Thing and the edge to it; whether it is new."""
        if parent is not None and thing.id not in self.edges.setdefault(parent, []):
            self.edges[parent].append(thing.id)
        if thing.id in self.things:
            return False
        self.things[thing.id] = thing
        return True

    def lineage(self, roots: list[Thing]) -> Lineage:
        return Lineage(tuple(dict.fromkeys(root.id for root in roots)), self.things, self.edges)

    # -- up

    def up(self, roots: list[Thing]) -> Lineage:
        todo = [root for root in roots if self.add(None, root)]
        while todo:
            thing = todo.pop()
            if thing.kind == "artifact":
                parents = self.maker(thing)
            elif thing.kind == "step":
                parents = self.ingredients(thing)
            elif thing.kind == "file" and thing.commit:
                parents = [_commit(self.ws, thing.commit)]
            else:
                parents = []
            todo += [parent for parent in parents if self.add(thing.id, parent)]
        return self.lineage(roots)

    def maker(self, thing: Thing) -> list[Thing]:
        """The step that made an artifact: in the run that is told, else the newest that did."""
        makers = self.ws.index.makers(Digest(thing.content))
        chosen = [maker for maker in makers if maker.run == thing.run] or makers[:1]
        return [self.step_thing(maker.key, maker.step, maker.run, maker.pipeline) for maker in chosen[:1]]

    def ingredients(self, thing: Thing) -> list[Thing]:
        action = self.ws.index.action(Digest(thing.content))
        if action is None:
            return []
        run = self.run(thing.run)
        found: list[Thing] = []
        for item in action.inputs:
            if item.content.startswith("git:"):
                found.append(_file_thing(item.mount, item.content.rsplit(":", 1)[1], thing.commit))
            else:
                found.append(self.input_artifact(Digest(item.content), run))
        found += [_file_thing(code.path, code.oid, thing.commit) for code in action.code]
        found += [Thing(f"param:{name}={value!r}", "param", name, str(value)) for name, value in action.params]
        return found

    def input_artifact(self, digest: Digest, run: Run | None) -> Thing:
        """The artifact as the same run has it, which may have reused it from another."""
        for step in run.steps if run is not None else ():
            if any(output.digest == digest for output in step.outputs):
                assert run is not None
                return _artifact(digest, step, run)
        return _made_artifact(self.ws, digest)

    def run(self, id: str | None) -> Run | None:
        if id is None:
            return None
        if id not in self.runs:
            self.runs[id] = read_run(self.ws, id) if self.ws.index.run_row(id) is not None else None
        return self.runs[id]

    # -- down

    def down(self, roots: list[Thing]) -> Lineage:
        todo = [root for root in roots if self.add(None, root)]
        while todo:
            thing = todo.pop()
            if thing.kind == "artifact":
                children = self.users([thing.content])
            elif thing.kind == "step":
                children = self.products(thing)
            elif thing.kind == "file":
                children = self.file_users(thing)
            elif thing.kind == "commit":
                children = self.performed_at(thing.content)
            else:
                children = []
            todo += [child for child in children if self.add(thing.id, child)]
        return self.lineage(roots)

    def users(self, contents: Iterable[str], path: str | None = None) -> list[Thing]:
        """Steps whose Action names one of the contents."""
        uses = [use for content in contents for use in self.ws.index.users(content)]
        return self.steps_of(use for use in uses if path is None or _covers(use.path, path))

    def steps_of(self, uses: Iterable[Use]) -> list[Thing]:
        """The steps of the uses; an Action performed several times is told once, the newest."""
        found: dict[str, Thing] = {}
        for use in uses:
            if use.step is not None and use.run is not None and use.key not in found:
                found[use.key] = self.step_thing(use.key, use.step, use.run, use.pipeline)
        return list(found.values())

    def file_users(self, thing: Thing) -> list[Thing]:
        """Steps that had the file, by itself or in a directory; of a directory also those that had something below it."""
        contents = [thing.content]
        below: list[Use] = []
        if thing.commit is not None:
            source = CommitSource(self.ws.objects, thing.commit)
            folder = thing.name
            while "/" in folder:
                folder = folder.rpartition("/")[0]
                entry = source.lookup(folder)
                if entry is not None:
                    contents.append(entry.oid)
            here = source.lookup(thing.name)
            if here is not None and here.is_tree:
                uses = self.ws.index.uses_below(thing.name)
                below = [use for use in uses if (at := source.lookup(use.path)) is not None and at.oid == use.content]
        users = self.users(contents, thing.name)
        known = {user.id for user in users}
        return users + [user for user in self.steps_of(below) if user.id not in known]

    def products(self, thing: Thing) -> list[Thing]:
        result = self.ws.index.result(Digest(thing.content))
        if result is None:
            return []
        return [
            Thing(
                f"artifact:{ref.digest}", "artifact", f"{thing.name}.{ref.name}", ref.digest, thing.run, thing.pipeline
            )
            for ref in result.outputs
        ]

    def performed_at(self, commit: str) -> list[Thing]:
        found: dict[str, Thing] = {}
        for row in self.ws.index.runs(commit=commit, limit=None):
            for step in read_run(self.ws, row.id).steps:
                if step.key is not None and step.outcome in ("executed", "reused"):
                    origin = step.origin or row.id
                    found.setdefault(step.key, self.step_thing(step.key, step.name, origin, row.pipeline))
        return list(found.values())

    def step_thing(self, key: str, step: str, run: str, pipeline: str | None) -> Thing:
        row = self.ws.index.run_row(run)
        return Thing(f"step:{key}", "step", step, key, run, pipeline, row.commit if row is not None else None)


def action_of(ws: Workspace, thing: Thing) -> Action | None:
    """The Action behind a step or an artifact, None when no record has it."""
    if thing.kind == "step":
        return ws.index.action(Digest(thing.content))
    if thing.kind == "artifact":
        makers = ws.index.makers(Digest(thing.content))
        return ws.index.action(makers[0].key) if makers else None
    return None


def _artifact(digest: Digest, step: StepRun, run: Run) -> Thing:
    port = next((output.name for output in step.outputs if output.digest == digest), "")
    return Thing(
        f"artifact:{digest}", "artifact", f"{step.name}.{port}", digest, step.origin or run.id, run.pipeline, run.commit
    )


def _made_artifact(ws: Workspace, digest: Digest) -> Thing:
    makers = ws.index.makers(digest)
    if not makers:
        return Thing(f"artifact:{digest}", "artifact", digest[:19], digest)
    newest = makers[0]
    row = ws.index.run_row(newest.run)
    name = f"{newest.step}.{newest.port}"
    commit = row.commit if row is not None else None
    return Thing(f"artifact:{digest}", "artifact", name, digest, newest.run, newest.pipeline, commit)


def _digests(ws: Workspace, text: str) -> list[Digest]:
    digits = text.removeprefix("sha256:")
    if not 8 <= len(digits) <= 64 or not _HEX.issuperset(digits):
        return []
    if len(digits) == 64:
        digest = from_hex(digits)
        return [digest] if ws.index.makers(digest) else []
    return ws.index.find_made(PREFIX + digits)


def _file(ws: Workspace, text: str, rev: str) -> Thing | None:
    """The file at this path of the commit: as written from the root, or from the current folder."""
    try:
        commit = resolve_commit(ws.objects, ws.location, rev)
    except InputError:
        return None
    source = CommitSource(ws.objects, commit)
    for path in _paths(ws, text):
        entry = source.lookup(path)
        if entry is not None:
            return _file_thing(path, entry.oid, commit)
    return None


def _paths(ws: Workspace, text: str) -> list[str]:
    found = [os.path.normpath(text)]
    root = ws.location.worktree
    if root is not None:
        found.insert(0, os.path.relpath(os.path.realpath(os.path.abspath(text)), os.path.realpath(root)))
    return [path for path in found if path != "." and not path.startswith(("/", ".."))]


def _file_thing(path: str, oid: str, commit: str | None) -> Thing:
    return Thing(f"file:{path}@{oid}", "file", path, oid, commit=commit)


def _commit(ws: Workspace, commit: str) -> Thing:
    return Thing(f"commit:{commit}", "commit", commit_info(ws.objects, commit).subject, commit, commit=commit)


def _covers(used: str, path: str) -> bool:
    """Whether a step that names `used` had the file `path`: the same, or a directory above it."""
    return used == path or path.startswith(used + "/") or used.endswith("/" + path)

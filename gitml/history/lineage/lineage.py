"""Where things come from and what was made of them, derived from what was recorded: nothing of this is stored.

The answer is a graph of Things. ``up`` has edges to what a Thing was made from, ``down`` to what was made of it. Loops of
Python's own stack are avoided: a chain of steps may be long.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import NamedTuple

from gitml.core.language.expand import IN
from gitml.core.model.action import Action
from gitml.core.model.digest import Digest
from gitml.core.records.record import Run
from gitml.core.secrets.seals import seals_shown
from gitml.git.objects.source import CommitSource, TreeSource
from gitml.history.lineage.nodes import (
    Thing,
    artifact_of,
    commit_thing,
    file_thing,
    made_artifact,
    module_name,
    module_thing,
)
from gitml.history.runs import read_run
from gitml.modules.registry_places import MODULE_FILE
from gitml.store.index.lineage import Use
from gitml.workspace import Workspace


class Lineage(NamedTuple):
    """`roots` are the ids of what was asked for; `edges` lead from an id to those it was made from, or that were made of it."""

    roots: tuple[str, ...]
    things: dict[str, Thing]
    edges: dict[str, list[str]]


def up(ws: Workspace, things: Iterable[Thing]) -> Lineage:
    """Everything that `things` were made from, down to files of commits and parameters."""
    return _Walk(ws).up(list(things))


def down(ws: Workspace, things: Iterable[Thing]) -> Lineage:
    """Everything that was made of `things`, in all recorded runs."""
    return _Walk(ws).down(list(things))


def made_from(ws: Workspace, thing: Thing) -> list[Thing]:
    """What `thing` was made from, one step upstream."""
    return _Walk(ws).above(thing)


def made_of(ws: Workspace, thing: Thing) -> list[Thing]:
    """What was made of `thing`, one step downstream, in all recorded runs."""
    return _Walk(ws).below(thing)


class _Walk:
    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self.things: dict[str, Thing] = {}
        self.edges: dict[str, dict[str, None]] = {}
        self.runs: dict[str, Run | None] = {}
        self.commits: dict[str, Thing] = {}

    def add(self, parent: str | None, thing: Thing) -> bool:
        """Adds a Thing and the edge to it; whether it is new."""
        if parent is not None:
            self.edges.setdefault(parent, {})[thing.id] = None
        if thing.id in self.things:
            return False
        self.things[thing.id] = thing
        return True

    def lineage(self, roots: list[Thing]) -> Lineage:
        edges = {parent: list(children) for parent, children in self.edges.items()}
        return Lineage(tuple(dict.fromkeys(root.id for root in roots)), self.things, edges)

    # -- up

    def up(self, roots: list[Thing]) -> Lineage:
        todo = [root for root in roots if self.add(None, root)]
        while todo:
            thing = todo.pop()
            todo += [parent for parent in self.above(thing) if self.add(thing.id, parent)]
        return self.lineage(roots)

    def above(self, thing: Thing) -> list[Thing]:
        """What it was made from."""
        if thing.kind == "artifact":
            return self.maker(thing)
        if thing.kind == "step":
            return self.ingredients(thing)
        if thing.kind == "file" and thing.commit:
            if thing.commit not in self.commits:
                self.commits[thing.commit] = commit_thing(self.ws, thing.commit)
            return [self.commits[thing.commit]]
        return []

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
                found.append(file_thing(item.mount, item.content.rsplit(":", 1)[1], thing.commit))
            else:
                found.append(self.input_artifact(Digest(item.content), run))
        if action.module is not None:
            found.append(module_thing(action.module, module_name(action.module, run)))
        else:
            found += [file_thing(code.path, code.oid, thing.commit) for code in action.code]
        found += [
            Thing(f"param:{name}={value!r}", "param", name, seals_shown(str(value))) for name, value in action.params
        ]
        return found

    def input_artifact(self, digest: Digest, run: Run | None) -> Thing:
        """The artifact as the same run has it, which may have reused it from another."""
        for step in run.steps if run is not None else ():
            if any(output.digest == digest for output in step.outputs):
                assert run is not None
                return artifact_of(digest, step, run)
        return made_artifact(self.ws, digest)

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
            todo += [child for child in self.below(thing) if self.add(thing.id, child)]
        return self.lineage(roots)

    def below(self, thing: Thing) -> list[Thing]:
        """What was made of it."""
        if thing.kind == "artifact":
            return self.users([thing.content])
        if thing.kind == "step":
            return self.products(thing)
        if thing.kind == "file":
            return self.file_users(thing)
        if thing.kind == "module":
            return self.module_users(thing)
        if thing.kind == "commit":
            return self.performed_at(thing.content)
        return []

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

    def module_users(self, thing: Thing) -> list[Thing]:
        """Steps that used just this content of a module. Its description is among the code of each, which the index knows."""
        entry = TreeSource(self.ws.objects, thing.content).lookup(MODULE_FILE)
        if entry is None:
            return []
        uses = [use for use in self.ws.index.users(entry.oid) if use.path == MODULE_FILE]
        named = f"git:{thing.content}"
        keys = {key for key in {use.key for use in uses} if (a := self.ws.index.action(key)) and a.module == named}
        return self.steps_of(use for use in uses if use.key in keys)

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


def _covers(used: str, path: str) -> bool:
    """Whether a step that names `used` had the file `path`: the same, a directory above it, or a copy that a module got."""
    if used == path or path.startswith(used + "/"):
        return True
    given = used.startswith(f"{IN}/")
    return used.endswith("/" + path) or (given and posixpath.basename(used) == posixpath.basename(path))

"""What artifacts were made from and what was made of them, derived from the records: nothing of this is stored.

The answer is a graph of nodes. ``upstream`` has edges to what a node was made from, ``downstream`` to what was made of it.
Recursion is avoided: a chain of steps may be longer than Python's stack.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import NamedTuple

from gitml.core.model.action import CONFIG, Action
from gitml.core.model.digest import Digest
from gitml.core.model.graph import IN
from gitml.core.planner.notebook_cells import CANONICAL_ID, ENDING
from gitml.core.records.record import Run
from gitml.core.secrets.seals import seals_shown
from gitml.git.objects.source import CommitSource, TreeSource
from gitml.git.revisions import CommitInfo, commit_info
from gitml.history.files import contents
from gitml.history.lineage.nodes import (
    LineageNode,
    artifact_node,
    commit_node,
    file_node,
    module_name,
    module_node,
    newest_artifact,
)
from gitml.history.runs import read_run
from gitml.modules.registry_places import MODULE_FILE
from gitml.store.index.artifacts import ContentUse, makers_of, users_of, uses_below
from gitml.store.index.runs import RunRow, newest_runs, run_row
from gitml.workspace import Workspace


class Lineage(NamedTuple):
    """`roots` are the ids of what was asked for; `edges` lead from an id to those it was made from, or that were made of it."""

    roots: tuple[str, ...]
    nodes: dict[str, LineageNode]
    edges: dict[str, list[str]]


def upstream(ws: Workspace, nodes: Iterable[LineageNode]) -> Lineage:
    """Everything that `nodes` were made from, down to files of commits and parameters."""
    return _all_from(nodes, _Steps(ws).above)


def downstream(ws: Workspace, nodes: Iterable[LineageNode]) -> Lineage:
    """Everything that was made of `nodes`, in all recorded runs."""
    return _all_from(nodes, _Steps(ws).below)


def parents_of(ws: Workspace, node: LineageNode) -> list[LineageNode]:
    """What `node` was made from, one step upstream."""
    return _Steps(ws).above(node)


def children_of(ws: Workspace, node: LineageNode) -> list[LineageNode]:
    """What was made of `node`, one step downstream, in all recorded runs."""
    return _Steps(ws).below(node)


def _all_from(nodes: Iterable[LineageNode], follow: Callable[[LineageNode], list[LineageNode]]) -> Lineage:
    """The nodes that `follow` leads to from some, and from these, and so on."""
    roots: dict[str, LineageNode] = {}
    for node in nodes:
        roots.setdefault(node.id, node)
    found = dict(roots)
    edges: dict[str, list[str]] = {}
    todo = list(roots.values())
    while todo:
        node = todo.pop()
        for other in follow(node):
            edges.setdefault(node.id, []).append(other.id)
            if other.id not in found:
                found[other.id] = other
                todo.append(other)
    return Lineage(tuple(roots), found, {id: list(dict.fromkeys(others)) for id, others in edges.items()})


class _Steps:
    """One step along the edges of lineage, upstream or downstream. Runs and commits that were read are kept."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self.commit = cache(partial(commit_node, ws))
        self.run = cache(self._run)

    # -- up

    def above(self, node: LineageNode) -> list[LineageNode]:
        """What it was made from."""
        if node.kind == "artifact":
            return self.maker(node)
        if node.kind == "step":
            return self.ingredients(node)
        if node.kind == "file" and node.commit:
            return [self.commit(node.commit)]
        return []

    def maker(self, node: LineageNode) -> list[LineageNode]:
        """The step that made an artifact: in its run where that is known, else the newest that did."""
        makers = makers_of(self.ws.index, Digest(node.content))
        chosen = [maker for maker in makers if maker.run == node.run] or makers[:1]
        return [self.step_node(maker.key, maker.step, maker.run, maker.pipeline) for maker in chosen[:1]]

    def ingredients(self, node: LineageNode) -> list[LineageNode]:
        action = self.ws.index.action(Digest(node.content))
        if action is None:
            return []
        run = self.run(node.run)
        divided = self.directories(node, run)
        found: list[LineageNode] = []
        for item in action.inputs:
            if item.kind == CONFIG:
                continue  # what the step reads of it are its parameters
            if item.content.startswith("git:"):
                found.append(file_node(item.mount, item.content.rsplit(":", 1)[1], node.commit))
            else:
                found.append(self.input_artifact(Digest(divided.get(item.content, item.content)), run))
        if action.module is not None:
            found.append(module_node(action.module, module_name(action.module, run)))
        else:
            found += [file_node(code.path, code.oid, node.commit) for code in action.code]
        found += [
            LineageNode(f"param:{name}={value!r}", "param", name, seals_shown(str(value)))
            for name, value in action.params
        ]
        return found

    def directories(self, node: LineageNode, run: Run | None) -> Mapping[str, str]:
        """By the content of a step's inputs that are parts of directories, the directories."""
        return next((step.parts for step in run.steps if step.key == node.content), {}) if run is not None else {}

    def input_artifact(self, digest: Digest, run: Run | None) -> LineageNode:
        """The artifact as the same run has it, which may have reused it from another."""
        for step in run.steps if run is not None else ():
            if any(output.digest == digest for output in step.outputs):
                assert run is not None
                return artifact_node(digest, step, run)
        return newest_artifact(self.ws, digest)

    def _run(self, id: str | None) -> Run | None:
        return read_run(self.ws, id) if id is not None and run_row(self.ws.index, id) is not None else None

    # -- down

    def below(self, node: LineageNode) -> list[LineageNode]:
        """What was made of it."""
        if node.kind == "artifact":
            return self.users([node.content])
        if node.kind == "step":
            return self.products(node)
        if node.kind == "file":
            return self.file_users(node)
        if node.kind == "module":
            return self.module_users(node)
        if node.kind == "commit":
            return self.performed_at(node.content)
        return []

    def users(self, contents: Iterable[str], path: str | None = None) -> list[LineageNode]:
        """Steps whose Action names one of the contents."""
        uses = [use for content in contents for use in users_of(self.ws.index, content)]
        return self.steps_of(use for use in uses if path is None or _covers(use.path, path))

    def steps_of(self, uses: Iterable[ContentUse]) -> list[LineageNode]:
        """The steps of the uses; an Action performed several times comes once, the newest."""
        found: dict[str, LineageNode] = {}
        for use in uses:
            if use.step is not None and use.run is not None and use.key not in found:
                found[use.key] = self.step_node(use.key, use.step, use.run, use.pipeline)
        return list(found.values())

    def file_users(self, node: LineageNode) -> list[LineageNode]:
        """Steps that had the file, by itself or in a directory; of a directory also those that had something below it."""
        contents = [node.content]
        canonical = self.ws.index.fact(CANONICAL_ID, node.content) if node.name.endswith(ENDING) else None
        if canonical is not None:  # what steps have that execute the notebook
            contents.append(str(canonical))
        below: list[ContentUse] = []
        if node.commit is not None:
            source = CommitSource(self.ws.objects, node.commit)
            folder = node.name
            while "/" in folder:
                folder = folder.rpartition("/")[0]
                entry = source.lookup(folder)
                if entry is not None:
                    contents.append(entry.oid)
            here = source.lookup(node.name)
            if here is not None and here.is_tree:
                uses = uses_below(self.ws.index, node.name)
                below = [use for use in uses if (at := source.lookup(use.path)) is not None and at.oid == use.content]
        users = self.users(contents, node.name)
        known = {user.id for user in users}
        return users + [user for user in self.steps_of(below) if user.id not in known]

    def module_users(self, node: LineageNode) -> list[LineageNode]:
        """Steps that used just this content of a module. Its description is among the code of each, which the index knows."""
        entry = TreeSource(self.ws.objects, node.content).lookup(MODULE_FILE)
        if entry is None:
            return []
        uses = [use for use in users_of(self.ws.index, entry.oid) if use.path == MODULE_FILE]
        named = f"git:{node.content}"
        keys = {key for key in {use.key for use in uses} if (a := self.ws.index.action(key)) and a.module == named}
        return self.steps_of(use for use in uses if use.key in keys)

    def products(self, node: LineageNode) -> list[LineageNode]:
        result = self.ws.index.result(Digest(node.content))
        if result is None:
            return []
        return [
            LineageNode(
                f"artifact:{ref.digest}", "artifact", f"{node.name}.{ref.name}", ref.digest, node.run, node.pipeline
            )
            for ref in result.outputs
        ]

    def performed_at(self, commit: str) -> list[LineageNode]:
        found: dict[str, LineageNode] = {}
        for row in newest_runs(self.ws.index, commit=commit, limit=None):
            for step in read_run(self.ws, row.id).steps:
                if step.key is not None and step.outcome in ("executed", "reused"):
                    origin = step.origin or row.id
                    found.setdefault(step.key, self.step_node(step.key, step.name, origin, row.pipeline))
        return list(found.values())

    def step_node(self, key: str, step: str, run: str, pipeline: str | None) -> LineageNode:
        row = run_row(self.ws.index, run)
        return LineageNode(f"step:{key}", "step", step, key, run, pipeline, row.commit if row is not None else None)


def _covers(used: str, path: str) -> bool:
    """Whether a step that names `used` had the file `path`: the same, a directory above it, or a copy that a module got."""
    if used == path or path.startswith(used + "/"):
        return True
    given = used.startswith(f"{IN}/")
    return used.endswith("/" + path) or (given and posixpath.basename(used) == posixpath.basename(path))


class NodeDetails(NamedTuple):
    """None is what does not apply or is not known. `run` is where it was made; `action` what was performed for it; `size` in
    bytes; `here` whether its bytes are on this machine; `wall` how long its step took, in seconds.
    """

    action: Action | None = None
    run: RunRow | None = None
    commit: CommitInfo | None = None
    size: int | None = None
    here: bool | None = None
    wall: float | None = None


def node_details(ws: Workspace, node: LineageNode) -> NodeDetails:
    """What the index and Git know of a node."""
    run = run_row(ws.index, node.run) if node.run else None
    commit = commit_info(ws.objects, node.commit) if node.commit else None
    found = NodeDetails(run=run, commit=commit)
    if node.kind == "file":
        kind, length = ws.objects.files.kind_size(node.content)
        return found._replace(size=length if kind == "blob" else None)
    if node.kind not in ("artifact", "step"):
        return found
    content = Digest(node.content)
    keys = [content] if node.kind == "step" else [maker.key for maker in makers_of(ws.index, content)]
    for key in keys[:1]:
        found = found._replace(action=ws.index.action(key))
        result = ws.index.result(key)
        if result is not None and node.kind == "step":
            return found._replace(wall=result.cost.wall)
        for ref in result.outputs if result is not None else ():
            if ref.digest == content:
                return found._replace(size=ref.size, here=contents.is_here(ws, content, ref.size, tree=ref.is_tree))
    return found

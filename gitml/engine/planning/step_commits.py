"""What the repositories in sandboxes (`repository: true`) are of: the user's own commit, whether or not all is committed.

A snapshot of uncommitted work has an id only once all is planned, and another one when more untracked files are used. So
the repository is of the commit below it, and what the step has of the uncommitted work is a change to that, as in the work tree.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cached_property

from gitml.core.kinds.notebook_kind import PROGRAM
from gitml.core.model.action import CONFIG, ActionInput, CodeFile, StepCommit
from gitml.core.model.graph import GraphStep
from gitml.core.model.protocols import Entry
from gitml.core.planner.plan import AbsentInput, PartProblem, PendingInput, UnlistedInput
from gitml.engine.planning.load import Loaded
from gitml.engine.planning.notebooks import Notebooks
from gitml.errors import InputError
from gitml.git.command import git
from gitml.git.objects.source import CommitSource
from gitml.git.worktree.snapshot import WorkTree, commit_below
from gitml.workspace import Workspace

Inputs = Iterable[ActionInput | PendingInput | AbsentInput | UnlistedInput | PartProblem]


class StepCommits:
    """Those of the steps of one Loaded pipeline: all have one commit and its tags, each has changes of its own to it."""

    def __init__(self, ws: Workspace, loaded: Loaded) -> None:
        self._ws = ws
        self._source = loaded.source

    def of(self, step: GraphStep, code: Iterable[CodeFile], inputs: Inputs) -> StepCommit | PartProblem:
        """What the repository of a step is of that has this code and these inputs, as far as they are known."""
        commit = self.commit
        if commit is None:
            return PartProblem("repository: true needs a commit, and nothing is committed yet", "git commit")
        given = {file.path: Entry(file.mode, file.oid) for file in code}
        for binding, part in zip(step.inputs, inputs, strict=True):
            if isinstance(part, (PendingInput, UnlistedInput)):
                given[binding.mount] = Entry("", "")
            elif isinstance(part, ActionInput) and part.kind != CONFIG:
                given[part.mount] = _entry_in(part.content)
        if step.notebook and PROGRAM in given:
            self._leave_out_notebook(step, given)
        instead = [(path, self._at(path), entry) for path, entry in sorted(given.items())]
        changed = [CodeFile(path, had.mode, had.oid) for path, had, has in instead if had is not None and had != has]
        return StepCommit(commit, self.tags, tuple(changed))

    @cached_property
    def commit(self) -> str | None:
        """The user's own commit; None before the first."""
        if isinstance(self._source, WorkTree):
            return self._source.head
        return commit_below(self._ws.objects, self._source.commit)

    @cached_property
    def tags(self) -> tuple[tuple[str, str], ...]:
        """The tags that point at the commit itself, as (name, id), sorted by name."""
        asked = ("--format=%(objectname) %(refname:lstrip=2)", f"--points-at={self.commit}", "refs/tags")
        found = []
        for line in git(self._ws.location, "for-each-ref", *asked).splitlines():
            oid, _, name = line.partition(b" ")
            if self._points_here(oid.decode("ascii")):
                found.append((name, oid.decode("ascii")))
        return tuple([(os.fsdecode(name), oid) for name, oid in sorted(found)])

    def _points_here(self, tag: str) -> bool:
        """Whether a tag points at the commit, not at a tag that does: which of those are listed depends on the version of git."""
        commit = self.commit or ""
        return tag == commit or self._ws.objects.read(tag).startswith(f"object {commit}\ntype commit\n".encode("ascii"))

    @cached_property
    def _files(self) -> CommitSource:
        assert self.commit is not None
        return CommitSource(self._ws.objects, self.commit)

    def _at(self, path: str) -> Entry | None:
        """The file or folder of the commit at a path; None for what a commit only names, as it does submodules."""
        try:
            entry = self._files.lookup("" if path == "." else path)
        except InputError:
            return None
        return None if entry is None or entry.is_submodule else entry

    def _leave_out_notebook(self, step: GraphStep, given: dict[str, Entry]) -> None:
        """A step has a canonical form of its notebook, which is no change to the commit where it is that of the commit's."""
        notebooks = Notebooks(self._ws.location, self._ws.objects, self._files, self._ws.index)
        try:
            committed = notebooks.code(step, ())
        except InputError:
            return
        for file in committed:
            if file.path != PROGRAM and given.get(file.path) == Entry(file.mode, file.oid):
                del given[file.path]


def _entry_in(content: str) -> Entry:
    """What a content of the commit is in a tree; of what other steps made, what no tree has."""
    _, mode, oid = content.split(":", 2) if content.startswith("git:") else ("", "", "")
    return Entry(mode, oid)

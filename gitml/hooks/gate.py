"""The gate of a project: commits that are pushed must have run. Asked of Git objects and records alone; no data is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gitml.core.language.diagnostics import SpecError
from gitml.core.language.params import ParamError, text_of
from gitml.core.secrets.seals import is_seal
from gitml.engine.planning.load import every_pipeline, load, read_config
from gitml.errors import GitmlError
from gitml.git.objects.source import CommitSource
from gitml.hooks.proof import proof_of
from gitml.hooks.pushed_refs import Update, new_commits, tip_of
from gitml.workspace import Workspace

_TRIED = 10  # the newest runs whose parameters are tried for a pipeline that can't do without being given some


class Unproven(NamedTuple):
    """A pipeline of a commit that is pushed and has not run: its first step without a result, None when none can be named."""

    commit: str
    ref: str
    pipeline: str
    step: str | None
    reason: str

    @property
    def command(self) -> str:
        """What to run."""
        return f"gitml run {self.pipeline} --at {self.commit[:12]}"


def unproven(ws: Workspace, updates: Sequence[Update], remote: str) -> Iterator[Unproven]:
    """What the gate of the project, as each pushed branch's newest commit has it, does not let pass."""
    asked: set[str] = set()
    for update, tip, gate in _gated(ws, updates):
        for commit in new_commits(ws, [update], remote) if gate == "every" else [tip]:
            if commit not in asked:
                asked.add(commit)
                yield from _unproven(ws, commit, update.ref)


def is_gated(ws: Workspace, updates: Sequence[Update]) -> bool:
    """Whether the gate has anything to say about one of the branches."""
    return any(True for _ in _gated(ws, updates))


def _gated(ws: Workspace, updates: Sequence[Update]) -> Iterator[tuple[Update, str, str]]:
    """(branch, newest commit, which commits) of each branch that is gated."""
    for update in updates:
        tip = tip_of(ws, update)
        if tip is None or update.branch is None:
            continue
        try:
            hooks = read_config(ws, CommitSource(ws.objects, tip)).hooks
        except SpecError:
            continue  # it may be an old commit's, or a newer gitml's: then nothing says that there is a gate
        if hooks.gate is not None and hooks.gates(update.branch) and "pre-push" not in hooks.skip:
            yield update, tip, hooks.gate


def _unproven(ws: Workspace, commit: str, ref: str) -> Iterator[Unproven]:
    source = CommitSource(ws.objects, commit)
    for name in sorted(every_pipeline(source)):
        found = _of_pipeline(ws, source, name)
        if found is not None and not _has_run(ws, commit, name):
            yield Unproven(commit, ref, name, *found)


def _has_run(ws: Workspace, commit: str, pipeline: str) -> bool:
    """Whether a run of all of this pipeline at this very commit succeeded, on whatever machine."""
    from gitml.history.runs import read_run

    rows = ws.index.runs(pipeline=pipeline, status="succeeded", commit=commit, limit=_TRIED)
    return any(not read_run(ws, row.id).selected for row in rows)


def _of_pipeline(ws: Workspace, source: CommitSource, name: str) -> tuple[str | None, str] | None:
    """(step, why) of the first step without a result; None when every step has one."""
    try:
        loaded = load(ws, name, None, source=source)
        missing = proof_of(ws, loaded).missing
        if missing is not None and any(is_seal(value) for value in loaded.graph.params.values()):
            # those of this clone show what is known, without the values
            tried = [
                proof_of(ws, load(ws, name, None, given, source=source, sealed=seals)).missing
                for given, seals in _given_before(ws, name)
            ]
            return None if None in tried else next(iter(tried), missing)
        return missing
    except ParamError as error:
        for given, seals in _given_before(ws, name):
            try:
                if proof_of(ws, load(ws, name, None, given, source=source, sealed=seals)).missing is None:
                    return None
            except GitmlError:
                continue
        return None, error.message
    except GitmlError as error:
        return None, f"{error.where}: {error.message}" if error.where else error.message


def _given_before(ws: Workspace, pipeline: str) -> Iterator[tuple[list[tuple[str, str]], dict[str, str]]]:
    """The values that recorded runs were given, and the seals of secret ones."""
    from gitml.history.runs import read_run

    for row in ws.index.runs(pipeline=pipeline, status="succeeded", limit=_TRIED):
        params = read_run(ws, row.id).params
        given = [(name, text_of(value)) for name, value in params.items() if not is_seal(value)]
        yield given, {name: str(value) for name, value in params.items() if is_seal(value)}

"""The pre-push hook: commits that are pushed must have run (the gate), and which records and artifacts are pushed with them.

The gate is decided by Git objects and records alone; no data is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gitml.core.config.project import SENT_ON_PUSH
from gitml.core.language.diagnostics import SpecError
from gitml.core.language.params import ParamError, text_of
from gitml.core.model.result import ActionResult
from gitml.core.planner.plan import decide
from gitml.core.secrets.seals import is_seal
from gitml.engine.planning.action_builder import ActionBuilder
from gitml.engine.planning.load import Loaded, every_pipeline, load, read_config
from gitml.errors import GitmlError, InputError
from gitml.git.log.remote_refs import LOGS, default_remote, log_ref, tracking_ref
from gitml.git.log.remote_refs import tip_of as tip_of_ref
from gitml.git.objects.source import CommitSource
from gitml.hooks.pushed_refs import Update, new_commits, tip_of
from gitml.store.index.runs import newest_runs
from gitml.workspace import Workspace

_TRIED = 10  # the newest runs whose parameters are tried for a pipeline that can't do without being given some


class UnrunPipeline(NamedTuple):
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


def unrun_pipelines(ws: Workspace, updates: Sequence[Update], remote: str) -> Iterator[UnrunPipeline]:
    """What the gate of the project, as each pushed branch's newest commit has it, does not let pass."""
    asked: set[str] = set()
    for update, tip, gate in _gated(ws, updates):
        for commit in new_commits(ws, [update], remote) if gate == "every" else [tip]:
            if commit not in asked:
                asked.add(commit)
                yield from _unrun_at(ws, commit, update.ref)


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


def _unrun_at(ws: Workspace, commit: str, ref: str) -> Iterator[UnrunPipeline]:
    source = CommitSource(ws.objects, commit)
    for name in sorted(every_pipeline(source)):
        found = _of_pipeline(ws, source, name)
        if found is not None and not _has_run(ws, commit, name):
            yield UnrunPipeline(commit, ref, name, *found)


def _has_run(ws: Workspace, commit: str, pipeline: str) -> bool:
    """Whether a run of all of this pipeline at this very commit succeeded, on whatever machine."""
    from gitml.history.runs import read_run

    rows = newest_runs(ws.index, pipeline=pipeline, status="succeeded", commit=commit, limit=_TRIED)
    return any(not read_run(ws, row.id).selected for row in rows)


def _of_pipeline(ws: Workspace, source: CommitSource, name: str) -> tuple[str | None, str] | None:
    """(step, why) of the first step without a result; None when every step has one."""
    try:
        loaded = load(ws, name, None, source=source)
        missing = recorded_results(ws, loaded).missing
        if missing is not None and any(is_seal(value) for value in loaded.graph.params.values()):
            # those of this clone show what is known, without the values
            tried = [
                recorded_results(ws, load(ws, name, None, given, source=source, sealed=seals)).missing
                for given, seals in _given_before(ws, name)
            ]
            return None if None in tried else next(iter(tried), missing)
        return missing
    except ParamError as error:
        for given, seals in _given_before(ws, name):
            try:
                if recorded_results(ws, load(ws, name, None, given, source=source, sealed=seals)).missing is None:
                    return None
            except GitmlError:
                continue
        return None, error.message
    except GitmlError as error:
        return None, f"{error.where}: {error.message}" if error.where else error.message


def _given_before(ws: Workspace, pipeline: str) -> Iterator[tuple[list[tuple[str, str]], dict[str, str]]]:
    """The values that recorded runs were given, and the seals of secret ones."""
    from gitml.history.runs import read_run

    for row in newest_runs(ws.index, pipeline=pipeline, status="succeeded", limit=_TRIED):
        params = read_run(ws, row.id).params
        given = [(name, text_of(value)) for name, value in params.items() if not is_seal(value)]
        yield given, {name: str(value) for name, value in params.items() if is_seal(value)}


class RecordedResults(NamedTuple):
    """The recorded result of each step; `missing` is the first step that has none, with the reason, None when all have one."""

    results: Mapping[str, ActionResult]
    missing: tuple[str, str] | None


def recorded_results(ws: Workspace, loaded: Loaded) -> RecordedResults:
    """Looks each step's Action up, until one is not known or can't be. Needs Git objects and records, no data."""
    builder = ActionBuilder(ws, loaded)
    results: dict[str, ActionResult] = {}
    missing: tuple[str, str] | None = None
    with ws.index.snapshot():
        for name, step in loaded.graph.steps.items():
            decision = decide(step, builder.parts(step, results), ws.index, lambda _: True, loaded.graph.pipeline)
            result = decision.result
            if result is None and decision.key is not None:  # it always runs; that it did is what counts here
                result = ws.index.result(decision.key)
            if result is not None:
                results[name] = result
            elif missing is None:
                missing = (name, decision.reason)
    return RecordedResults(results, missing)


_MANY = 200


def kinds_to_push(ws: Workspace, updates: Sequence[Update], remote: str) -> frozenset[str]:
    """Of ``records`` and ``artifacts`` what the project sends with these commits; nothing where a remote is not the usual one.

    Where records were sent to, or fetched from, before is as good as the usual one. No other hears of this project's runs.
    """
    if not _is_usual(ws, remote) and not any(_sent(ws, remote).values()):
        return frozenset()
    wanted: set[str] = set()
    for tip in _tips(ws, updates):
        try:
            hooks = read_config(ws, CommitSource(ws.objects, tip)).hooks
        except GitmlError:
            wanted.update(SENT_ON_PUSH)  # whatever is wrong with gitml.yaml, every other command tells
        else:
            wanted.update(() if "pre-push" in hooks.skip else hooks.send)
    return frozenset(wanted)


def has_remote_store(ws: Workspace) -> bool:
    """Whether the project names a remote store that artifacts are sent to."""
    from gitml.transfer.remotes import Remotes

    return any(spec.push for spec in Remotes(ws).specs)


def has_all_records(ws: Workspace, remote: str) -> bool:
    """Whether the remote has every record that is here, as far as is known without asking it."""
    ours = {log: tip_of_ref(ws.location, log_ref(log)) for log in LOGS}
    theirs = _sent(ws, remote)
    return all(tip is None or tip == theirs[log] for log, tip in ours.items())


def runs_to_push(ws: Workspace, updates: Sequence[Update], remote: str) -> tuple[str, ...] | None:
    """The ids of runs of the pushed commits, and of those whose results the newest of each branch reuses.

    None when there are too many commits to ask for each: everything that was recorded goes along then.
    """
    commits = new_commits(ws, list(updates), remote)
    if len(commits) > _MANY:
        return None
    found: dict[str, None] = {}
    for commit in commits:
        found.update(dict.fromkeys(row.id for row in newest_runs(ws.index, commit=commit, limit=None)))
    for tip in _tips(ws, updates):
        source = CommitSource(ws.objects, tip)
        for name in every_pipeline(source):
            try:
                results = recorded_results(ws, load(ws, name, None, source=source)).results
            except GitmlError:
                continue  # what can't be planned has no results
            found.update(dict.fromkeys(result.run for result in results.values()))
    return tuple(found)


def _tips(ws: Workspace, updates: Sequence[Update]) -> list[str]:
    return list(dict.fromkeys(tip for update in updates if (tip := tip_of(ws, update))))


def _is_usual(ws: Workspace, remote: str) -> bool:
    try:
        return default_remote(ws.location) == remote
    except InputError:
        return False


def _sent(ws: Workspace, remote: str) -> dict[str, str | None]:
    """What the remote has of each log, as far as is known here."""
    return {log: tip_of_ref(ws.location, tracking_ref(remote, log)) for log in LOGS}

"""The pre-push hook: commits that are pushed must have run (the gate), and which records and artifacts are pushed with them.

The gate is decided by Git objects and records alone; no data is needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gitml import layout
from gitml.core.config.project import SENT_ON_PUSH
from gitml.core.language.diagnostics import SpecError
from gitml.core.language.params import ParamError
from gitml.core.model.graph import Graph
from gitml.core.model.result import NOT_MADE, ActionResult
from gitml.core.parameters.value_path import text_of_value
from gitml.core.planner.plan import decide
from gitml.core.secrets.seals import is_seal
from gitml.engine.execution.member_failures import MemberFailures
from gitml.engine.planning.action_builder import ActionBuilder
from gitml.engine.planning.dynamic_lists import DynamicLists
from gitml.engine.planning.load import Loaded, every_pipeline, load, read_config
from gitml.errors import GitmlError, InputError
from gitml.git.command import git
from gitml.git.log.remote_refs import LOGS, default_remote, log_ref, tracking_ref
from gitml.git.log.remote_refs import tip_of as tip_of_ref
from gitml.git.objects.source import CommitSource
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
    for update, tip, gate in gated_branches(ws, updates):
        for commit in new_commits(ws, [update], remote) if gate == "every" else [tip]:
            if commit not in asked:
                asked.add(commit)
                yield from _unrun_at(ws, commit, update.ref)


def gated_branches(ws: Workspace, updates: Sequence[Update]) -> Iterator[tuple[Update, str, str]]:
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
        given = [(name, text_of_value(value)) for name, value in params.items() if not is_seal(value)]
        yield given, {name: str(value) for name, value in params.items() if is_seal(value)}


class RecordedResults(NamedTuple):
    """The recorded result of each step; `missing` is the first step that has none, with the reason, None when all have one.

    A member of a matrix that is recorded to have failed needs none, where its step bears that.
    """

    results: Mapping[str, ActionResult]
    missing: tuple[str, str] | None


def recorded_results(ws: Workspace, loaded: Loaded) -> RecordedResults:
    """Looks each step's Action up, until one is not known or can't be. Needs Git objects and records, no data."""
    lists, graph = DynamicLists(ws, loaded), loaded.graph
    while True:
        found = _recorded(ws, loaded, graph)
        grown = lists.grown(graph, found.results)
        if grown is None:
            return found
        graph = grown


def _recorded(ws: Workspace, loaded: Loaded, graph: Graph) -> RecordedResults:
    """The same of a graph as far as it is known."""
    builder = ActionBuilder(ws, loaded)
    members = MemberFailures(graph.steps.values())
    results: dict[str, ActionResult] = {}
    given: dict[str, ActionResult] = {}
    lacking: dict[str, str] = {}
    with ws.index.snapshot():
        for name, step in graph.steps.items():
            if step.pending:
                lacking[name] = step.problem or step.pending
                continue
            if lacking:
                given.update({parent: NOT_MADE for parent in step.parents if members.is_borne(parent)})
            placed = builder.placed(step)
            parts = builder.parts(placed, given)
            decision = decide(placed, parts, ws.index, lambda _: True, graph.pipeline)
            result = decision.result
            if result is None and decision.key is not None:  # it always runs; that it did is what counts here
                result = ws.index.result(decision.key)
            if result is not None:
                results[name] = given[name] = result
                members.note(name, "reused")
                continue
            lacking[name] = decision.reason
            failure = ws.index.failure(graph.pipeline, name)
            if failure is not None and failure.key == decision.key:
                members.note(name, "failed")
            elif any(members.leaves_out(name, one) and not members.goes_on(name, one) for one in step.parents):
                members.note(name, "skipped", left_out=True)
    return RecordedResults(results, next(((n, why) for n, why in lacking.items() if not members.is_borne(n)), None))


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


BRANCHES = "refs/heads/"


class Update(NamedTuple):
    """One ref of a push: `new` is what it will be, `old` what the other side has. None: it is not, or will not be, there."""

    ref: str
    new: str | None
    old: str | None

    @property
    def branch(self) -> str | None:
        """The branch's name, None for another ref."""
        return self.ref.removeprefix(BRANCHES) if self.ref.startswith(BRANCHES) else None


def updates_to_send(told: bytes) -> list[Update]:
    """The updates that Git writes to the stdin of pre-push, without gitml's own refs and deletions. InputError for other text."""
    found = [Update(words[2], _oid(words[1]), _oid(words[3])) for words in _words(told, "pre-push", 4)]
    return [update for update in found if update.new is not None and not update.ref.startswith(f"{layout.REFS}/")]


def updates_received(told: bytes) -> list[Update]:
    """The updates of branches that Git writes to the stdin of post-receive, without those that were deleted."""
    found = [Update(words[2], _oid(words[1]), _oid(words[0])) for words in _words(told, "post-receive", 3)]
    return [update for update in found if update.new is not None and update.branch]


def _words(told: bytes, hook: str, number: int) -> Iterator[list[str]]:
    for line in os.fsdecode(told).splitlines():
        words = line.split(" ")
        if len(words) != number:
            raise InputError(f"not what Git writes to a {hook} hook: {line[:80]!r}")
        yield words


def updates_of_framework(ws: Workspace, environ: Mapping[str, str]) -> list[Update] | None:
    """The same from the variables of the pre-commit framework, which names one ref; None where it isn't there."""
    if "PRE_COMMIT_REMOTE_BRANCH" not in environ:
        return None
    ref = environ["PRE_COMMIT_REMOTE_BRANCH"]
    # Of a branch without any commit that the other side has it tells the name alone.
    new = environ.get("PRE_COMMIT_TO_REF") or ws.objects.resolve(environ.get("PRE_COMMIT_LOCAL_BRANCH") or "HEAD")
    if new is None or ref.startswith(f"{layout.REFS}/"):
        return []
    return [Update(ref, new, _oid(environ.get("PRE_COMMIT_FROM_REF", "0")))]


def tip_of(ws: Workspace, update: Update) -> str | None:
    """The commit that the ref will name, None when it is no commit: a tag may name anything."""
    header = ws.objects.header(f"{update.new}^{{commit}}")
    return header and header.oid


def new_commits(ws: Workspace, updates: list[Update], remote: str) -> list[str]:
    """The commits that the other side does not have as far as is known here, oldest first."""
    tips = _tips(ws, updates)
    if not tips:
        return []
    known = [f"^{update.old}" for update in updates if update.old and ws.objects.header(update.old)]
    given = "\n".join([*tips, *known, ""]).encode()
    tracked = [f"--remotes={remote}"] if remote.replace("-", "").replace("_", "").replace(".", "").isalnum() else []
    excluded = ["--not", *tracked, "--not"] if tracked else []
    listed = git(ws.location, "rev-list", "--reverse", "--topo-order", *excluded, "--stdin", input=given)
    return listed.decode("ascii").split()


def _oid(text: str) -> str | None:
    return text if text.strip("0") else None

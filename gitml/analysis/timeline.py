"""Commits and steps as a grid: what became of each step at each commit of a history, and what would, from Git objects alone.

A row is worked out when it is asked for. Commits at which planning would see the same are planned once
(`analysis.timeline`); what is remembered is bounded, and forgotten when the records or the registry move on.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from gitml.core.model.protocols import Entry
from gitml.core.planner.plan import BLOCKED, REUSE
from gitml.core.records.record import StepRun
from gitml.core.text.format import is_ordinary
from gitml.engine.planning.load import UnknownPipelineError, list_pipelines, load
from gitml.engine.planning.planner import make_plan
from gitml.errors import GitmlError
from gitml.git.objects.reader import Objects
from gitml.git.objects.source import CommitSource
from gitml.git.revisions import CommitInfo, commit_info, history_of, names_of_commits, resolve_commit
from gitml.history.runs import live_runs, read_run
from gitml.layout import REGISTRY_REF
from gitml.records.layout import TIP
from gitml.store.index.runs import RunRow, metric_by_commit, newest_runs
from gitml.workspace import Workspace

CACHED, WOULD_RUN, FAILED, NEVER, CANT_RUN, RUNNING = "cached", "would run", "failed", "never", "can't run", "running"
"""What a cell says. ``would run``: it did at this commit, but no longer counts; ``never``: it has not run at this commit."""

_CELLS = 60_000  # remembered at most, in plans and again in rows
_QUESTIONS = 64  # lists of questions: there is a new one where code changes what it imports
_RUNS_AT_A_COMMIT = 8  # looked through for what became of a step


Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class TimelineCell(NamedTuple):
    """A step at a commit. `run` is the one that made the result, or the last in which the step had its turn at this commit."""

    state: str
    reason: str
    run: str | None = None


_NOTHING = TimelineCell(NEVER, "")


class TimelineRow(NamedTuple):
    """A commit. `problem` says why its pipeline can't be planned, and then there are no cells but what was recorded.

    `names` are its branches and tags; `runs` those of this pipeline at it, newest first; `metrics` of its known results.
    """

    commit: str
    info: CommitInfo
    names: tuple[str, ...]
    cells: Mapping[str, TimelineCell]
    runs: tuple[RunRow, ...]
    metrics: Mapping[str, float]
    problem: str | None = None
    hint: str | None = None


class _Planned(NamedTuple):
    """A plan without all that a row doesn't show."""

    cells: Mapping[str, TimelineCell]
    metrics: Mapping[str, float]
    problem: str | None = None
    hint: str | None = None


class _Bounded(Generic[Key, Value]):
    """A memory that drops what was asked for the longest time ago when it grows beyond `_CELLS`."""

    def __init__(self, size: Callable[[Value], int]) -> None:
        self._size = size
        self._held: OrderedDict[Key, Value] = OrderedDict()
        self._total = 0

    def get(self, key: Key) -> Value | None:
        found = self._held.get(key)
        if found is not None:
            self._held.move_to_end(key)
        return found

    def put(self, key: Key, value: Value) -> None:
        self._held[key] = value
        self._total += self._size(value)
        while self._total > _CELLS and len(self._held) > 1:
            self._total -= self._size(self._held.popitem(last=False)[1])

    def drop(self, where: Callable[[Key], bool]) -> None:
        for key in [key for key in self._held if where(key)]:
            self._total -= self._size(self._held.pop(key))

    def values(self) -> list[Value]:
        return list(self._held.values())

    def clear(self) -> None:
        self._held.clear()
        self._total = 0


class Timeline:
    """The history of a revision for one pipeline. `commits` are newest first. It holds no Workspace and may be asked from any
    thread, with that thread's own; of several that ask at once one is answered after the other.
    """

    def __init__(self, pipeline: str, commits: Sequence[str]) -> None:
        self.pipeline = pipeline
        self.commits = commits
        self.planned = 0  # plans made, for whoever wants to know what memory saves
        self._lock = threading.RLock()
        self._questions: OrderedDict[frozenset[tuple[str, str]], Questions] = OrderedDict()
        self._plans = _Bounded[tuple[int, Answer], _Planned](lambda planned: len(planned.cells) + 1)
        self._rows = _Bounded[str, TimelineRow](lambda row: len(row.cells) + 1)
        self._names: Mapping[str, Sequence[str]] = {}
        self._state: tuple[object, ...] = ()

    def rows(self, ws: Workspace, first: int, count: int) -> list[TimelineRow]:
        """The rows of `count` commits from the `first` on."""
        with self._lock:
            self._keep_up(ws)
            return [self._row(ws, commit) for commit in self.commits[first : first + count]]

    def series(self, ws: Workspace, metric: str) -> list[tuple[int, float]]:
        """(place in `commits`, value) from the oldest on: of runs of each commit, and of results that rows found known.

        NaN and infinities are left out.
        """
        values = metric_by_commit(ws.index, self.pipeline, metric)
        with self._lock:
            values |= {row.commit: row.metrics[metric] for row in self._rows.values() if metric in row.metrics}
        places = {commit: place for place, commit in enumerate(self.commits)}
        return sorted(((places[c], v) for c, v in values.items() if c in places and is_ordinary(v)), reverse=True)

    def forget(self) -> None:
        """Has everything computed again: what the store holds may have changed."""
        with self._lock:
            self._state = ()

    def _keep_up(self, ws: Workspace) -> None:
        """Forgets all when what plans depend on beyond the commit has changed, as far as a cheap check shows."""
        going = tuple(live.run.id for live in live_runs(ws))
        state = (ws.index.meta(TIP), ws.objects.resolve(REGISTRY_REF), going)
        if state != self._state:
            self._plans.clear()
            self._rows.clear()
            self._names = names_of_commits(ws.location)
            self._state = state

    def _row(self, ws: Workspace, commit: str) -> TimelineRow:
        known = self._rows.get(commit)
        if known is not None:
            return known
        planned = self._planned(ws, commit)
        runs = tuple(newest_runs(ws.index, commit=commit, pipeline=self.pipeline, limit=_RUNS_AT_A_COMMIT))
        cells = planned.cells
        if any(cell.state != CACHED for cell in cells.values()) or planned.problem:
            cells = self._with_records(ws, commit, planned, runs)
        metrics = planned.metrics or next((row.metrics for row in runs if row.status == "succeeded"), {})
        names = tuple(self._names.get(commit, ()))
        info = commit_info(ws.objects, commit)
        row = TimelineRow(commit, info, names, cells, runs, metrics, planned.problem, planned.hint)
        self._rows.put(commit, row)
        return row

    def _with_records(
        self, ws: Workspace, commit: str, planned: _Planned, runs: Sequence[RunRow]
    ) -> Mapping[str, TimelineCell]:
        """The cells, with what runs of this commit recorded of steps that aren't cached."""
        last: dict[str, tuple[StepRun, str]] = {}
        for row in runs:
            try:
                run = read_run(ws, row.id)
            except GitmlError:
                continue  # `fsck` names a record that can't be read; the grid shows the rest
            for step in run.steps:
                if step.outcome in ("executed", "reused", "failed"):
                    last.setdefault(step.name, (step, run.id))
        running = self._running(ws, commit, planned)
        if not last and not running:
            return planned.cells
        return {
            name: _with_record(planned.cells.get(name, _NOTHING), last.get(name), running.get(name))
            for name in planned.cells or last
        }

    def _running(self, ws: Workspace, commit: str, planned: _Planned) -> dict[str, str]:
        """The steps that runs in progress at this commit have still to end, with the run."""
        found: dict[str, str] = {}
        for live in live_runs(ws):
            if live.run.commit == commit and live.run.pipeline == self.pipeline and live.pid is not None:
                done = {step.name for step in live.run.steps}
                found |= {name: live.run.id for name in live.run.selected or planned.cells if name not in done}
        return found

    def _planned(self, ws: Workspace, commit: str) -> _Planned:
        source = TracedSource(ws.objects, commit)
        for asked, questions in reversed(self._questions.items()):
            known = self._plans.get((id(questions), questions.ask(ws.objects, source.tree)))
            if known is not None:
                self._questions.move_to_end(asked)
                return known
        self.planned += 1
        planned = _plan(ws, self.pipeline, source)
        asked = frozenset(source.asked.items())
        questions = self._questions.setdefault(asked, Questions(source.asked))
        self._questions.move_to_end(asked)
        self._plans.put((id(questions), questions.ask(ws.objects, source.tree)), planned)
        if len(self._questions) > _QUESTIONS:
            _, old = self._questions.popitem(last=False)
            self._plans.drop(lambda key: key[0] == id(old))
        return planned


def open_timeline(ws: Workspace, pipeline: str | None, rev: str = "HEAD", *, merged: bool = False) -> Timeline:
    """The history of `rev` for a pipeline, the default one at `rev` when None. Commits of branches that were merged into it
    are left out unless `merged`.
    """
    tip = resolve_commit(ws.objects, ws.location, rev)
    name = pipeline if pipeline is not None else load(ws, None, tip).graph.pipeline
    return Timeline(name, history_of(ws.location, tip, first_parent=not merged))


def meant_pipeline(ws: Workspace, rev: str = "HEAD") -> str:
    """The default pipeline at `rev`; where several could be meant the one that ran last, else the first. InputError when there is
    none.
    """
    try:
        return load(ws, None, rev).graph.pipeline
    except UnknownPipelineError:
        there = list_pipelines(ws, rev)
        if not there:
            raise
        last = next((row.pipeline for row in newest_runs(ws.index, limit=50) if row.pipeline in there), None)
        return last or there[0]


def _plan(ws: Workspace, pipeline: str, source: TracedSource) -> _Planned:
    try:
        decisions = make_plan(ws, load(ws, pipeline, None, source=source)).decisions
    except GitmlError as error:
        return _Planned({}, {}, error.message, error.hint)
    cells = {}
    metrics: dict[str, float] = {}
    for name, decision in decisions.items():
        if decision.kind == REUSE and decision.result is not None:
            cells[name] = TimelineCell(CACHED, decision.reason, decision.result.run)
            metrics |= {f"{name}.{metric}": value for metric, value in decision.result.metrics.items()}
        else:
            cells[name] = TimelineCell(CANT_RUN if decision.kind == BLOCKED else NEVER, decision.reason)
    return _Planned(cells, metrics)


def _with_record(cell: TimelineCell, recorded: tuple[StepRun, str] | None, running: str | None) -> TimelineCell:
    """A planned cell with what was recorded of the step at its commit."""
    if cell.state == CACHED:
        return cell
    if running is not None:
        return TimelineCell(RUNNING, "it runs now, or waits for its turn", running)
    if recorded is None:
        return cell
    step, run = recorded
    if step.outcome == "failed":
        return TimelineCell(FAILED, step.error or step.reason, run)
    return TimelineCell(cell.state if cell.state == CANT_RUN else WOULD_RUN, cell.reason, run)


def steps_of(rows: Sequence[TimelineRow], known: Sequence[str] = ()) -> list[str]:
    """The steps of rows as columns: those that are `known`, then what each row has beyond, where it stands among its others."""
    found = list(known)
    there = set(found)
    for row in rows:
        if there.issuperset(row.cells):
            continue
        place = 0
        for name in row.cells:
            if name in there:
                place = found.index(name) + 1
            else:
                found.insert(place, name)
                there.add(name)
                place += 1
    return found


CONTENT, NAMES = "content", "names"
"""What was asked of a path: what it is, or (of the root) only which names are in it."""

Answer = str | int


class TracedSource(CommitSource):
    """The files of a commit, with all that was `asked` of them: path -> CONTENT or NAMES."""

    def __init__(self, objects: Objects, commit: str) -> None:
        super().__init__(objects, commit)
        self.asked: dict[str, str] = {}

    def lookup(self, path: str) -> Entry | None:
        """What is at `path`."""
        self.asked[path] = CONTENT
        return super().lookup(path)

    def top(self) -> Collection[str]:
        """The names at the root. All of them count as asked: which words of a command were held against them differs."""
        self.asked.setdefault("", NAMES)
        return super().top()


class _Node:
    """A name that was asked for, and the names in it."""

    __slots__ = ("below", "how")

    def __init__(self) -> None:
        self.how: str | None = None
        self.below: dict[str, _Node] = {}


class Questions:
    """What was `asked` of one commit, to be asked of others."""

    def __init__(self, asked: Mapping[str, str]) -> None:
        self._root = _Node()
        self._numbers: dict[tuple[Answer, ...], int] = {}
        self._known: dict[tuple[int, str], Answer] = {}
        for path, how in asked.items():
            node = self._root
            for name in path.split("/") if path else ():
                node = node.below.setdefault(name, _Node())
            node.how = how

    def ask(self, objects: Objects, tree: str) -> Answer:
        """A value that two trees share exactly when every question has the same answer in both."""
        return self._ask(self._root, Entry("40000", tree), objects)

    def _ask(self, node: _Node, entry: Entry | None, objects: Objects) -> Answer:
        if entry is None:
            return "-"
        if node.how == CONTENT:
            return f"{entry.mode} {entry.oid}"
        if not entry.is_tree:
            return entry.mode  # nothing is below it
        place = (id(node), entry.oid)
        known = self._known.get(place)
        if known is None:
            found = objects.files.folder(entry.oid)
            answers = [self._ask(below, found.get(name), objects) for name, below in node.below.items()]
            if node.how == NAMES:
                answers += sorted(found)
            known = self._known[place] = self._numbers.setdefault(tuple(answers), len(self._numbers))
        return known

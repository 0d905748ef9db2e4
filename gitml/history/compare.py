"""Comparing runs: parameters, metrics, code, data, environment and steps, line by line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gitml.core.model.action import Action, Scalar
from gitml.core.model.environment import description_or_none
from gitml.core.records.record import Run, StepRun
from gitml.core.text.format import is_ordinary
from gitml.errors import InputError
from gitml.git.objects.source import CommitSource
from gitml.history.runs import get_run, read_run, run_or_rev
from gitml.store.index.runs import newest_runs
from gitml.workspace import Workspace


class ValueDifference(NamedTuple):
    """A named value on both sides, None where it was not there."""

    name: str
    before: Any
    after: Any

    @property
    def changed(self) -> bool:
        """Whether the sides differ: in type too, so that 1 is not 1.0."""
        return not same_value(self.before, self.after)

    @property
    def delta(self) -> float | None:
        """After minus before, None unless both are finite numbers."""
        return change_of(self.before, self.after)


def same_value(one: object, other: object) -> bool:
    """Whether two values are the same: in type too, and NaN is NaN."""
    return type(one) is type(other) and (one == other or (one != one and other != other))


def change_of(before: object, after: object) -> float | None:
    """The second less the first where both are finite numbers, else None."""
    if isinstance(before, bool) or isinstance(after, bool):
        return None
    if isinstance(before, (int, float)) and isinstance(after, (int, float)):
        return after - before if is_ordinary(before) and is_ordinary(after) else None
    return None


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[ValueDifference]:
    """Every name of both sides, in the order of the second, then what only the first has."""
    names = [*after, *(name for name in before if name not in after)]
    return [ValueDifference(name, before.get(name), after.get(name)) for name in names]


def run_pair(ws: Workspace, text: str | None, pipeline: str | None) -> tuple[Run, Run]:
    """The two runs that ``A..B`` names, each by run id or revision (then the newest run of that commit).

    One name alone is compared with the newest run of its pipeline; nothing at all means the two newest runs of one pipeline.
    """
    if not text:
        return _two_newest(ws, pipeline)
    before, dots, after = text.partition("..")
    if ".." in after or after.startswith("."):
        raise InputError(f"not a range: {text[:80]!r}", hint="write it as A..B")
    if dots:
        before, after = before or "HEAD", after or "HEAD"
    first = run_or_rev(ws, before, pipeline)
    if not dots:
        return first, _newest_of(ws, pipeline or first.pipeline)
    return first, run_or_rev(ws, after, pipeline or first.pipeline)


def _newest_of(ws: Workspace, pipeline: str) -> Run:
    rows = newest_runs(ws.index, pipeline=pipeline, limit=1)
    if not rows:
        raise InputError(f"no run of pipeline {pipeline!r}", hint=f"gitml run {pipeline}")
    return read_run(ws, rows[0].id)


def _two_newest(ws: Workspace, pipeline: str | None) -> tuple[Run, Run]:
    newest = newest_runs(ws.index, pipeline=pipeline, limit=1)
    rows = newest_runs(ws.index, pipeline=newest[0].pipeline, limit=2) if newest else []
    if len(rows) < 2:
        raise InputError("there are no two runs to compare", hint="name them: A..B")
    return read_run(ws, rows[1].id), read_run(ws, rows[0].id)


SECTIONS = ("run", "parameters", "metrics", "code", "data", "environment", "steps")


class UnknownValue(NamedTuple):
    """In place of a value that a run doesn't have because a step did not get so far; `why` in a word or two.

    It is no difference: had the step run, the value might be the same.
    """

    why: str


Value = Scalar | UnknownValue | None


class ComparisonLine(NamedTuple):
    """One thing in each run, None where it is not there. In the sections code and data values are Git ids or Digests.

    `steps` are those of the last run that it belongs to, where it belongs to some.
    """

    section: str
    name: str
    values: tuple[Value, ...]
    steps: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the runs that have a value, or are known to have none, differ in it, in type too."""
        known = [value for value in self.values if not isinstance(value, UnknownValue)]
        return not all(same_value(value, known[0]) for value in known[1:])

    @property
    def change(self) -> float | None:
        """Of two runs the second one's value less the first's, where both are finite numbers; of more runs None."""
        return change_of(*self.values) if len(self.values) == 2 else None


class RunComparison(NamedTuple):
    """The runs, in the order asked for, and every line of them in the order of SECTIONS; among the metrics are labels."""

    runs: tuple[Run, ...]
    lines: tuple[ComparisonLine, ...]


def compare_runs(ws: Workspace, ids: Sequence[str]) -> RunComparison:
    """Compares runs with these whole ids; InputError for one that there is not."""
    runs = tuple(get_run(ws, id).run for id in ids)
    known = [_Known(ws, run) for run in runs]
    tables: Mapping[str, list[Mapping[str, Scalar | None]]] = {
        "run": [_facts(run) for run in runs],
        "parameters": [dict(run.params) for run in runs],
        "metrics": [{**run.labels(), **run.metrics()} for run in runs],
        "code": [one.code() for one in known],
        "data": [one.data() for one in known],
        "environment": [one.environment() for one in known],
        "steps": [{step.name: step.outcome for step in run.steps} for run in runs],
    }
    lines = []
    for section in SECTIONS:
        names: dict[str, None] = {}
        for table in tables[section]:
            names.update(dict.fromkeys(table))
        for name in names:
            values: list[Value] = [
                table[name] if name in table else one.instead(section, name)
                for table, one in zip(tables[section], known, strict=True)
            ]
            lines.append(ComparisonLine(section, name, tuple(values), known[-1].steps(section, name)))
    return RunComparison(runs, tuple(lines))


def _facts(run: Run) -> dict[str, Scalar | None]:
    return {
        "status": run.status,
        "pipeline": run.pipeline,
        "experiment": run.experiment,
        "commit": (run.base or run.commit)[:12] + ("*" if run.dirty else ""),
        "branch": run.branch,
        "seconds": round(run.seconds, 3),
        "asked for": ", ".join(run.selected) or None,
        "options": ", ".join(run.options) or None,
        "message": run.message or None,
        "by": run.by,
        "host": run.host,
        "gitml": run.version,
        **{f"module {use}": module.get("version") for use, module in run.modules.items()},
    }


class _Known:
    """The Actions of a run, and what its commit has beside them."""

    def __init__(self, ws: Workspace, run: Run) -> None:
        self.ws = ws
        self.run = run
        self.by_step: dict[str, Action] = {
            step.name: action
            for step in run.steps
            if step.key is not None and (action := ws.index.action(step.key)) is not None
        }
        self.actions = list(self.by_step.values())
        self.whole = not run.selected and all(step.name in self.by_step for step in run.steps)
        self._commit: CommitSource | None = None

    def instead(self, section: str, name: str) -> Value:
        """What stands for something that no Action of this run has: a file as its commit has it, or why it is unknown."""
        if section == "metrics":
            return self._no_metric(name)
        if self.whole:
            return None
        if section in ("code", "data"):
            if self._commit is None:
                self._commit = CommitSource(self.ws.objects, self.run.commit)
            entry = self._commit.lookup(name)
            return entry.oid if entry is not None else None
        return UnknownValue("not reached") if section == "environment" else None

    def _no_metric(self, name: str) -> Value:
        step = _step_of_metric(self.run.steps, name)
        if step is not None:
            return (
                None if step.outcome in ("executed", "reused") else UnknownValue(_WHY.get(step.outcome, step.outcome))
            )
        return UnknownValue("not asked for") if self.run.selected else None

    def steps(self, section: str, name: str) -> tuple[str, ...]:
        """The steps that a line is about."""
        if section == "steps":
            return (name,) if any(step.name == name for step in self.run.steps) else ()
        if section == "metrics":
            step = _step_of_metric(self.run.steps, name)
            return (step.name,) if step is not None else ()
        if section in _NAMES:
            return tuple(step for step, action in self.by_step.items() if name in _NAMES[section](action))
        return ()

    def code(self) -> dict[str, Scalar | None]:
        """Git ids of the code by path."""
        return {file.path: file.oid for action in self.actions for file in action.code}

    def data(self) -> dict[str, Scalar | None]:
        """What came from the commit, by path; not what steps made of it."""
        found: dict[str, Scalar | None] = {}
        for action in self.actions:
            for item in action.inputs:
                if item.content.startswith("git:"):
                    found[item.mount] = item.content.rpartition(":")[2]
        return found

    def environment(self) -> dict[str, Scalar | None]:
        """Every part of the environments; where the steps' differ, all values of it."""
        parts: dict[str, dict[str, None]] = {}
        for digest in dict.fromkeys(action.environment for action in self.actions):
            described = description_or_none(self.ws.index.environment(digest)) or {"environment": digest[7:19]}
            for name, value in described.items():
                if name == "distributions":
                    for item in value:
                        package, _, version = str(item).partition(" ")
                        parts.setdefault(package, {})[version] = None
                elif name == "contents" and isinstance(value, dict):
                    for package, content in value.items():
                        what = content["content"] if isinstance(content, dict) else content
                        parts.setdefault(f"files of {package.partition(' ')[0]}", {})[str(what)[7:19]] = None
                elif name == "programs" and isinstance(value, dict):
                    for program, content in value.items():
                        parts.setdefault(f"program {program}", {})[str(content)[7:19]] = None
                else:
                    parts.setdefault(name, {})[str(value)[:200]] = None
        return {name: ", ".join(values) for name, values in parts.items()}


_WHY = {"skipped": "not reached"}
_NAMES: dict[
    str, Callable[[Action], list[str]]
] = {  # what the lines of a section are called that an Action has a part in
    "parameters": lambda action: [name for name, _ in action.params],
    "code": lambda action: [file.path for file in action.code],
    "data": lambda action: [item.mount for item in action.inputs],
}


def _step_of_metric(steps: Sequence[StepRun], name: str) -> StepRun | None:
    """The step that a metric's full name begins with; of several the one with the longest name."""
    named = [step for step in steps if name.startswith(f"{step.name}.")]
    return max(named, key=lambda step: len(step.name), default=None)


def difference_of(ws: Workspace, before: str, after: str) -> tuple[str, str] | None:
    """The texts of two Git blobs; None when either is not text, or too large to be read by a person."""
    texts = []
    for oid in (before, after):
        kind, size = ws.objects.files.kind_size(oid)
        if kind != "blob" or size > 1 << 20:
            return None
        try:
            texts.append(ws.objects.files.read(oid).decode())
        except UnicodeDecodeError:
            return None
    return texts[0], texts[1]

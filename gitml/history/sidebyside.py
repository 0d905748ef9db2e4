"""Runs side by side: what they were given, by whom and on what they ran, and what came out, line by line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gitml.core.action import Action, Scalar
from gitml.core.record import Run
from gitml.history.metrics import change_of, same_value
from gitml.history.runs import get_run
from gitml.workspace import Workspace

SECTIONS = ("run", "parameters", "metrics", "code", "data", "environment", "steps")


class Line(NamedTuple):
    """One thing in each run, None where it is not there. In the sections code and data values are Git ids or Digests."""

    section: str
    name: str
    values: tuple[Scalar | None, ...]

    @property
    def changed(self) -> bool:
        """Whether the runs differ in it, in type too."""
        first = self.values[0]
        return not all(same_value(value, first) for value in self.values[1:])

    @property
    def change(self) -> float | None:
        """The last run's value less the first's, where both are finite numbers."""
        return change_of(self.values[0], self.values[-1])


class SideBySide(NamedTuple):
    """The runs, in the order asked for, and every line of them in the order of SECTIONS."""

    runs: tuple[Run, ...]
    lines: tuple[Line, ...]


def side_by_side(ws: Workspace, ids: Sequence[str]) -> SideBySide:
    """Compares runs with these whole ids; InputError for one that there is not."""
    runs = tuple(get_run(ws, id).run for id in ids)
    known = [_Known(ws, run) for run in runs]
    tables: Mapping[str, list[Mapping[str, Scalar | None]]] = {
        "run": [_facts(run) for run in runs],
        "parameters": [dict(run.params) for run in runs],
        "metrics": [dict(run.metrics()) for run in runs],
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
        lines += [Line(section, name, tuple(table.get(name) for table in tables[section])) for name in names]
    return SideBySide(runs, tuple(lines))


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
    """The Actions of a run."""

    def __init__(self, ws: Workspace, run: Run) -> None:
        self.ws = ws
        keys = [step.key for step in run.steps if step.key is not None]
        self.actions: list[Action] = [action for key in keys if (action := ws.index.action(key)) is not None]

    def code(self) -> dict[str, Scalar | None]:
        """Git ids of the code by path."""
        return {file.path: file.oid for action in self.actions for file in action.code}

    def data(self) -> dict[str, Scalar | None]:
        """What came from the commit or a dataset, by path; not what steps made of it."""
        made = {output.mount for action in self.actions for output in action.outputs}
        found: dict[str, Scalar | None] = {}
        for action in self.actions:
            for item in action.inputs:
                if item.content.startswith("git:"):
                    found[item.mount] = item.content.rpartition(":")[2]
                elif item.mount not in made and not item.mount.startswith(".gitml/in/"):
                    found[item.mount] = item.content
        return found

    def environment(self) -> dict[str, Scalar | None]:
        """Every part of the environments; where the steps' differ, all values of it."""
        parts: dict[str, dict[str, None]] = {}
        for digest in dict.fromkeys(action.environment for action in self.actions):
            kept = self.ws.index.environment(digest)
            described: Any = json.loads(kept) if kept is not None else {"environment": digest[7:19]}
            for name, value in described.items():
                if name == "distributions":
                    for item in value:
                        package, _, version = str(item).partition(" ")
                        parts.setdefault(package, {})[version] = None
                elif name == "programs" and isinstance(value, dict):
                    for program, content in value.items():
                        parts.setdefault(f"program {program}", {})[str(content)[7:19]] = None
                else:
                    parts.setdefault(name, {})[str(value)[:200]] = None
        return {name: ", ".join(values) for name, values in parts.items()}


def difference_of(ws: Workspace, before: str, after: str) -> tuple[str, str] | None:
    """The texts of two Git blobs; None when either is not text, or too large to be read by a person."""
    texts = []
    for oid in (before, after):
        kind, size = ws.objects.kind_size(oid)
        if kind != "blob" or size > 1 << 20:
            return None
        try:
            texts.append(ws.objects.read(oid).decode())
        except UnicodeDecodeError:
            return None
    return texts[0], texts[1]

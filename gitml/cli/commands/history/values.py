"""`gitml metrics` and `gitml params`: named values of runs, and how those of two runs differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from gitml.cli.errors import DONE, FAILED
from gitml.cli.options import bundle
from gitml.cli.session import DefaultGroup, Session, verb
from gitml.cli.text.format import columns, number
from gitml.cli.text.terminal import safe
from gitml.store.index.runs import newest_runs

if TYPE_CHECKING:
    from gitml.core.records.record import Run
    from gitml.workspace import Workspace

LABEL_SHOWN = 60
"""Characters of a label in a table."""

_pipeline_option = click.option(
    "-p", "--pipeline", metavar="NAME", help="The pipeline, where a revision was run with several."
)


class DifferenceOptions(NamedTuple):
    """What is compared, and what is printed of it."""

    sides: str | None
    pipeline: str | None
    everything: bool
    exit_code: bool


_difference_options = bundle(
    "compared",
    DifferenceOptions,
    click.argument("sides", metavar="[A..B]", required=False),
    _pipeline_option,
    click.option("--all", "everything", is_flag=True, help="Show what is the same, too."),
    click.option("--exit-code", is_flag=True, help="Exit with 1 when something differs."),
)


@click.group("metrics", cls=DefaultGroup, default="show")
def metrics() -> None:
    """Show the metrics of runs, and how they differ."""


@verb("show", of=metrics, json=True)
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@_pipeline_option
def show_metrics(session: Session, runs: tuple[str, ...], pipeline: str | None) -> None:
    """Show the metrics of runs, side by side. RUN is the beginning of a run's id or a Git revision (its newest run)."""
    from gitml.history.runs import run_or_rev

    ws = session.recovered_ws
    found = [run_or_rev(ws, text, pipeline) for text in runs or ("latest",)]
    if session.json:
        session.show_json([_values_as_json(run) for run in found])
        return
    names = list(dict.fromkeys(name for run in found for name in _values(run)))
    if not names and not runs:
        newest = _newest_with_metrics(ws, found[0].pipeline if pipeline is None else pipeline)
        if newest is None:
            session.note(f"no run of pipeline {safe(found[0].pipeline)} has metrics")
            return
        session.note(
            f"run {found[0].id[:8]} ({found[0].status}) has no metrics; run {newest.id[:8]} is the newest that has some"
        )
        found, names = [newest], list(_values(newest))
    if not names:
        session.note(f"no metrics in {', '.join(f'run {run.id[:8]} ({run.status})' for run in found)}")
        return
    rows = [["METRIC", *(run.id[:8] for run in found)]] if len(found) > 1 else []
    values = [_values(run) for run in found]
    rows += [[safe(name), *(_cell(of.get(name)) for of in values)] for name in names]
    session.show(*columns(rows, right=frozenset(range(1, len(found) + 1))))


def _values(run: Run) -> dict[str, float | str]:
    """The metrics of a run, then its labels; a metric goes before a label of its name."""
    metrics = run.metrics()
    return {**metrics, **{name: text for name, text in run.labels().items() if name not in metrics}}


def _values_as_json(run: Run) -> dict[str, Any]:
    labels = run.labels()
    shown = {"run": run.id, "commit": run.commit, "metrics": run.metrics()}
    return {**shown, "labels": labels} if labels else shown


def _newest_with_metrics(ws: Workspace, pipeline: str) -> Run | None:
    """The newest recorded run of a pipeline that has metrics."""
    from gitml.history.runs import read_run

    before = None
    while page := newest_runs(ws.index, pipeline=pipeline, limit=100, before=before):
        for row in page:
            if row.metrics:
                return read_run(ws, row.id)
        before = page[-1].id
    return None


@verb("diff", of=metrics, json=True)
@_difference_options
def compare_metrics(session: Session, compared: DifferenceOptions) -> int:
    """Show how the metrics and labels of B differ from those of A: runs, or Git revisions (their newest runs).

    Without A..B the two newest runs of one pipeline are compared.
    """
    return _show_differences(session, compared, lambda run: run.metrics(), "metrics", lambda run: run.labels())


@click.group("params", cls=DefaultGroup, default="show")
def params() -> None:
    """Show the parameters of runs, and how they differ."""


@verb("show", of=params, json=True)
@click.argument("run", required=False, default="latest")
@_pipeline_option
def show_params(session: Session, run: str, pipeline: str | None) -> None:
    """Show the parameters of a run. RUN is the beginning of a run's id or a Git revision (its newest run)."""
    from gitml.history.runs import run_or_rev

    found = run_or_rev(session.recovered_ws, run, pipeline)
    if not found.params:
        session.remark("no parameters")
    rows = [[safe(name), number(value)] for name, value in found.params.items()]
    session.result({"run": found.id, "commit": found.commit, "params": dict(found.params)}, *columns(rows))


@verb("diff", of=params, json=True)
@_difference_options
def compare_params(session: Session, compared: DifferenceOptions) -> int:
    """Show how the parameters of B differ from those of A: runs, or Git revisions (their newest runs).

    Without A..B the two newest runs of one pipeline are compared.
    """
    return _show_differences(session, compared, lambda run: run.params, "params")


def _show_differences(
    session: Session,
    compared: DifferenceOptions,
    values: Callable[[Run], Mapping[str, Any]],
    what: str,
    labels: Callable[[Run], Mapping[str, str]] = lambda _: {},
) -> int:
    """Shows how `values` of two runs differ, then `labels`; the exit code."""
    from gitml.history.compare import differences, run_pair

    before, after = run_pair(session.recovered_ws, compared.sides, compared.pipeline)
    numbers, texts = (differences(of(before), of(after)) for of in (values, labels))
    found = [*numbers, *texts]
    changed = [item for item in found if item.changed]
    shown, shown_texts = ([item for item in items if item.changed or compared.everything] for items in (numbers, texts))
    data = [{**item._asdict(), "delta": item.delta, "changed": item.changed} for item in shown]
    more = {"labels": [{**item._asdict(), "changed": item.changed} for item in shown_texts]} if texts else {}
    rows = []
    for item in shown:
        delta = "" if item.delta is None or not item.changed else f"{item.delta:+.6g}"
        rows.append([safe(item.name), _shown(item.before), "->", _shown(item.after), delta])
    for item in shown_texts:
        cells = [_cell(item.before), _cell(item.after)]
        if item.changed and cells[0] == cells[1]:  # they differ further on
            cells = [_shown(item.before), _shown(item.after)]
        rows.append([safe(item.name), cells[0], "->", cells[1], ""])
    session.remark(f"{_named(before)} -> {_named(after)}")
    lines = columns(rows, right=frozenset((1, 3, 4)))
    session.result({"before": _side(before), "after": _side(after), what: data, **more}, *lines)
    if not rows:
        same = f"all {len(found)} {what} are the same" if len(found) > 1 else f"the one {what[:-1]} is the same"
        session.remark(same if found else f"no {what} to compare")
    return FAILED if changed and compared.exit_code else DONE


def _side(run: Run) -> dict[str, Any]:
    return {"run": run.id, "pipeline": run.pipeline, "commit": run.commit, "dirty": run.dirty}


def _named(run: Run) -> str:
    return f"run {run.id[:8]} ({safe(run.pipeline)} at {run.commit[:8]})"


def _shown(value: Any) -> str:
    return "-" if value is None else number(value)


def _cell(value: float | str | None) -> str:
    text = _shown(value)
    return text if len(text) <= LABEL_SHOWN else text[: LABEL_SHOWN - 1] + "…"

"""Runs as rows, and one run in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gitml.cli.text.format import ago, cells, columns, cost, duration, moment, number, size
from gitml.cli.text.terminal import fitted, paint, safe
from gitml.core.model.guarantees import CACHE
from gitml.history.runs import RUNNING, WAITING

if TYPE_CHECKING:
    from gitml.core.model.digest import Digest
    from gitml.core.records.record import Run, StepRun
    from gitml.history.runs import StepProgress
    from gitml.store.index.runs import RunRow

STATUS_COLOURS = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "running": "blue"}
OUTCOME_COLOURS = {"executed": "green", "reused": "cyan", "failed": "red", "skipped": "yellow", "cancelled": "yellow"}


def row_as_json(row: RunRow) -> dict[str, Any]:
    """A listed run as ``--json`` shows it."""
    data = row._asdict()
    del data["record"]
    return {"run": data.pop("id"), **data, "seconds": round(row.seconds, 6)}


def table(rows: Sequence[RunRow], metrics: Sequence[str], now: float) -> list[str]:
    """Rows as lines: the newest first, as they come."""
    head = ["RUN", "STATUS", "PIPELINE", "COMMIT", "WHEN", "TIME", "STEPS", *map(safe, metrics), "BRANCH", "NOTES"]
    cells_of = [head]
    for row in rows:
        commit = (row.base or row.commit)[:8] + ("*" if row.dirty else "")
        values = [number(row.metrics[name]) if name in row.metrics else "-" for name in metrics]
        took = duration((now if row.status == "running" else row.ended) - row.started)
        cells_of.append(
            [row.id[:8], row.status, safe(row.pipeline), commit, ago(row.started, now), took, _steps(row.counts)]
            + [*values, safe(row.branch or "-"), _notes(row)]
        )
    right = frozenset([5, *range(7, 7 + len(metrics))])
    lines = fitted(columns(cells_of, right=right))
    status_at = cells(lines[0].partition("STATUS")[0])
    coloured = [paint(lines[0], "dim")]
    for line, row in zip(lines[1:], rows, strict=True):
        end = status_at + len(row.status)
        colour = STATUS_COLOURS.get(row.status, "")
        coloured.append(line[:status_at] + paint(line[status_at:end], colour) + line[end:])
    return coloured


def _steps(counts: Any) -> str:
    words = (
        ("executed", "run"),
        ("reused", "reused"),
        ("failed", "failed"),
        ("skipped", "skipped"),
        ("cancelled", "cut"),
    )
    return ", ".join(f"{counts[outcome]} {word}" for outcome, word in words if counts.get(outcome)) or "-"


def _notes(row: RunRow) -> str:
    notes = [f"[{safe(tag)}]" for tag in row.tags]
    if row.experiment != row.pipeline:
        notes.append(f"experiment {safe(row.experiment)}")
    if row.message:
        notes.append(safe(row.message.split("\n", 1)[0]))
    return "  ".join(notes)


def run_lines(run: Run, now: float, elsewhere: Mapping[Digest, str]) -> list[str]:
    """One run in full; `elsewhere` is where outputs are that are not on this machine."""
    status = paint(run.status, STATUS_COLOURS.get(run.status, ""))
    took = duration((now if run.status == "running" else run.ended) - run.started)
    commit = run.commit[:12] + (
        f" (uncommitted work on {run.base[:12] if run.base else 'no commit'})" if run.dirty else ""
    )
    facts = [
        ("run", f"{run.id}  {status}"),
        ("pipeline", f"{safe(run.pipeline)}  ({safe(run.path)})"),
        ("commit", commit + (f"  on {safe(run.branch)}" if run.branch else "")),
        ("started", f"{moment(run.started)}  took {took}"),
        ("by", f"{safe(run.by)} on {safe(run.host)}, gitml {safe(run.version)}"),
        ("experiment", safe(run.experiment) if run.experiment != run.pipeline else ""),
        ("tags", ", ".join(map(safe, run.tags))),
        ("message", safe(run.message)),
        ("asked for", ", ".join(map(safe, run.selected))),
        ("options", ", ".join(safe(f"{name}={value}") for name, value in run.options.items())),
        ("params", ", ".join(f"{safe(name)}={number(value)}" for name, value in run.params.items())),
        ("error", paint(safe(run.error), "red") if run.error else ""),
        *(("errors", f"{safe(name)}: {safe(one.words())}") for name, one in run.errors.items()),
    ]
    lines = [f"{paint(f'{name:<10}', 'dim')} {value}" for name, value in facts if value]
    for step in run.steps:
        lines += ["", *_step_lines(step, elsewhere)]
        if step.partial():
            lines += [f"  left     {line}" for line in partial_lines(run, step)]
    return lines


def progress_lines(standings: Sequence[StepProgress], now: float) -> list[str]:
    """What runs of a run in progress, and what waits."""
    lines = []
    for step in standings:
        if step.state == RUNNING:
            state = paint(RUNNING, STATUS_COLOURS[RUNNING])
            took = f" for {duration(now - step.since)}" if step.since is not None else ""
            again = f", attempt {step.number}" if step.number > 1 else ""
            name = paint(safe(step.name), "bold")
            lines += ["", f"{name}  {state}{took}{again}  {safe(step.reason)}"]
    waiting = [safe(step.name) for step in standings if step.state == WAITING]
    if waiting:
        listed = ", ".join(waiting[:5]) + (f" and {len(waiting) - 5:,} more" if len(waiting) > 5 else "")
        lines += ["", f"{paint(f'{WAITING:<10}', 'dim')} {listed}"]
    return lines


def in_progress_as_json(run: Run, standings: Sequence[StepProgress]) -> dict[str, Any]:
    """A run in progress as ``--json`` shows it: as one that has ended, and what runs and waits beside."""
    from gitml.core.records.record import run_as_json

    named = {state: [step.name for step in standings if step.state == state] for state in (RUNNING, WAITING)}
    return {**run_as_json(run), **named}


def partial_lines(run: Run, step: StepRun) -> list[str]:
    """What failed attempts of a step left, and how to have it."""
    lines = [f"{safe(ref.name)}  {ref.kind}  {size(ref.size)}  {ref.digest[:19]}" for ref in step.partial().values()]
    from gitml.cli.reporters.plain import checkout_hint  # for the steps that left something

    return [*lines, checkout_hint(run, step)]


def _step_lines(step: StepRun, elsewhere: Mapping[Digest, str]) -> list[str]:
    outcome = paint(step.outcome, OUTCOME_COLOURS[step.outcome])
    took = f" in {duration(step.seconds)}" if step.outcome in ("executed", "failed") else ""
    saved = f", saved {duration(step.saved.wall)}" if step.saved is not None and step.outcome == "reused" else ""
    lines = [f"{paint(safe(step.name), 'bold')}  {outcome}{took}{saved}  {safe(step.reason)}"]
    if step.error:
        lines.append(f"  error    {paint(safe(step.error), 'red')}")
    if step.outcome in ("executed", "failed") and step.attempts:
        attempts = f", {len(step.attempts)} attempts" if len(step.attempts) > 1 else ""
        used = step.cost
        lines.append(f"  cost     {cost(used.wall, used.cpu, used.peak_memory)}{attempts}")
    if CACHE in step.guarantees:
        lines.append(f"  caches   {safe(step.guarantees[CACHE])}")
    for ref in step.outputs:
        absent = f"  {safe(elsewhere[ref.digest])}" if ref.digest in elsewhere else ""
        lines.append(f"  output   {safe(ref.name)}  {ref.kind}  {size(ref.size)}  {ref.digest[:19]}{absent}")
    if step.metrics:
        phrase = ", ".join(f"{safe(name)} {number(value)}" for name, value in step.metrics.items())
        lines.append(f"  metrics  {phrase}")
    if step.labels:
        lines.append(f"  labels   {', '.join(f'{safe(name)} {safe(text)}' for name, text in step.labels.items())}")
    return lines

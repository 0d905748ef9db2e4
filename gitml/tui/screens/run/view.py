"""A run as it stands, and as text: the headline, the details of a step, and why it has no metrics or plots."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.console import Group
from rich.table import Table
from rich.text import Text

from gitml.core.model.action import Action
from gitml.core.model.environment import kind_in_words
from gitml.core.model.graph import GraphStep
from gitml.core.model.guarantees import CACHE, FULL
from gitml.core.model.resources import Resources
from gitml.core.records.record import Attempt, Run, StepRun
from gitml.core.text.format import cost, count, duration, number, safe, size
from gitml.history.runs import RUNNING, WAITING, StepProgress, get_run, run_progress
from gitml.history.step_details import StepDetails
from gitml.history.submissions import target_of
from gitml.history.time_format import ago, moment
from gitml.store.index.runs import newest_runs
from gitml.tui.styles import sign_of
from gitml.tui.text import plain
from gitml.workspace import Workspace


class RunView(NamedTuple):
    """A run as it stands; `before` is the one of the same pipeline that was recorded before it.

    `target` is the cluster that a submitted run is on, empty once it is collected.
    """

    run: Run
    steps: tuple[StepProgress, ...]
    live: bool
    before: str | None
    target: str = ""


def view_run(ws: Workspace, id: str) -> RunView:
    """The run as it stands now; of one on a cluster, as the cluster reports it."""
    target = target_of(ws, id)
    if target:
        from gitml.submission.collect import mirror

        mirror(ws, id)
    found = get_run(ws, id)
    live = found.live is not None and (not target or found.run.status == "running")
    rows = newest_runs(ws.index, pipeline=found.run.pipeline, limit=1, before=None if live else id)
    return RunView(found.run, tuple(run_progress(found)), live, rows[0].id if rows else None, target)


def planned_steps(ws: Workspace, run: Run) -> Mapping[str, GraphStep]:
    """The steps as the run's pipeline has them at its commit."""
    from gitml.engine.planning.dynamic_lists import grown_by, results_of
    from gitml.engine.planning.load import load_run

    return grown_by(ws, load_run(ws, run), results_of(run)).steps


def headline(view: RunView, now: float) -> Text:
    """The run in two lines."""
    run = view.run
    sign = sign_of(run.status)
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f" {sign.mark} {sign.word}  ", sign.style)
    text.append(plain(run.pipeline), "bold")
    text.append(f"  {run.id}", "link")
    commit = (run.base or run.commit)[:10] + ("*" if run.dirty else "")
    text.append(f"  at {commit}", "dim")
    text.append(f" on {plain(run.branch)}" if run.branch else "", "dim")
    if view.target:
        text.append(f"  on cluster {plain(view.target)}", "accent")
        text.append("" if view.live else f": gitml collect {run.id[:8]} records it here", "dim")
    took = duration((now if view.live else run.ended) - run.started)
    text.append(f"\n   {ago(run.started, now)}, {'for' if view.live else 'took'} {took}", "dim")
    text.append(f"  {', '.join(_counted(view))}", "plain")
    if run.experiment != run.pipeline:
        text.append(f"  experiment {plain(run.experiment)}", "dim")
    for tag in run.tags:
        text.append(f"  [{plain(tag)}]", "accent")
    if run.message:
        text.append(f"  {plain(run.message.partition(chr(10))[0])}", "accent")
    if run.error:
        text.append(f"  {plain(run.error)}", "bad")
    for name, errors in run.errors.items():
        text.append(f"  {plain(name)}: {plain(errors.words())}", "held" if errors.borne else "bad")
    text.append(f"  by {plain(run.by)}", "dim")
    return text


def took_text(item: StepProgress, now: float) -> str:
    """How long a step took or has been taking, else what became of it."""
    if item.since is not None:
        return duration(now - item.since)
    if item.step is not None and item.step.attempts:
        return duration(item.step.seconds)
    return "" if item.step is None or item.state == "reused" else item.state


def first_step_to_show(view: RunView) -> str | None:
    """The step that one looks for first: what failed, what runs, else the first."""
    of_state = {item.state: item.name for item in reversed(view.steps)}
    return of_state.get("failed") or of_state.get("running") or (view.steps[0].name if view.steps else None)


def _counted(view: RunView) -> list[str]:
    states = Counter(item.state for item in view.steps)
    return [f"{many:,} {sign_of(state).word}" for state, many in states.items()] or [count(0, "step")]


_WIDE = 13
_PACKAGES = 12  # shown of an environment; all of them are in the file section


def details(standing: StepProgress, detail: StepDetails | None, planned: GraphStep | None, now: float) -> Group:
    """A headline, and facts with their names before them.

    `detail` has the Action of the step, once that is recorded; `planned` is what the pipeline says of the step.
    """
    head, text = Text(), Table.grid(padding=(0, 1))
    text.add_column(width=_WIDE, no_wrap=True)
    text.add_column(overflow="fold")
    step, action = standing.step, detail.action if detail is not None else None
    sign = sign_of(standing.state)
    head.append(f"{sign.mark} ", sign.style)
    head.append(f"{safe(standing.name)} ", "bold")
    head.append(sign.word, sign.style)
    head.append(f"  {_took(standing, now)}\n", "dim")
    if standing.reason:
        _fact(text, "why", safe(standing.reason))
    if step is not None and step.error:
        _fact(text, "error", safe(step.error), style="bad")
    if step is not None and step.origin:
        _fact(text, "made in", f"run {step.origin[:8]}")
    _command(text, action or planned)
    params = (action.params if action is not None else ()) or (planned.params if planned is not None else ())
    _fact(text, "parameters", *(f"{safe(name)} = {number(value)}" for name, value in params))
    if step is not None:
        _cost(text, step)
        if CACHE in step.guarantees:
            _fact(text, "caches", safe(step.guarantees[CACHE]))
    if planned is not None:
        _fact(text, "requests", _resources(planned))
    _environment(text, detail, planned)
    if action is not None:
        given = [(name, "(from the machine)" if value is None else safe(value)) for name, value in action.env]
        _fact(text, "variables", *(f"{safe(name)} = {value}" for name, value in given))
        if action.module:
            _fact(text, "module", safe(action.module.removeprefix("git:")[:12]))
    if step is not None and step.key is not None:
        _fact(text, "action key", step.key, style="dim")
    return Group(head, text)


def _took(standing: StepProgress, now: float) -> str:
    if standing.since is not None:
        attempt = f", attempt {standing.number}" if standing.number > 1 else ""
        return f"for {duration(now - standing.since)}{attempt}"
    step = standing.step
    if step is None:
        return ""
    if step.outcome == "reused":
        return f"saved {duration(step.saved.wall)}" if step.saved is not None else ""
    return f"in {duration(step.seconds)}" if step.attempts else ""


def _command(text: Table, source: Action | GraphStep | None) -> None:
    if source is None or not source.argv:
        return
    if source.shell:
        _fact(text, source.shell, *map(safe, source.argv[0].rstrip("\n").split("\n")), style="link")
    else:
        _fact(text, "command", safe(shlex.join(source.argv)), style="link")


def _cost(text: Table, step: StepRun) -> None:
    used = step.saved if step.outcome == "reused" and step.saved is not None else step.cost
    if used.wall or used.cpu:
        _fact(text, "cost", cost(used.wall, used.cpu, used.peak_memory))
    if len(step.attempts) > 1 or any(one.outcome != "done" for one in step.attempts):
        _fact(text, "attempts", *(_attempt(at, attempt) for at, attempt in enumerate(step.attempts, 1)))
    elif step.attempts:
        _fact(text, "started", moment(step.attempts[0].started))


def _attempt(at: int, attempt: Attempt) -> str:
    parts = f"{at}. {attempt.outcome} after {duration(attempt.cost.wall)}"
    if attempt.exit_code is not None:
        parts += f", exit code {attempt.exit_code}" if attempt.exit_code >= 0 else f", signal {-attempt.exit_code}"
    return parts + (f": {safe(attempt.error)}" if attempt.error else "")


def _resources(step: GraphStep) -> str:
    asked: Resources = step.settings.resources
    parts = [f"{asked.cpus:g} CPU" if asked.cpus is not None else ""]
    parts.append(f"{asked.gpus:g} GPU" if asked.gpus else "")
    parts.append(size(asked.memory) if asked.memory else "")
    parts.append(f"retries {step.settings.retries}" if step.settings.retries else "")
    parts.append(f"timeout {duration(step.settings.timeout)}" if step.settings.timeout else "")
    parts.append("strict sandbox" if step.settings.strict else "")
    parts.append(f"network: {step.settings.network}" if step.settings.network != FULL else "")
    parts.append("" if step.settings.reuse else "reuse: false")
    return ", ".join(part for part in parts if part)


def _environment(text: Table, detail: StepDetails | None, planned: GraphStep | None) -> None:
    described = detail.environment if detail is not None else None
    if described is None:
        if planned is not None:
            _fact(text, "environment", safe(str(planned.settings.environment)))
        return
    python = described.get("python")
    head = ", ".join(safe(str(part)) for part in (kind_in_words(described), described.get("platform"), python) if part)
    _fact(text, "environment", head)
    packages: Sequence[object] = described.get("distributions") or ()
    if packages:
        shown = ", ".join(safe(str(one)) for one in packages[:_PACKAGES])
        more = f" and {len(packages) - _PACKAGES} more" if len(packages) > _PACKAGES else ""
        _fact(text, "packages", shown + more, style="dim")


def _fact(table: Table, name: str, *values: str, style: str = "plain") -> None:
    """A fact, its values one below the other; what does not fit goes on below the value, not below the name."""
    for at, value in enumerate(values):
        table.add_row(Text("" if at else name, "dim"), Text(value, style))


_WORDS = {"metrics": "metrics", "plot": "plots"}
_FORMS = {"metrics": "numbers as JSON", "plot": "a table as CSV, TSV or JSON, or a picture"}


class MissingOutput(NamedTuple):
    """A short title, and one sentence; both are plain text."""

    title: str
    text: str


def missing_output(kind: str, standing: StepProgress, planned: GraphStep | None) -> MissingOutput:
    """Why the step has no output of the port type `kind` to show; `planned` declares them, None when they are unknown."""
    words = _WORDS[kind]
    if planned is None:
        return MissingOutput(
            f"No {words}", "The pipeline of this run can't be read, so its declared outputs are unknown."
        )
    ports = [f"`{plain(output.name)}`" for output in planned.outputs if output.kind == kind]
    if not ports:
        return MissingOutput(
            f"No {words}", f"This step declares no output of the type {kind}. Such an output holds {_FORMS[kind]}."
        )
    named = ", ".join(ports)
    many = len(ports) > 1
    if standing.state in (RUNNING, WAITING):
        return MissingOutput("Not written yet", f"{named} {'are' if many else 'is'} read when the step ends.")
    if standing.state in ("executed", "reused"):
        return MissingOutput(f"No {words}", f"{named} {'hold' if many else 'holds'} nothing to show.")
    return MissingOutput(
        "No result", f"The step was {standing.state}, so {named} {'were' if many else 'was'} not recorded."
    )

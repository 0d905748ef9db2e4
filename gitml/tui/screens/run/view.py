"""A run and its steps as text: the headline, the details of a step, and why it has no metrics or plots."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Group
from rich.table import Table
from rich.text import Text

from gitml.core.model.action import ActionOutput
from gitml.core.model.graph import GraphStep
from gitml.core.model.guarantees import FULL
from gitml.core.model.resources import Resources
from gitml.core.records.record import Attempt, StepRun
from gitml.core.text.format import cost, count, duration, number, safe, size
from gitml.history.runs import RUNNING, WAITING, StepProgress
from gitml.history.step_details import StepDetails
from gitml.history.time_format import ago, moment
from gitml.tui.screens.run.queries import RunView
from gitml.tui.services import Styles
from gitml.tui.styles import sign_of
from gitml.tui.text import plain


def headline(view: RunView, styles: Styles, now: float) -> Text:
    """The run in two lines."""
    run = view.run
    sign = sign_of(run.status)
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f" {sign.mark} {sign.word}  ", style=styles[sign.style])
    text.append(plain(run.pipeline), style=styles["bold"])
    text.append(f"  {run.id}", style=styles["link"])
    commit = (run.base or run.commit)[:10] + ("*" if run.dirty else "")
    text.append(f"  at {commit}", style=styles["dim"])
    text.append(f" on {plain(run.branch)}" if run.branch else "", style=styles["dim"])
    if view.target:
        text.append(f"  on cluster {plain(view.target)}", style=styles["accent"])
        text.append("" if view.live else f": gitml collect {run.id[:8]} records it here", style=styles["dim"])
    took = duration((now if view.live else run.ended) - run.started)
    text.append(f"\n   {ago(run.started, now)}, {'for' if view.live else 'took'} {took}", style=styles["dim"])
    text.append(f"  {', '.join(_counted(view))}", style=styles["plain"])
    if run.experiment != run.pipeline:
        text.append(f"  experiment {plain(run.experiment)}", style=styles["dim"])
    for tag in run.tags:
        text.append(f"  [{plain(tag)}]", style=styles["accent"])
    if run.message:
        text.append(f"  {plain(run.message.partition(chr(10))[0])}", style=styles["accent"])
    if run.error:
        text.append(f"  {plain(run.error)}", style=styles["bad"])
    text.append(f"  by {plain(run.by)}", style=styles["dim"])
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
    for state in ("failed", "running"):
        for item in view.steps:
            if item.state == state:
                return item.name
    return view.steps[0].name if view.steps else None


def _counted(view: RunView) -> list[str]:
    states: dict[str, int] = {}
    for item in view.steps:
        states[item.state] = states.get(item.state, 0) + 1
    return [f"{states[state]:,} {sign_of(state).word}" for state in states] or [count(0, "step")]


_WIDE = 13
_PACKAGES = 12  # shown of an environment; all of them are in the file section


class StepInfo(NamedTuple):
    """What is known of a step: how it stands, its Action (once that is recorded), and what the pipeline says of it."""

    standing: StepProgress
    detail: StepDetails | None
    planned: GraphStep | None


def details(info: StepInfo, styles: Styles, now: float) -> Group:
    """A headline, and facts with their names before them."""
    head, text = Text(), Table.grid(padding=(0, 1))
    text.add_column(width=_WIDE, no_wrap=True)
    text.add_column(overflow="fold")
    standing, step = info.standing, info.standing.step
    sign = sign_of(standing.state)
    head.append(f"{sign.mark} ", style=styles[sign.style])
    head.append(f"{safe(standing.name)} ", style=styles["bold"])
    head.append(sign.word, style=styles[sign.style])
    head.append(f"  {_took(standing, now)}\n", style=styles["dim"])
    if standing.reason:
        _fact(text, styles, "why", safe(standing.reason))
    if step is not None and step.error:
        _fact(text, styles, "error", safe(step.error), "bad")
    if step is not None and step.origin:
        _fact(text, styles, "made in", f"run {step.origin[:8]}")
    _command(text, styles, info)
    params = info.detail.action.params if info.detail and info.detail.action else ()
    if not params and info.planned is not None:
        params = info.planned.params
    for at, (name, value) in enumerate(params):
        _fact(text, styles, "parameters" if at == 0 else "", f"{safe(name)} = {number(value)}")
    if step is not None:
        _cost(text, styles, step)
    if info.planned is not None:
        _fact(text, styles, "requests", _resources(info.planned))
    _environment(text, styles, info)
    if info.detail is not None and info.detail.action is not None:
        for at, (name, given) in enumerate(info.detail.action.env):
            _fact(
                text,
                styles,
                "variables" if at == 0 else "",
                f"{safe(name)} = {'(from the machine)' if given is None else safe(given)}",
            )
        if info.detail.action.module:
            _fact(text, styles, "module", safe(info.detail.action.module.removeprefix("git:")[:12]))
    if step is not None and step.key is not None:
        _fact(text, styles, "action key", step.key, "dim")
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


def _command(text: Table, styles: Styles, info: StepInfo) -> None:
    action = info.detail.action if info.detail else None
    argv = action.argv if action is not None else info.planned.argv if info.planned is not None else ()
    shell = action.shell if action is not None else info.planned.shell if info.planned is not None else None
    if not argv:
        return
    if shell:
        for at, line in enumerate(argv[0].rstrip("\n").split("\n")):
            _fact(text, styles, f"{shell}" if at == 0 else "", safe(line), "link")
    else:
        _fact(text, styles, "command", safe(shlex.join(argv)), "link")


def _cost(text: Table, styles: Styles, step: StepRun) -> None:
    used = step.saved if step.outcome == "reused" and step.saved is not None else step.cost
    if used.wall or used.cpu:
        _fact(text, styles, "cost", cost(used.wall, used.cpu, used.peak_memory))
    if len(step.attempts) > 1 or any(one.outcome != "done" for one in step.attempts):
        for at, attempt in enumerate(step.attempts):
            _fact(text, styles, "attempts" if at == 0 else "", _attempt(at + 1, attempt))
    elif step.attempts:
        _fact(text, styles, "started", moment(step.attempts[0].started))


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


def _environment(text: Table, styles: Styles, info: StepInfo) -> None:
    described = info.detail.environment if info.detail is not None else None
    if described is None:
        if info.planned is not None:
            _fact(text, styles, "environment", safe(info.planned.settings.environment))
        return
    python = described.get("python")
    head = ", ".join(safe(str(part)) for part in (described.get("kind"), described.get("platform"), python) if part)
    _fact(text, styles, "environment", head)
    packages: Sequence[object] = described.get("distributions") or ()
    if packages:
        shown = ", ".join(safe(str(one)) for one in packages[:_PACKAGES])
        more = f" and {len(packages) - _PACKAGES} more" if len(packages) > _PACKAGES else ""
        _fact(text, styles, "packages", shown + more, "dim")


def _fact(table: Table, styles: Styles, name: str, value: str, style: str = "plain") -> None:
    """A fact; what does not fit goes on below the value, not below the name."""
    table.add_row(Text(name, style=styles["dim"]), Text(value, style=styles[style]))


_WORDS = {"metrics": "metrics", "plot": "plots"}
_FORMS = {"metrics": "numbers as JSON", "plot": "a table as CSV, TSV or JSON, or a picture"}


class MissingOutput(NamedTuple):
    """A short title, and one sentence; both are plain text."""

    title: str
    text: str


def missing_output(kind: str, standing: StepProgress, outputs: Sequence[ActionOutput] | None) -> MissingOutput:
    """Why the step has no output of the port type `kind` to show; `outputs` are declared ones, None when they are unknown."""
    words = _WORDS[kind]
    if outputs is None:
        return MissingOutput(
            f"No {words}", "The pipeline of this run can't be read, so its declared outputs are unknown."
        )
    ports = [f"`{plain(output.name)}`" for output in outputs if output.kind == kind]
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

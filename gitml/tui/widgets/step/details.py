"""One step of a run as a text: why it ran, what was run, with what, at what cost."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.console import Group
from rich.style import Style
from rich.table import Table
from rich.text import Text

from gitml.core.model.graph import GraphStep
from gitml.core.model.guarantees import FULL
from gitml.core.model.resources import Resources
from gitml.core.records.record import Attempt, StepRun
from gitml.core.text.format import cost, duration, number, safe, size
from gitml.history.progress import StepProgress
from gitml.history.step_details import StepDetails
from gitml.history.time_format import moment
from gitml.tui.state_styles import sign_of

Inks = Mapping[str, Style]
_WIDE = 13
_PACKAGES = 12  # shown of an environment; all of them are in the file section


class Known(NamedTuple):
    """What is known of a step: how it stands, its Action (once that is recorded), and what the pipeline says of it."""

    standing: StepProgress
    detail: StepDetails | None
    planned: GraphStep | None


def details(known: Known, inks: Inks, now: float) -> Group:
    """A headline, and facts with their names before them."""
    head, text = Text(), Table.grid(padding=(0, 1))
    text.add_column(width=_WIDE, no_wrap=True)
    text.add_column(overflow="fold")
    standing, step = known.standing, known.standing.step
    sign = sign_of(standing.state)
    head.append(f"{sign.mark} ", style=inks[sign.ink])
    head.append(f"{safe(standing.name)} ", style=inks["bold"])
    head.append(sign.word, style=inks[sign.ink])
    head.append(f"  {_took(standing, now)}\n", style=inks["dim"])
    if standing.reason:
        _fact(text, inks, "why", safe(standing.reason))
    if step is not None and step.error:
        _fact(text, inks, "error", safe(step.error), "bad")
    if step is not None and step.origin:
        _fact(text, inks, "made in", f"run {step.origin[:8]}")
    _command(text, inks, known)
    params = known.detail.action.params if known.detail and known.detail.action else ()
    if not params and known.planned is not None:
        params = known.planned.params
    for at, (name, value) in enumerate(params):
        _fact(text, inks, "parameters" if at == 0 else "", f"{safe(name)} = {number(value)}")
    if step is not None:
        _cost(text, inks, step)
    if known.planned is not None:
        _fact(text, inks, "asks for", _resources(known.planned))
    _environment(text, inks, known)
    if known.detail is not None and known.detail.action is not None:
        for at, (name, given) in enumerate(known.detail.action.env):
            _fact(
                text,
                inks,
                "variables" if at == 0 else "",
                f"{safe(name)} = {'(from the machine)' if given is None else safe(given)}",
            )
        if known.detail.action.module:
            _fact(text, inks, "module", safe(known.detail.action.module.removeprefix("git:")[:12]))
    if step is not None and step.key is not None:
        _fact(text, inks, "action key", step.key, "dim")
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


def _command(text: Table, inks: Inks, known: Known) -> None:
    action = known.detail.action if known.detail else None
    argv = action.argv if action is not None else known.planned.argv if known.planned is not None else ()
    shell = action.shell if action is not None else known.planned.shell if known.planned is not None else None
    if not argv:
        return
    if shell:
        for at, line in enumerate(argv[0].rstrip("\n").split("\n")):
            _fact(text, inks, f"{shell}" if at == 0 else "", safe(line), "link")
    else:
        _fact(text, inks, "command", safe(shlex.join(argv)), "link")


def _cost(text: Table, inks: Inks, step: StepRun) -> None:
    used = step.saved if step.outcome == "reused" and step.saved is not None else step.cost
    if used.wall or used.cpu:
        _fact(text, inks, "cost", cost(used.wall, used.cpu, used.peak_memory))
    if len(step.attempts) > 1 or any(one.outcome != "done" for one in step.attempts):
        for at, attempt in enumerate(step.attempts):
            _fact(text, inks, "attempts" if at == 0 else "", _attempt(at + 1, attempt))
    elif step.attempts:
        _fact(text, inks, "begun", moment(step.attempts[0].started))


def _attempt(at: int, attempt: Attempt) -> str:
    told = f"{at}. {attempt.outcome} after {duration(attempt.cost.wall)}"
    if attempt.exit_code is not None:
        told += f", exit code {attempt.exit_code}" if attempt.exit_code >= 0 else f", signal {-attempt.exit_code}"
    return told + (f": {safe(attempt.error)}" if attempt.error else "")


def _resources(step: GraphStep) -> str:
    asked: Resources = step.resources
    told = [f"{asked.cpus:g} CPU" if asked.cpus is not None else ""]
    told.append(f"{asked.gpus:g} GPU" if asked.gpus else "")
    told.append(size(asked.memory) if asked.memory else "")
    told.append(f"retries {step.retries}" if step.retries else "")
    told.append(f"timeout {duration(step.timeout)}" if step.timeout else "")
    told.append("strict sandbox" if step.strict else "")
    told.append(f"network: {step.network}" if step.network != FULL else "")
    told.append("" if step.reuse else "reuse: false")
    return ", ".join(part for part in told if part)


def _environment(text: Table, inks: Inks, known: Known) -> None:
    described = known.detail.environment if known.detail is not None else None
    if described is None:
        if known.planned is not None:
            _fact(text, inks, "environment", safe(known.planned.environment))
        return
    python = described.get("python")
    head = ", ".join(safe(str(part)) for part in (described.get("kind"), described.get("platform"), python) if part)
    _fact(text, inks, "environment", head)
    packages: Sequence[object] = described.get("distributions") or ()
    if packages:
        shown = ", ".join(safe(str(one)) for one in packages[:_PACKAGES])
        more = f" and {len(packages) - _PACKAGES} more" if len(packages) > _PACKAGES else ""
        _fact(text, inks, "packages", shown + more, "dim")


def _fact(table: Table, inks: Inks, name: str, value: str, ink: str = "plain") -> None:
    """A fact; what does not fit goes on below the value, not below the name."""
    table.add_row(Text(name, style=inks["dim"]), Text(value, style=inks[ink]))

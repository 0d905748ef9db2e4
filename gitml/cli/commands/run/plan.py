"""`gitml plan`, and how `gitml run -n` shows a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from gitml.cli.errors import DONE, FAILED
from gitml.cli.options import on_option
from gitml.cli.pipeline_arguments import PipelineArguments, SelectedSteps, pipeline_arguments
from gitml.cli.session import Session, verb
from gitml.cli.text.format import cells
from gitml.cli.text.terminal import paint, safe

if TYPE_CHECKING:
    from gitml.core.model.graph import GraphStep
    from gitml.core.planner.plan import Plan
    from gitml.engine.planning.load import Loaded

IN_THE_WAY = "in the way"
_COLOURS = {"reuse": "cyan", "run": "green", "unknown": "yellow", "blocked": "red"}


@verb("plan", json=True)
@pipeline_arguments
@on_option
@click.option("-f", "--force", is_flag=True, help="As `run --force` would do.")
@click.option("--no-reuse", is_flag=True, help="As `run --no-reuse` would do.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when something would run.")
def command(
    session: Session,
    wanted: PipelineArguments,
    on: str | None,
    force: bool,
    no_reuse: bool,
    exit_code: bool,
) -> int:
    """Show for each step what `gitml run` would do, and why: reuse, run, unknown or blocked.

    An unknown step depends on a step before it, or on what only a run asks for. `-v` also shows the code of each step,
    and why it counts.
    """
    plan = show_plan(session, wanted.load(session), force=force, reuse=not no_reuse, on=on)
    return FAILED if exit_code and plan.runs_something() else DONE


def show_plan(
    session: Session,
    selection: SelectedSteps,
    *,
    force: bool = False,
    reuse: bool = True,
    on: str | None = None,
    checkout: bool = False,
) -> Plan:
    """Plans and shows it, also what `checkout` would write; nothing is performed or written down."""
    from gitml.engine.planning.planner import make_plan, policy_for
    from gitml.git.objects.source import CommitSource

    loaded, wanted = selection
    policy = policy_for(loaded, wanted, force=force, reuse=reuse)
    plan = make_plan(session.ws, loaded, wanted, policy, on)
    # Without writing a snapshot: of uncommitted work the commit it lies on.
    source = loaded.source
    placed = _placed(session, loaded, plan) if checkout else []
    commit, dirty = (source.commit, False) if isinstance(source, CommitSource) else (source.head, bool(source.dirty))
    if session.json:
        session.show_json(
            {
                "pipeline": loaded.graph.pipeline,
                "commit": commit,
                "dirty": dirty,
                "steps": [
                    {"name": name, "decision": decision.kind, "reason": decision.reason, "hint": decision.hint}
                    for name, decision in plan.decisions.items()
                ],
                **({"checkout": placed} if checkout else {}),
            }
        )
        return plan
    session.warn(*map(safe, plan.warnings))
    session.show(*_lines(plan, plan.graph.steps if session.verbose else {}))
    session.show(*[_placed_line(item) for item in placed])
    session.note(_summary(plan, commit, dirty))
    return plan


def _placed(session: Session, loaded: Loaded, plan: Plan) -> list[dict[str, str]]:
    """What would become of the place of each output in the work tree."""
    from gitml.history.files.checkout import preview_placed
    from gitml.history.files.run_checkout import expected_outputs

    results = {name: decision.result for name, decision in plan.decisions.items()}
    planned = {
        name: result.outputs if result is not None and plan.decisions[name].kind == "reuse" else None
        for name, result in results.items()
    }
    project = f"{loaded.project}/" if loaded.project else ""
    return [
        {"step": output.step.name, "port": output.ref.name, "path": f"{project}{output.place}", "state": state}
        for output, state in preview_placed(session.ws, expected_outputs(plan.graph, planned))
    ]


def _placed_line(item: Mapping[str, str]) -> str:
    word = {"written": "write", "replaced": "replace"}.get(item["state"], item["state"])
    colour = "red" if item["state"] == IN_THE_WAY else "green"
    return f"{paint(f'{word:<10}', colour)}  {safe(item['path'])}  {safe(item['step'])}.{safe(item['port'])}"


def _lines(plan: Plan, steps: Mapping[str, GraphStep]) -> list[str]:
    """One line a step; of those in `steps` also what is code of it, and why, where that is known."""
    names = {name: safe(name) for name in plan.decisions}
    wide = min(max(map(cells, names.values()), default=0), 40)
    lines = []
    for name, decision in plan.decisions.items():
        word = paint(f"{decision.kind:<7}", _COLOURS[decision.kind])
        room = " " * max(0, wide - cells(names[name]))
        hint = f" ({safe(decision.hint)})" if decision.hint else ""
        lines.append(f"{word}  {names[name]}{room}  {safe(decision.reason)}{hint}")
        if name in steps and decision.action is not None and steps[name].module is None:
            from gitml.core.planner.code import why_code
            from gitml.core.planner.repository_layout import in_repository

            project = decision.action.project
            code = why_code(in_repository(steps[name], project) if project else steps[name], decision.action.code)
            lines += [f"         code {safe(path)}: {safe(why)}" for path, why in code]
    return lines


def _summary(plan: Plan, commit: str | None, dirty: bool) -> str:
    counts = Counter(decision.kind for decision in plan.decisions.values())
    words = {"reuse": "reused", "run": "to run", "unknown": "not known yet", "blocked": "blocked"}
    phrase = ", ".join(f"{counts[kind]:,} {word}" for kind, word in words.items() if counts.get(kind))
    where = f"commit {commit[:12]}" if commit else "no commit yet"
    return f"{phrase or 'no steps'} at {where}{' with uncommitted changes' if dirty else ''}"

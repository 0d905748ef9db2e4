"""`gitml status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gitml.cli.options import at_option
from gitml.cli.session import Session, verb
from gitml.cli.text.format import ago, cells, count, duration
from gitml.cli.text.terminal import paint, safe
from gitml.errors import GitmlError
from gitml.store.index.runs import newest_runs

if TYPE_CHECKING:
    from gitml.history.runs import LiveRun
    from gitml.history.submissions import Submission

_WORDS = {"reuse": "up to date", "run": "to run", "unknown": "after those", "blocked": "blocked"}
_UNASKED = "not known without asking (gitml run -n)"


@verb("status", json=True)
@click.argument("pipelines", metavar="[PIPELINE]...", nargs=-1)
@at_option
def command(session: Session, pipelines: tuple[str, ...], rev: str | None) -> None:
    """Show for each pipeline what is up to date and what `gitml run` would run, the runs going on, and the last run.

    Runs that were handed to a cluster are listed until they are collected; how far they are only the cluster knows.
    """
    from gitml.engine.planning.load import list_pipelines
    from gitml.history.runs import live_runs
    from gitml.history.submissions import submissions

    ws = session.recovered_ws
    if rev is None and ws.location.worktree is None:
        rev = "HEAD"
    states = [_state(session, name, rev, selection=bool(pipelines)) for name in pipelines or list_pipelines(ws, rev)]
    going, away = live_runs(ws), submissions(ws)
    running = [
        {"run": live.run.id, "pipeline": live.run.pipeline, "pid": live.pid, "done": len(live.run.steps)}
        for live in going
    ]
    submitted = [{"run": one.run, "pipeline": one.pipeline, "target": one.target} for one in away]
    session.result({"pipelines": states, "running": running, "submitted": submitted})
    if not states:
        session.remark("no pipelines here: `gitml init` writes one to start from")
    wide = max((cells(safe(state["pipeline"])) for state in states), default=0)
    for state in states:
        session.show(*_lines(state, wide, ws.now()))
    session.show(*[_going(live, ws.now()) for live in going], *[_away(one, ws.now()) for one in away])


def _state(session: Session, name: str, rev: str | None, *, selection: bool) -> dict[str, Any]:
    """The state of a pipeline now; one whose file is wrong is shown with its error, beside the others.

    UnknownPipelineError when it is of the user's `selection` by a name that no pipeline has.
    """
    from gitml.engine.planning.load import UnknownPipelineError, load
    from gitml.engine.planning.planner import make_plan

    state: dict[str, Any] = {
        "pipeline": name,
        "steps": {},
        "unasked": 0,
        "first": None,
        "error": None,
        "last_run": None,
    }
    try:
        loaded = load(session.ws, name, rev)
        plan = make_plan(session.ws, loaded)
        for step, decision in plan.decisions.items():
            state["steps"][decision.kind] = state["steps"].get(decision.kind, 0) + 1
            state["unasked"] += decision.unasked
            if decision.kind in ("run", "blocked") and state["first"] is None:
                state["first"] = {"name": step, "decision": decision.kind, "reason": decision.reason}
        rows = newest_runs(session.ws.index, pipeline=loaded.graph.pipeline, limit=1)
    except GitmlError as error:
        if selection and isinstance(error, UnknownPipelineError):
            raise
        more = len(getattr(error, "diagnostics", ())) - 1
        state["error"] = f"{error.where}: {error.message}" if error.where else error.message
        if more > 0:
            state["error"] += f" (and {more} more)"
        rows = newest_runs(session.ws.index, pipeline=name, limit=1)
    if rows:
        shown = ("status", "commit", "dirty", "started", "seconds")
        state["last_run"] = {"run": rows[0].id, **{field: getattr(rows[0], field) for field in shown}}
    return state


def _lines(state: dict[str, Any], wide: int, now: float) -> list[str]:
    name = safe(state["pipeline"])
    start = paint(name, "bold") + " " * (wide - cells(name))
    indent = " " * wide
    if state["error"]:
        lines = [f"{start}  {paint('wrong', 'red')}: {safe(state['error'])}"]
    else:
        counts = {**state["steps"], "unknown": state["steps"].get("unknown", 0) - state["unasked"]}
        phrase = ", ".join(f"{counts[kind]:,} {word}" for kind, word in _WORDS.items() if counts.get(kind))
        if state["unasked"]:
            phrase += f"{', ' if phrase else ''}{state['unasked']:,} {_UNASKED}"
        colour = "green" if set(state["steps"]) <= {"reuse"} else "red" if "blocked" in counts else "yellow"
        lines = [f"{start}  {paint(phrase or 'no steps', colour)}"]
        if state["first"]:
            lines.append(f"{indent}  first {safe(state['first']['name'])}: {safe(state['first']['reason'])}")
    last = state["last_run"]
    if last:
        dirty = " with uncommitted changes" if last["dirty"] else ""
        took = duration(last["seconds"])
        when = ago(last["started"], now)
        lines.append(
            f"{indent}  last run {last['run'][:8]} {last['status']} {when} in {took}, at {last['commit'][:8]}{dirty}"
        )
    else:
        lines.append(f"{indent}  never ran")
    return lines


def _going(live: LiveRun, now: float) -> str:
    run = live.run
    word = paint("running", "blue")
    by = f"process {live.pid}" if live.pid else "its process is gone"
    took = duration(now - run.started)
    return f"{word}  run {run.id[:8]} of {safe(run.pipeline)}: {count(len(run.steps), 'step')} done in {took}, {by}"


def _away(one: Submission, now: float) -> str:
    word = paint("submitted", "blue")
    run = one.run[:8]
    phrase = f"run {run} of {safe(one.pipeline)}: handed to {safe(one.target)} {ago(one.submitted, now)}"
    return f"{word}  {phrase}; gitml show {run}, gitml collect {run}"

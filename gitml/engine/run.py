"""A run of a pipeline: it is planned, what is not reused is performed, and the outcome is recorded."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gitml import __version__
from gitml.core.language.shell import VARIABLE
from gitml.core.model.events import Emit, Note, RunFinished, RunStarted, StepFinished
from gitml.core.model.graph import GraphStep
from gitml.core.model.stop_signal import StopSignal
from gitml.core.planner.plan import REUSE, RUN, UNKNOWN, Plan
from gitml.core.records.record import Run
from gitml.engine.execution.executor_kinds import Executors
from gitml.engine.journal.recorder import record_run, refuse_too_large
from gitml.engine.planning.load import Loaded
from gitml.engine.planning.planner import Planner, policy_for
from gitml.engine.planning.request import RunRequest, reused_step
from gitml.errors import InputError, RemoteError
from gitml.git.revisions import IdentQuery, branch_name
from gitml.git.worktree.snapshot import WorkTree
from gitml.store.local.locks import Locks
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from gitml.engine.execution.attempts import Assignment


def new_run_id() -> str:
    """16 hex digits that no other run has."""
    return os.urandom(8).hex()


def run_pipeline(
    ws: Workspace,
    loaded: Loaded,
    request: RunRequest,
    emit: Emit,
    stop: StopSignal,
    run_id: str | None = None,
) -> Run:
    """Runs the wanted steps and returns the recorded Run; InputError, before anything ran, for blocked steps."""
    policy = policy_for(loaded, request.wanted, force=request.force, reuse=request.reuse)
    planner = Planner(ws, loaded, policy, request.jobs, request.on)
    started = ws.now()
    ws.records.prepare()
    ident = IdentQuery(ws.location)
    with stop.before_anything_runs():  # a remote store that is asked now may never answer
        plan = planner.plan(request.wanted)
    refuse_blocked(plan)
    if plan.runs_something():
        with stop.before_anything_runs():
            if consented(ws, plan):
                planner.refresh_environments()
                plan = planner.plan(request.wanted)
        refuse_blocked(plan)
        plan = planner.prepare(plan)
        refuse_blocked(plan)
    loaded = loaded._replace(graph=plan.graph)
    run = head_of(ws, loaded, request, ident, started, run_id)
    refuse_too_large(run, plan.graph.steps, list(plan.decisions))
    for warning in (*loaded.warnings, *plan.warnings):
        emit(Note("warning", warning))
    for wait in planner.targets.waits():
        emit(Note("note", wait))
    emit(RunStarted(run, tuple(plan.decisions)))
    if all(decision.kind == REUSE for decision in plan.decisions.values()):
        steps = [reused_step(name, decision) for name, decision in plan.decisions.items()]
        for step in steps:
            emit(StepFinished(step))
        run = run._replace(status="succeeded", ended=ws.now(), steps=tuple(steps))
        recorded = record_run(ws, run, loaded.config)
    else:
        from gitml.engine.execution.attempts import Assignment

        ws.records.close()
        run, recorded = _perform(Assignment(ws, loaded, planner, plan, run, request, emit, stop))
    ws.records.maintain()
    emit(RunFinished(run, recorded))
    return run


def _perform(task: Assignment) -> tuple[Run, str]:
    """Performs what the plan does not reuse; gives the finished Run and its record's commit."""
    from gitml.engine.journal.recovery import recover
    from gitml.transfer.remotes import using_store

    locks = task.ws.locks
    slot = Locks.slot_for(f"run:{task.run.id}")
    with using_store(task.ws):
        try:
            recover(task.ws)
            locks.try_lock(slot)
            return _performed(task)
        finally:
            locks.unlock(slot)


def _performed(task: Assignment) -> tuple[Run, str]:
    # only what performs steps needs these modules: a run from cache does without
    from gitml.engine.execution.scheduler import Scheduler
    from gitml.engine.journal.journal import Journal
    from gitml.redaction import redacted, register_secret, secret_in_file

    ws, targets = task.ws, task.planner.targets
    journal = Journal(ws, task.run, task.numbers)
    for path in targets.secret_files():  # steps of this machine can read them, and may write what is in them
        token = secret_in_file(os.path.expanduser(path))
        if token is not None:
            register_secret(token)
    executors = Executors(lambda target: targets.executor(target, task.run.id, journal.folder))
    scheduler = Scheduler(task, executors, journal)
    attempts = scheduler.attempts
    try:
        steps = scheduler.work()
        run = task.run._replace(
            status=scheduler.status(), ended=ws.now(), steps=tuple(steps), errors=scheduler.errors()
        )
        executors.dismiss()  # workers clear up while the record is written
        recorded = record_run(ws, run, task.loaded.config, attempts.actions, attempts.environments)
    except RemoteError as error:
        targets.abandon()
        # what was made is kept and recorded, so that the same command goes on from there
        steps = scheduler.abort(error.message)
        run = task.run._replace(status="failed", ended=ws.now(), steps=tuple(steps), error=redacted(error.message))
        record_run(ws, run, task.loaded.config, attempts.actions, attempts.environments)
        journal.close()
        raise
    finally:
        executors.close()
        scheduler.release()
    journal.close()
    return run, recorded


def consented(ws: Workspace, plan: Plan) -> bool:
    """Has this user let the repository's steps run, or raises TrustError; whether that is new, so that more can be looked at."""
    if ws.consent.may_run():
        ws.consent.need_run(())
        return False
    steps = plan.graph.steps
    ws.consent.need_run([(n, command_text(steps[n])) for n, d in plan.decisions.items() if d.kind in (RUN, UNKNOWN)])
    return True


def command_text(step: GraphStep) -> str:
    """The command line of a step in one line, for a person to judge: a script with its values in place and ``↵`` for each end
    of a line, since what follows a comment is none."""
    import re
    import shlex

    if step.shell is None:
        return shlex.join(step.argv)
    script, *values = step.argv

    def value(found: re.Match[str]) -> str:
        number = int(found[1])
        return shlex.quote(values[number]) if number < len(values) else found[0]

    script = re.sub(rf'"?\$\{{{VARIABLE}([0-9]{{1,6}})\}}"?', value, script)
    lines = [line.strip() for line in script.splitlines() if line.strip()]
    return f"{step.shell}: {' ↵ '.join(lines)}"


def head_of(
    ws: Workspace, loaded: Loaded, request: RunRequest, ident: IdentQuery, started: float, run_id: str | None = None
) -> Run:
    """The Run as it begins, its commit written."""
    graph = loaded.graph
    commit, dirty, base = seal(loaded)
    branch = branch_name(ws.location) if isinstance(loaded.source, WorkTree) else request.branch
    by = ident.answer()
    if request.origin is not None:
        by, dirty, base, branch = request.origin
    return Run(
        id=run_id or new_run_id(),
        pipeline=graph.pipeline,
        path=graph.path,
        experiment=request.experiment or graph.experiment,
        status="running",
        commit=commit,
        started=started,
        ended=started,
        by=by,
        host=os.uname().nodename,
        version=__version__,
        dirty=dirty,
        base=base,
        branch=branch,
        message=request.message,
        tags=request.tags,
        params=graph.params,
        selected=tuple(request.wanted),
        options=_options(request),
        modules=loaded.modules,
        plots=graph.plots,
    )


def refuse_blocked(plan: Plan) -> None:
    """InputError naming every blocked step of the plan."""
    blocked = plan.blocked()
    if not blocked:
        return
    (name, decision), *others = blocked.items()
    also = f" (also blocked: {', '.join(n for n, _ in others)})" if others else ""
    raise InputError(f"step {name!r} can't run: {decision.reason}{also}", hint=decision.hint)


def seal(loaded: Loaded) -> tuple[str, bool, str | None]:
    """(commit, dirty, base): the commit that holds exactly what the plan read."""
    if isinstance(loaded.source, WorkTree):
        return loaded.source.snapshot()
    return loaded.source.commit, False, None


def _options(request: RunRequest) -> dict[str, bool | str]:
    options: dict[str, bool | str] = {
        "force": request.force,
        "no_reuse": not request.reuse,
        "keep_going": request.keep_going,
        "allow_disabled": request.allow_disabled,
    }
    if request.on:
        options["on"] = request.on
    return {name: value for name, value in options.items() if value}

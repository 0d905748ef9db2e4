"""`gitml module run`: one module alone, as a step of a pipeline would run it, without a record."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from gitml import layout
from gitml.cli.errors import DONE, FAILED
from gitml.cli.options import secret_option
from gitml.cli.pipeline_arguments import parse_assignments, prompt_secret
from gitml.cli.session import ALWAYS, Session, verb
from gitml.cli.text.format import columns, duration, number
from gitml.cli.text.terminal import safe, safe_line
from gitml.errors import InputError

if TYPE_CHECKING:
    from gitml.core.model.environment import Environment
    from gitml.core.model.graph import GraphStep
    from gitml.core.model.protocols import TaskFinished
    from gitml.core.planner.plan import Decision
    from gitml.engine.planning.load import Loaded
    from gitml.workspace import Workspace


@verb("run", json=True, reaches=ALWAYS)
@click.argument("folder", metavar="DIR")
@click.option("-I", "--input", "inputs", metavar="PORT=PATH", multiple=True, help="Bind an input; may be repeated.")
@click.option("-S", "--set", "given", metavar="NAME=VALUE", multiple=True, help="Give a parameter; may be repeated.")
@secret_option
@click.option(
    "--out", metavar="DEST", help="The folder for the outputs; default: NAME-out. What it has of them is replaced."
)
def run(
    session: Session,
    folder: str,
    inputs: tuple[str, ...],
    given: tuple[str, ...],
    secrets: tuple[str, ...],
    out: str | None,
) -> int:
    """Try the module in DIR alone, as it lies there: in a sandbox, with files from anywhere as its inputs.

    Nothing is recorded and nothing is reused.
    """
    ws = session.ws
    loaded = _load(ws, folder, dict(parse_assignments(inputs)), parse_assignments(given), secrets)
    (step,) = loaded.graph.steps.values()
    from gitml.engine.run import command_text

    ws.consent.need_run([(step.name, command_text(step))])
    decision, environment = _decide(ws, loaded, step)
    finished = _perform(session, ws, loaded, step, decision, environment)
    from gitml.engine.execution.failed_attempt import Failed
    from gitml.engine.execution.failure_hints import hint_for

    error = finished.error
    if error is not None and not session.json:
        hint = finished.hint
        if hint is None and decision.action is not None:
            hint = hint_for(loaded.source, Failed(step, decision.action, finished.missing))
        session.note(f"{safe(step.name)} {finished.outcome}: {safe(error)}" + (f" ({safe(hint)})" if hint else ""))
    destination = out or f"{step.name.rpartition('/')[2]}-out"
    written = _write(session, ws, step, finished, destination) if finished.outcome == "done" else {}
    _show(session, finished, written)
    if finished.outcome == "cancelled":
        return 130
    return DONE if finished.outcome == "done" else FAILED


def _load(
    ws: Workspace, folder: str, inputs: dict[str, str], given: list[tuple[str, str]], secrets: Sequence[str]
) -> Loaded:
    """A pipeline of one step that uses the module."""
    from gitml.core.language.expand import build_graph
    from gitml.core.language.expression import Ref
    from gitml.core.language.module_expansion import with_modules
    from gitml.core.language.params import bind_params
    from gitml.core.language.spec import Pipeline, ResolvedModule, Step, StepInput, Use
    from gitml.core.language.yaml_document import FIRST
    from gitml.core.model.graph import header_of
    from gitml.engine.planning.load import Loaded, read_config
    from gitml.engine.planning.secret_values import ask_for, seals_of
    from gitml.git.objects.source import CommitSource
    from gitml.modules.folder import prepare_tryout
    from gitml.modules.spec import FILE

    worktree = ws.worktree()
    try:
        laid = prepare_tryout(ws.location, ws.objects, worktree, folder, inputs)
        config = read_config(ws, worktree)
    finally:
        worktree.close()
    name = laid.spec.name
    ask_for(ws, laid.spec.params, secrets, prompt_secret)
    values = bind_params(laid.spec.params, given, seals_of(ws, laid.spec.params))
    secret = {param: declared for param, declared in laid.spec.params.items() if declared.secret}
    params = tuple((param, (Ref("params", param),) if param in secret else value) for param, value in values.items())
    use = Use(name, tuple((port, (Ref("inputs", port),)) for port in inputs), params)
    places = {port: StepInput(port, (place,)) for port, place in laid.inputs.items()}
    step = Step(name=name, place=FIRST, words=(), use=use)
    pipeline = Pipeline(name=name, path=os.path.join(folder, FILE), params=secret, inputs=places, steps={name: step})
    pipeline = with_modules(pipeline, {name: laid.spec})
    graph = build_graph(
        pipeline, {param: values[param] for param in secret}, {name: ResolvedModule(laid.content, laid.spec)}
    )
    return Loaded(graph, header_of(pipeline), config, CommitSource(ws.objects, laid.commit))


def _decide(ws: Workspace, loaded: Loaded, step: GraphStep) -> tuple[Decision, Environment]:
    from gitml.core.planner.plan import BLOCKED, Policy
    from gitml.engine.planning.planner import Planner

    planner = Planner(ws, loaded, Policy(reuse=False))
    decision = planner.decide(step, {})
    if decision.kind == BLOCKED or decision.action is None:
        raise InputError(f"it can't run: {decision.reason}", where=step.name, hint=decision.hint)
    return decision, planner.builder.by_digest[decision.action.environment]


def _perform(
    session: Session, ws: Workspace, loaded: Loaded, step: GraphStep, decision: Decision, environment: Environment
) -> TaskFinished:
    from gitml.cli.interrupts import InterruptHandler
    from gitml.core.model.protocols import Task, TaskFinished
    from gitml.engine.execution.local_kind import local_capacity, make_executor
    from gitml.engine.planning.secret_values import values_for
    from gitml.execute.sandbox.removal import remove_tree
    from gitml.transfer.remotes import using_store

    capacity = local_capacity(ws, loaded.config.local, 1)
    missing = step.settings.resources.missing_from(capacity)
    if missing:
        raise InputError(
            f"it asks for {missing}", where=step.name, hint="request less, or declare more in targets.local"
        )
    assert decision.action is not None
    scratch = os.path.join(ws.root, layout.TMP, f"try-{os.getpid()}-{time.monotonic_ns()}")
    log = os.path.join(scratch, "log")
    shown = 0
    with using_store(ws), InterruptHandler(quiet=session.quiet) as handler:
        os.makedirs(scratch)
        executor = make_executor(ws, capacity, scratch, 1)
        try:
            how = step.settings
            said = ("try", decision.action, environment, how.resources, how.timeout, how.strict, log)
            executor.submit(Task(*said, network=how.network, secrets=values_for(ws, step.secrets)))
            selection = 0
            while True:
                for event in executor.wait(0.1):
                    if isinstance(event, TaskFinished):
                        _print_log(session, log, shown)
                        return event
                shown = _print_log(session, log, shown)
                if handler.stop.level > selection:
                    selection = handler.stop.level
                    executor.cancel("try", now=selection > 1)
        finally:
            executor.close()
            remove_tree(scratch)


def _print_log(session: Session, path: str, shown: int) -> int:
    """What the module wrote since `shown` bytes, to stderr in whole lines; how many bytes were shown now."""
    try:
        with open(path, "rb") as file:
            file.seek(shown)
            new = file.read()
    except FileNotFoundError:
        return shown
    whole = new[: new.rfind(b"\n") + 1]
    if whole:
        session.note(*[safe_line(line) for line in whole.decode("utf-8", "surrogateescape").splitlines()])
    return shown + len(whole)


def _write(
    session: Session, ws: Workspace, step: GraphStep, finished: TaskFinished, destination: str
) -> dict[str, str]:
    """The outputs as files of the user's own: port -> path."""
    from gitml.core.records.record import Run, StepRun
    from gitml.history.files.checkout import checkout
    from gitml.history.files.selector import SelectedOutput, Selection

    made = StepRun(step.name, "executed", "", 0.0, outputs=finished.outputs)
    run = Run("0" * 16, step.name, "", step.name, "succeeded", "", 0.0, 0.0, "", "", "", steps=(made,))
    written = {}
    notes: dict[str, None] = {}
    for ref in finished.outputs:
        mount = next(output.mount for output in step.outputs if output.name == ref.name)
        place = os.path.join(destination, os.path.basename(mount))
        chosen = Selection(run, (SelectedOutput(run, made, ref, mount),), step.name, ref.name)
        (done,) = checkout(ws, chosen, place, force=True)
        written[ref.name] = os.path.relpath(done.path)
        notes |= dict.fromkeys(done.notes)
    session.warn(*map(safe, notes))
    return written


def _show(session: Session, finished: TaskFinished, written: dict[str, str]) -> None:
    data = {
        "outcome": finished.outcome,
        "seconds": round(finished.cost.wall, 6),
        "exit_code": finished.exit_code,
        "error": finished.error,
        "outputs": written,
        "metrics": dict(finished.metrics),
        **({"labels": dict(finished.labels)} if finished.labels else {}),
    }
    rows = [[safe(port), safe(path)] for port, path in written.items()]
    rows += [[safe(name), number(value)] for name, value in finished.metrics.items()]
    rows += [[safe(name), safe(text)] for name, text in finished.labels.items()]
    session.result(data, *columns(rows))
    if finished.outcome == "done":
        session.remark(f"done in {duration(finished.cost.wall)}")

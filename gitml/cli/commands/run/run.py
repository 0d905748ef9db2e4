"""`gitml run`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from gitml.cli.errors import DONE, FAILED, exit_code_of
from gitml.cli.options import bundle, on_option
from gitml.cli.pipeline_arguments import (
    PipelineArguments,
    SelectedSteps,
    check_run_options,
    load_for_run,
    pipeline_arguments,
    run_options,
)
from gitml.cli.session import ALWAYS, Session, verb
from gitml.errors import InputError

if TYPE_CHECKING:
    from gitml.core.planner.plan import Plan
    from gitml.core.records.record import Run
    from gitml.engine.planning.load import Loaded
    from gitml.engine.planning.request import RunRequest
    from gitml.history.files.selector import Selection


_LATER = "without --detach, or afterwards: gitml checkout RUN"


class RunMode(NamedTuple):
    """Whether a run is only shown, goes on in the background, and what its id is to be."""

    dry_run: bool
    exit_code: bool
    detach: bool
    run_id: str | None


run_mode = bundle(
    "mode",
    RunMode,
    click.option("-n", "--dry-run", is_flag=True, help="Show what each step would do, and do nothing."),
    click.option("--exit-code", is_flag=True, help="With -n: exit with 1 when something would run."),
    click.option("--detach", is_flag=True, help="Run in the background and print the run's id."),
    click.option("--run-id", hidden=True),
)


@verb("run", json=True, reaches=ALWAYS)
@pipeline_arguments
@on_option
@run_mode
@click.option("--watch", is_flag=True, help="Then wait for changes of files that the steps use, and run what changed.")
@click.option(
    "--checkout", is_flag=True, help="Then put the outputs that have a path into the work tree, over no changes."
)
@run_options
def command(
    session: Session,
    wanted: PipelineArguments,
    on: str | None,
    mode: RunMode,
    watch: bool,
    checkout: bool,
    request: RunRequest,
) -> int:
    """Run a pipeline, or the steps of it that are named and all they need.

    Works on the files as they are, uncommitted changes included, or on any commit with --at. Every step whose
    command, parameters, code, inputs and environment were run before is reused.
    """
    request = request._replace(on=on)
    check_run_options(wanted.given, request)
    if checkout and mode.detach:
        raise InputError("a run in the background can't report what is in the way", where="--checkout", hint=_LATER)

    def load() -> SelectedSteps:
        selection = load_for_run(session, wanted, request)
        if checkout:
            from gitml.git.worktree.snapshot import WorkTree
            from gitml.history.files.run_checkout import refuse_checkout

            loaded = selection.loaded
            commit = None if isinstance(loaded.source, WorkTree) else loaded.source.commit
            refuse_checkout(session.ws, loaded.graph, commit)
        return selection

    if watch:
        return _watch(session, wanted, mode, request, load, checkout=checkout)
    return carry_out(session, "run", mode, request, wanted.secrets, load, checkout=checkout)


def _watch(
    session: Session,
    wanted: PipelineArguments,
    mode: RunMode,
    request: RunRequest,
    load: Callable[[], SelectedSteps],
    *,
    checkout: bool,
) -> int:
    if mode.dry_run or mode.detach or wanted.rev is not None:
        option = "-n" if mode.dry_run else "--detach" if mode.detach else "--at"
        raise InputError(f"it runs the files as they change, without {option}", where="--watch")
    if session.ws.location.worktree is None:
        raise InputError("a bare repository has no work tree", where="--watch")
    from gitml.cli.watch_loop import watch

    def perform(selection: SelectedSteps, request: RunRequest) -> int:
        return _perform(session, selection, request, None, checkout)

    def show_reused(selection: SelectedSteps, plan: Plan) -> None:
        if checkout:
            from gitml.history.files.run_checkout import expected_outputs

            known = {name: one.result.outputs if one.result else () for name, one in plan.decisions.items()}
            _write(session, expected_outputs(plan.graph, known))

    return watch(session, request, load, perform, show_reused)


def carry_out(
    session: Session,
    name: str,
    mode: RunMode,
    request: RunRequest,
    secrets: Sequence[str],
    load: Callable[[], SelectedSteps],
    *,
    checkout: bool = False,
) -> int:
    """Runs what `load` gives, or shows what that would do, as the options of the command `name` say; the exit code.

    With `checkout` the outputs of a run that succeeded are put into the work tree.
    """
    if mode.exit_code and not mode.dry_run:
        raise InputError("it is for a dry run", where="--exit-code", hint="add -n, or ask: gitml plan --exit-code")
    if mode.detach and not mode.dry_run:
        if secrets:
            load()  # what it asks for the other process finds in its environment
            session.ws.leave()
        if not session.ws.consent.may_run():  # in the background nobody can be asked
            from gitml.analysis.named_places import steps_of

            session.ws.consent.need_run(steps_of(session.ws))
        return _detach(session, name)
    session.read_only = mode.dry_run
    selection = load()
    if mode.dry_run:
        from gitml.cli.commands.run.plan import show_plan

        reuse = request.reuse
        plan = show_plan(session, selection, force=request.force, reuse=reuse, on=request.on, checkout=checkout)
        return FAILED if mode.exit_code and plan.runs_something() else DONE
    if mode.run_id is not None and (len(mode.run_id) != 16 or set(mode.run_id) - set("0123456789abcdef")):
        raise InputError("not a run id", where="--run-id")
    return _perform(session, selection, request, mode.run_id, checkout)


def _perform(
    session: Session, selection: SelectedSteps, request: RunRequest, run_id: str | None, checkout: bool
) -> int:
    from gitml.cli.interrupts import InterruptHandler
    from gitml.cli.reporters.reporter import reporter_for
    from gitml.engine.run import run_pipeline

    request = request._replace(wanted=selection.wanted)
    with InterruptHandler(quiet=session.quiet) as handler, reporter_for(session) as emit:
        run = run_pipeline(session.ws, selection.loaded, request, emit, handler.stop, run_id)
    from gitml.core.records.record import run_as_json

    shown = run_as_json(run) if session.json else {}
    try:
        if checkout and run.status == "succeeded":
            shown["checkout"] = _check_out(session, selection.loaded, run)
    finally:
        if session.json:
            session.show_json(shown)
    return exit_code_of(run.status, hindered=run.is_hindered(), cancelled=handler.exit_code)


def _check_out(session: Session, loaded: Loaded, run: Run) -> list[dict[str, Any]]:
    """Puts the outputs of a run into the work tree; as ``--json`` shows that."""
    from gitml.engine.planning.dynamic_lists import grown_by, results_of
    from gitml.history.files.run_checkout import placed_outputs

    graph = grown_by(session.ws, loaded, results_of(run))
    return _write(session, placed_outputs(graph, run))


def _write(session: Session, selection: Selection) -> list[dict[str, Any]]:
    from gitml.cli.commands.history.checkout import show_written
    from gitml.cli.transfers import fetch_outputs
    from gitml.history.files.checkout import as_json, checkout

    if not selection.outputs:
        return []
    absence = fetch_outputs(session, [output.ref for output in selection.outputs])
    written = checkout(session.ws, selection, None, absence=absence or "is not here any more", over_committed=True)
    show_written(session, written)
    return [as_json(item) for item in written]


def _detach(session: Session, name: str) -> int:
    """Starts the same command `name` in a session of its own, waits until the run goes on or has ended, and prints its id.

    What it prints before the run begins is passed on.
    """
    from gitml.engine.detached import start_detached

    ws = session.ws
    arguments = [word for word in sys.argv[1:] if word not in ("--detach", "--json")]
    place = arguments.index(name)
    before, words = _without_directory(arguments[:place]), _without_directory(arguments[place + 1 :])
    started = start_detached(ws, before, words, verb=name)
    run_id = started.run_id
    if started.code:
        sys.stderr.buffer.write(started.said)
        if started.was_refused(ws):
            return started.code if started.code > 0 else 128 - started.code
    session.result({"run": run_id}, run_id)
    session.note(f"follow it: gitml logs {run_id[:8]} -f", f"stop it:   gitml cancel {run_id[:8]}")
    return DONE


def _without_directory(words: list[str]) -> list[str]:
    """Without ``-C DIR``: this process is in DIR already."""
    kept: list[str] = []
    skip = False
    for number, word in enumerate(words):
        if word == "--":
            return kept + words[number:]
        if skip:
            skip = False
        elif word == "-C":
            skip = True
        elif not (word.startswith("-C") and len(word) > 2):
            kept.append(word)
    return kept

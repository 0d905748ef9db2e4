"""A program at the terminal in the sandbox of a step, as the step would run now, as it was in a run, or as it failed there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from gitml import layout
from gitml.core.config.project import LOCAL
from gitml.core.model.graph import Graph
from gitml.core.model.protocols import Task
from gitml.core.model.result import OutputRef
from gitml.core.model.step_settings import ALONE
from gitml.core.planner.directory_part import OutputPart
from gitml.core.planner.plan import BLOCKED, REUSE, Decision, Plan
from gitml.core.records.record import Run
from gitml.engine.execution.local_kind import worker_services
from gitml.engine.planning.load import Loaded
from gitml.engine.planning.planner import Planner, policy_for
from gitml.engine.planning.secret_values import values_for
from gitml.engine.run import consented
from gitml.errors import InputError
from gitml.execute.sandbox.removal import remove_tree
from gitml.execute.terminal_session import TerminalRequest, attend_terminal
from gitml.history.files import contents
from gitml.history.files.destination import write_file, write_tree
from gitml.workspace import Workspace

_ATTEMPT = "shell"

CalledFor = Callable[[str], str]


class StepShell(NamedTuple):
    """What is ready to be opened. `lacking` are inputs that only a remote store has, `left` what a failed attempt left by place,
    `notes` what a person should know before."""

    task: Task
    lacking: tuple[OutputRef | OutputPart, ...]
    left: tuple[tuple[str, OutputRef], ...]
    notes: tuple[str, ...]


def prepare_shell(
    ws: Workspace, loaded: Loaded, text: str, run: Run | None = None, called: CalledFor = str
) -> StepShell:
    """What the sandbox of a step is made of, as the files are or as it was in `run`, without members that this went on without.

    `called` gives the command that opens another step in the same way. InputError for no step, for several combinations, for a
    step of another machine, and where a step before it is to run first.
    """
    name = _step_named(loaded.graph, text, called)
    step = loaded.graph.steps[name]
    target = step.settings.target or LOCAL
    if target != LOCAL:
        raise InputError(f"step {name!r} runs on target {target}", hint="a shell opens on this machine only")
    planner = Planner(ws, loaded, policy_for(loaded, (text,), force=True, reuse=True))
    planner.missing = frozenset() if run is None else run.borne() - {text}
    plan = planner.plan((text,))
    name = _step_named(plan.graph, text, called)
    step = plan.graph.steps[name]
    _refuse_unknown(plan, name, planner.missing)
    if consented(ws, plan):
        planner.refresh_environments()
        plan = planner.plan((text,))
        _refuse_unknown(plan, name, planner.missing)
    decision = plan.decisions[name]
    results = {other: one.result for other, one in plan.decisions.items()}
    lacking = planner.lacking(step, decision, results)
    action, notes = decision.action, list(plan.warnings)
    assert action is not None
    made = None if run is None else run.step(name)
    recorded = ws.index.action(made.key) if made is not None and made.key is not None else None
    if recorded is not None and recorded != action:
        if recorded.environment in planner.builder.by_digest:
            action = recorded
        else:
            notes.append(f"the environment of step {name!r} is another one than in the run")
    left = []
    mounts = {output.name: output.mount for output in action.outputs}
    for ref in made.partial().values() if made is not None and made.outcome not in ("executed", "reused") else ():
        if not contents.is_here(ws, ref.digest, ref.size, tree=ref.is_tree):
            notes.append(f"what it left of output {ref.name!r} is not stored here any more")
        elif ref.name in mounts:
            left.append((mounts[ref.name], ref))
    step = planner.builder.placed(step)
    if step.settings.gang != ALONE:
        notes.append(f"step {name!r} runs as several processes; here its command is the only one, rank 0 of 1")
    how = step.settings
    environment = planner.builder.by_digest[action.environment]
    said = (_ATTEMPT, action, environment, how.resources, None, how.strict, os.devnull)
    secrets = values_for(ws, action.secrets) if action.secrets else {}
    caches_of = ws.caches_name if how.caches else ""
    task = Task(*said, network=how.network, secrets=secrets, caches=how.caches, caches_of=caches_of)
    return StepShell(task, tuple(lacking), tuple(left), tuple(notes))


def open_shell(ws: Workspace, ready: StepShell, argv: Sequence[str]) -> int:
    """Opens it with `argv` (empty: the user's shell) once what it lacks is here; the exit status. Nothing of it is kept."""
    from gitml.transfer.remotes import using_store

    scratch = os.path.join(ws.root, layout.TMP, f"shell-{os.getpid()}-{time.monotonic_ns()}")
    with using_store(ws):
        os.makedirs(scratch)
        try:
            left = _written(ws, ready, os.path.join(scratch, "left"))
            known, environments = ws.machine_facts.known, ws.environments_folder()
            request = TerminalRequest(ready.task, tuple(argv), left)
            return attend_terminal(request, scratch, lambda: worker_services(ws, known, environments), ws.environ)
        finally:
            remove_tree(scratch)


def _step_named(graph: Graph, text: str, called: CalledFor) -> str:
    """The one step of that name."""
    steps = graph.steps
    if text in steps:
        return text
    found = [step.name for step in steps.values() if step.base == text]
    if len(found) > 1:
        shown = ", ".join(found[:5]) + (" …" if len(found) > 5 else "")
        raise InputError(
            f"step {text!r} has several combinations: {shown}", hint=f"name one of them: {called(found[0])}"
        )
    if not found and text in graph.dynamic:
        raise InputError(f"step {text!r} has no combination: {' and '.join(map(str, graph.dynamic[text]))} is empty")
    return found[0] if found else graph.select((text,))[-1]  # which says what there is


def _refuse_unknown(plan: Plan, name: str, missing: Collection[str]) -> None:
    """InputError where the step can't run, or one before it, which is not `missing` as it is, has to run first."""
    decision: Decision = plan.decisions[name]
    first = [other for other, one in plan.decisions.items() if one.kind != REUSE and other not in (name, *missing)]
    if first:
        shown = ", ".join(first[:3]) + (" …" if len(first) > 3 else "")
        reason = plan.decisions[first[0]].reason
        raise InputError(
            f"what step {name!r} needs of {shown} is not known: {reason}",
            hint=f"gitml run {plan.graph.pipeline} {first[-1]}, with the same options",
        )
    if decision.kind == BLOCKED or decision.action is None:
        raise InputError(f"step {name!r} can't run: {decision.reason}", hint=decision.hint)


def _written(ws: Workspace, ready: StepShell, folder: str) -> dict[str, str]:
    """Copies of what a failed attempt left, in a folder: mount -> path."""
    if not ready.left:
        return {}
    os.mkdir(folder)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number, (_, ref) in enumerate(ready.left):
            if ref.is_tree:
                write_tree(ws, ref.digest, fd, str(number))
            else:
                write_file(ws, ref.digest, fd, str(number), executable=ref.executable)
    finally:
        os.close(fd)
    return {mount: f"{folder}/{number}" for number, (mount, _) in enumerate(ready.left)}

"""The table of executor kinds, and the targets that one plan or run uses.

A new kind is a module with an `ExecutorKind`, one line in `EXECUTOR_KINDS`, and one in `core.config.parse` for its options.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from gitml.core.config.places import Place
from gitml.core.config.project import LOCAL, TARGET_PARSERS, Config, Target
from gitml.core.model.digest import Digest
from gitml.core.model.graph import Graph, GraphStep
from gitml.core.model.protocols import Capabilities, Executor, Task, TaskEvent, TaskFinished
from gitml.core.model.resources import Resources
from gitml.engine.execution.executor_kind import ExecutorKind, TargetSession, TargetState
from gitml.engine.execution.local_kind import LocalKind
from gitml.engine.execution.ray_kind import RayKind
from gitml.errors import InputError
from gitml.workspace import Workspace

EXECUTOR_KINDS: dict[str, ExecutorKind] = {LOCAL: LocalKind(), "ray": RayKind()}


def register(kind: ExecutorKind) -> None:
    """Adds a kind, whose name selects it in targets that are parsed from now on."""
    EXECUTOR_KINDS[kind.name] = kind
    TARGET_PARSERS[kind.name] = kind.parse


def place_of_target(target: Target) -> Place | None:
    """What a person must allow before a target is used; None where it names nothing outside this machine."""
    return EXECUTOR_KINDS[target.kind].place(target)


def target_states(ws: Workspace, config: Config, names: Sequence[str] = ()) -> Iterator[TargetState]:
    """The state of the named targets, of all when none is named, one after another as they answer; InputError for no target."""
    for name in names or (LOCAL, *config.targets):
        target = config.target(name)
        yield EXECUTOR_KINDS[target.kind].state(ws, target)


def target_name(step: GraphStep, on: str | None) -> str:
    """The name of the target of a step; `on` is that of the command line, which has the last word."""
    return on or step.settings.target or LOCAL


def targets_of(graph: Graph, names: Iterable[str], on: str | None, config: Config) -> dict[str, Target]:
    """The target of each named step; InputError for one that `gitml.yaml` does not know."""
    found: dict[str, Target] = {}
    places = {}
    for name in names:
        step = graph.steps[name]
        target = target_name(step, on)
        if target not in found:
            try:
                found[target] = config.target(target)
            except InputError as error:
                where = error.where if on else f"step {step.base!r} of {graph.path}"
                raise InputError(error.message, where=where, hint=error.hint) from None
        places[name] = found[target]
    return places


class RunTargets:
    """The targets of one plan or run, with a session for each kind among them, opened when it is first asked.

    `jobs` is the most steps at once on this machine; `sessions` has those, by kind, that are used in place of the kinds' own.
    """

    def __init__(
        self,
        ws: Workspace,
        config: Config,
        jobs: int | None = None,
        on: str | None = None,
        sessions: Mapping[str, TargetSession] | None = None,
    ) -> None:
        self.config = config
        self.on = on
        self._ws = ws
        self._jobs = jobs
        self._sessions: dict[str, TargetSession] = dict(sessions or {})

    def of(self, step: GraphStep) -> tuple[Target, TargetSession]:
        """The target that a step runs on, and the session of its kind."""
        target = self.config.target(target_name(step, self.on))
        return target, self.session(target)

    def session(self, target: Target) -> TargetSession:
        """The session of the target's kind."""
        session = self._sessions.get(target.kind)
        if session is None:
            session = self._sessions[target.kind] = EXECUTOR_KINDS[target.kind].session(self._ws, self._jobs)
        return session

    def executor(self, name: str, run: str, folder: str) -> Executor:
        """A new executor for the steps of a run on the target of that name; `folder` is the live folder of the run."""
        target = self.config.target(name)
        return self.session(target).executor(target, run, folder)

    def waits(self) -> list[str]:
        """What steps wait for before they can begin, for people."""
        return [wait for session in self._sessions.values() for wait in session.waits]

    def abandon(self) -> None:
        """A target is lost: no session takes leave of what does not answer any more."""
        for session in self._sessions.values():
            session.abandon()

    def secret_files(self) -> list[str]:
        """The files of all targets whose contents are masked wherever steps write them."""
        targets = self.config.targets.values()
        return [path for target in targets for path in EXECUTOR_KINDS[target.kind].secret_files(target)]


class Executors:
    """`make` starts the executor of a target. Attempts have names of their own in all of them."""

    def __init__(self, make: Callable[[str], Executor]) -> None:
        self._make = make
        self._made: dict[str, Executor] = {}
        self._of: dict[str, Executor] = {}  # by attempt

    def takes(self, target: str, resources: Resources, nodes: int = 1, environment: Digest | None = None) -> bool:
        """Whether the target has room for a step that asks for this, on each of so many machines."""
        return self._on(target).takes(resources, nodes, environment)

    def capabilities(self, target: str) -> Capabilities:
        """What the executor of the target can do."""
        return self._on(target).capabilities

    def submit(self, target: str, task: Task) -> None:
        """Starts a Task there."""
        executor = self._on(target)
        self._of[task.attempt] = executor
        executor.submit(task)

    def wait(self, timeout: float) -> Sequence[TaskEvent]:
        """What happened, waiting up to `timeout` seconds for the first of it."""
        used = list(self._made.values())  # also one without attempts: it hears of machines that come
        if len(used) == 1:
            return self._noted(used[0].wait(timeout))
        deadline = time.monotonic() + timeout
        while True:
            events = [event for executor in used for event in executor.wait(0.0)]
            left = deadline - time.monotonic()
            if events or left <= 0:
                return self._noted(events)
            poll = select.poll()
            for executor in used:
                for fd in executor.descriptors():
                    poll.register(fd, select.POLLIN)
            poll.poll(left * 1000)

    def cancel(self, attempt: str, *, now: bool) -> None:
        """Asks a Task to end."""
        self._of[attempt].cancel(attempt, now=now)

    def dismiss(self) -> None:
        """Says that nothing more will be asked."""
        for executor in self._made.values():
            executor.dismiss()

    def close(self) -> None:
        """Ends everything that still runs, everywhere."""
        try:
            while self._made:
                self._made.popitem()[1].close()
        except BaseException:
            self.close()
            raise

    def _on(self, target: str) -> Executor:
        if target not in self._made:
            self._made[target] = self._make(target)
        return self._made[target]

    def _noted(self, events: Sequence[TaskEvent]) -> Sequence[TaskEvent]:
        for event in events:
            if isinstance(event, TaskFinished):
                self._of.pop(event.attempt, None)
        return events

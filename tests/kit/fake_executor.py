"""FakeExecutor: the Executor protocol in virtual time, for tests of what schedules. Nothing runs; outputs are made up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from gitml.core.model.digest import Digest
from gitml.core.model.protocols import Capabilities, Store, Task, TaskEvent, TaskFinished, TaskStarted
from gitml.core.model.resources import Resources
from gitml.core.model.result import Cost, OutputRef


class Ending(NamedTuple):
    """How a Task ends: after `seconds`; with `content` in every output when ``done``; ``stubborn`` ends when killed only."""

    seconds: float = 1.0
    outcome: str = "done"
    content: bytes = b"made"
    bad_inputs: tuple[str, ...] = ()


class FakeExecutor:
    """`endings` tells how a Task ends by its first argument and how often that was submitted. `log` has what happened:
    ``+name`` submitted, ``-name`` ended, ``?name`` asked to end, ``!name`` killed."""

    capabilities = Capabilities(shares_machine=True)

    def __init__(
        self, store: Store, capacity: Resources, slots: int, endings: Callable[[str, int], Ending] | None = None
    ) -> None:
        self.store = store
        self.whole = capacity
        self.seats = slots
        self.endings = endings or (lambda name, number: Ending())
        self.log: list[str] = []
        self.time = 0.0
        self.running: dict[str, tuple[float, Task, Ending]] = {}
        self.times: dict[str, int] = {}
        self.closed = False
        self.most_at_once = 0
        self.before_wait: Callable[[], None] = lambda: None

    def takes(self, resources: Resources, nodes: int = 1, environment: Digest | None = None) -> bool:
        free = self.whole
        for _, other, _ in self.running.values():
            free = free.minus(other.resources)
        return len(self.running) < self.seats and resources.fits(free)

    def descriptors(self) -> Sequence[int]:
        return ()

    def submit(self, task: Task) -> None:
        name = name_of(task)
        free = self.whole
        for _, other, _ in self.running.values():
            free = free.minus(other.resources)
        assert len(self.running) < self.seats, "more tasks than slots"
        assert task.resources.fits(free), "more than there is"
        assert not self.closed
        self.log.append(f"+{name}")
        self.times[name] = self.times.get(name, 0) + 1
        ending = self.endings(name, self.times[name])
        self.running[task.attempt] = (self.time + ending.seconds, task, ending)
        self.most_at_once = max(self.most_at_once, len(self.running))

    def wait(self, timeout: float | None) -> Sequence[TaskEvent]:
        self.before_wait()
        if not self.running:
            return ()
        attempt = min(self.running, key=lambda name: (self.running[name][0], name))
        if self.running[attempt][2].outcome == "stubborn":
            return ()
        self.time, task, ending = self.running.pop(attempt)
        self.log.append(f"-{name_of(task)}")
        outputs: tuple[OutputRef, ...] = ()
        if ending.outcome == "done":
            digest = self.store.put(ending.content)
            outputs = tuple(OutputRef(o.name, "file", digest, len(ending.content)) for o in task.action.outputs)
        error = None if ending.outcome == "done" else f"{ending.outcome} as told"
        return (
            TaskStarted(attempt),
            TaskFinished(
                attempt,
                ending.outcome,
                0 if ending.outcome == "done" else 1,
                error,
                None,
                outputs,
                {},
                Cost(ending.seconds, ending.seconds, 1),
                None,
                ending.bad_inputs,  # type: ignore[arg-type]
            ),
        )

    def cancel(self, attempt: str, *, now: bool = False) -> None:
        if attempt in self.running:
            _, task, ending = self.running[attempt]
            self.log.append(f"{'!' if now else '?'}{name_of(task)}")
            if now or ending.outcome != "stubborn":
                self.running[attempt] = (self.time, task, Ending(0, "cancelled"))

    def dismiss(self) -> None:
        self.closed = True

    def close(self) -> None:
        self.closed = True


def name_of(task: Task) -> str:
    """What tests call a Task: the first word of its command."""
    return task.action.argv[0]

"""Attempts at a step: what the next one is made with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from gitml.core.model.events import StepPrepares
from gitml.core.model.protocols import Capabilities, Task, TaskFinished, TaskPrepares, TaskStarted
from gitml.core.model.result import Cost
from gitml.core.model.step_settings import USUAL
from gitml.engine.execution.attempts import Attempts, InputsMissing, StepEnded
from gitml.engine.planning.request import RunRequest
from tests.kit.execution import HOST, action_of


def attempts(submitted: list[Task]) -> Attempts:
    """Attempts that go nowhere but to `submitted`."""
    builder = SimpleNamespace(by_digest={HOST.digest: HOST}, placed=lambda step: step)
    planner = SimpleNamespace(target=lambda step: "c", requested=lambda step: None, builder=builder)
    ws: Any = SimpleNamespace(now=lambda: 1.0, environ={}, caches_name="c")
    journal: Any = SimpleNamespace(note_start=lambda *_: None, log_path=lambda name: f"/tmp/{name}")
    executors: Any = SimpleNamespace(
        submit=lambda target, task: submitted.append(task), capabilities=lambda target: Capabilities(elastic=True)
    )
    task: Any = SimpleNamespace(
        ws=ws,
        run=SimpleNamespace(id="run"),
        request=RunRequest(),
        planner=planner,
        loaded=SimpleNamespace(files=None),
        numbers={"s": 0},
        emit=lambda event: None,
    )
    return Attempts(task, executors, journal)


def test_a_step_that_lacked_what_was_then_made_anew_is_performed_as_it_was_decided_last() -> None:
    submitted: list[Task] = []
    made = attempts(submitted)
    step: Any = SimpleNamespace(name="s", settings=USUAL, notebook="", inputs=())

    def decided(content: str) -> Any:
        action = action_of(["true"], inputs=[("i", "i", "file", content)])
        return SimpleNamespace(action=action, key=f"key of {content}", reason="because")

    old, new = decided("sha256:old"), decided("sha256:new")
    made.start(step, old)
    lacked = TaskFinished("0-1", "failed", None, "it lacks", None, (), {}, Cost(), None, lacking=("sha256:old",))
    assert isinstance(made.handle(lacked, stopped=False), InputsMissing)
    made.start(step, new)
    assert [(task.attempt, task.action) for task in submitted] == [("0-1", old.action), ("0-2", new.action)]
    assert list(made.keys()) == [new.key]


def test_the_time_in_which_an_environment_is_built_is_told_and_is_no_time_of_the_step() -> None:
    submitted: list[Task] = []
    made = attempts(submitted)
    told: list[Any] = []
    clock = iter([100.0, 100.0, 101.0, 161.0, 163.0])  # begun, noted, building, started, ended
    index = SimpleNamespace(put_environment=lambda *_: None)
    made.ws = SimpleNamespace(now=lambda: next(clock), environ={}, index=index)  # type: ignore[assignment]
    made.emit = told.append
    step: Any = SimpleNamespace(name="s", settings=USUAL, notebook="", inputs=())
    made.start(step, SimpleNamespace(action=action_of(["true"]), key="k", reason="because"))  # type: ignore[arg-type]
    made.handle(TaskPrepares("0-1", "building the environment"), stopped=False)
    made.handle(TaskStarted("0-1"), stopped=False)
    ended = TaskFinished("0-1", "cancelled", None, "cancelled", None, (), {}, Cost(), None)
    found = made.handle(ended, stopped=True)
    assert isinstance(found, StepEnded)
    assert found.step.seconds == 3.0
    assert StepPrepares("s", "building the environment") in told

"""Sending attempts to machines: where each should run, what it takes along, and what Ray is told of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from gitml import __version__
from gitml.cluster.connect.machines import NODE_ID, Machine
from gitml.cluster.content.content_ids import roots_of, stored_name
from gitml.cluster.content.messages import AttemptRequest, encode_request
from gitml.cluster.content.source import INLINE_EACH
from gitml.cluster.driver.attempt import TaskAttempt
from gitml.cluster.driver.placement_group import RayPlacementGroup, ReservedBundle
from gitml.cluster.driver.session import Session
from gitml.cluster.worker.task_runner import perform
from gitml.core.model.protocols import Task
from gitml.core.model.result import OutputRef
from gitml.errors import MachineError, RemoteError
from gitml.execute.messages import encode_task

LARGE = 2**20  # bytes from which on an input says where a step should run


class RayCall:
    """A Ray task under way, as what it will give."""

    def __init__(self, ref: Any) -> None:
        self._ref = ref

    def cancel(self, *, force: bool) -> None:
        """Asks it to end; with `force` its process is killed."""
        import ray

        # not what it began: that is its call to the hub, and what it said with that would be lost
        ray.cancel(self._ref, force=force, recursive=False)


class Submitter:
    """Submits attempts of a session; `ended` is told, in the session's thread, of each that Ray is done with."""

    def __init__(self, session: Session, ended: Callable[[TaskAttempt, Any], None]) -> None:
        self._session = session
        self._ended = ended
        self._performers: dict[Any, Any] = {}

    def send(self, task: Task, before: TaskAttempt | None = None, reserved: ReservedBundle | None = None) -> None:
        """Submits a Task, in place of the attempt `before` if there was one.

        MachineError when all machines that could take it refuse it, RemoteError when they or its reserved place are lost.
        """
        session, node_pool = self._session, self._session.node_pool
        roots = roots_of(task.action)
        reserved = before.reserved if before is not None else reserved
        if reserved is not None:
            node_state = session.node_state(reserved.node)
        else:
            soon = before is None
            node_state = node_pool.place(task.resources, task.environment.digest, roots, session.sizes, soon=soon)
        waits = node_state is None and reserved is None and session.autoscaling.serves(task.resources)
        if node_state is None and reserved is not None:
            raise RemoteError("its machine was lost")
        if node_state is None and not waits:
            refused = node_pool.why_refused(task.resources, task.environment.digest)
            raise MachineError(refused) if refused else RemoteError("the machines that could take it were lost")
        holds = node_state.holds if node_state is not None else set()
        stored = self._stored(task)
        theirs = {stored_name(output.digest, tree=output.is_tree): output.size for output, _ in stored}
        roots = [root for root in roots if root not in theirs]
        inputs = session.source.select(roots, holds)
        session.sizes.update({name: size for name, size in theirs.items() if size >= LARGE})
        session.sizes.update({name: size for name, size in inputs.large.items() if size >= LARGE})
        machine = node_state.machine if node_state is not None else None
        performer = self._performer(task, machine) if reserved is None else self._performer_in(task, reserved)
        ref = performer.remote(encode_request(self._order(task, stored)), inputs.inline)
        if node_state is not None:
            attempt = TaskAttempt(
                task, RayCall(ref), node_state.machine.id, node_pool.take(node_state, task.resources), reserved
            )
            attempt.host = node_state.machine.name
        else:
            attempt = TaskAttempt(task, RayCall(ref), "", False)
            session.autoscaling.waiting[task.attempt] = task.resources
        if before is not None:
            attempt.continues(before)
        session.attempts[task.attempt] = attempt
        holds.update(inputs.inline)
        if not inputs.large and not inputs.unavailable:
            holds.update(roots)
        ref.future().add_done_callback(lambda future: session.event_queue.tell(lambda: self._ended(attempt, future)))

    def places(self, task: Task) -> RayPlacementGroup:
        """Asks Ray for the places that a Task of several nodes needs; each process gets a port, and there is one more."""
        nodes, processes = task.action.gang
        return RayPlacementGroup(f"gitml {task.attempt}", self._wish(task), nodes, processes + 1)

    def _wish(self, task: Task) -> dict[str, Any]:
        """What a Task asks of its machine, as the options of a Ray task."""
        node_pool = self._session.node_pool
        options = self._session.cluster.options(task.resources, node_pool.machines())
        refusing = node_pool.refusing(task.environment.digest)
        if refusing:
            selector = options.setdefault("label_selector", {})
            selector[NODE_ID] = f"!in({','.join(sorted(refusing))})"
        return options

    def _stored(self, task: Task) -> tuple[tuple[OutputRef, bool], ...]:
        """The inputs that the machine is to bring from a remote store: large ones, and those that are not here."""
        if not self._session.home.stores:
            return ()
        has = self._session.home.services.store.has
        held = [(output, has(output.digest, output.size, tree=output.is_tree)) for output in task.stored]
        return tuple([(output, home) for output, home in held if not home or output.size > INLINE_EACH])

    def _order(self, task: Task, stored: tuple[tuple[OutputRef, bool], ...]) -> AttemptRequest:
        session = self._session
        message = encode_task(task, None, with_environment=True)
        return AttemptRequest(
            __version__,
            session.run,
            task.attempt,
            session.place,
            session.grace,
            task.resources.gpus,
            session.hub_name,
            message,
            session.home.stores if stored else (),
            stored,
        )

    def _performer(self, task: Task, machine: Machine | None) -> Any:
        """The Ray function with a wish as its options. Ray prefers the machine chosen here, and takes another if that is full.

        Without a machine Ray chooses when there is one, and its autoscaler sees that one is lacking.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        node_pool, asked = self._session.node_pool, task.resources
        refusing = node_pool.refusing(task.environment.digest)
        labels, custom = tuple(asked.labels.items()), tuple(asked.custom.items())
        key = (asked.cpus, asked.gpus, asked.memory, labels, custom, machine and machine.id, refusing)
        if key not in self._performers:
            options = self._wish(task)
            if machine is not None and len(node_pool.nodes) > 1:
                options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(
                    machine.id, soft=True, _spill_on_unavailable=True
                )
            self._performers[key] = _remote().options(**options, **self._always())
        return self._performers[key]

    def _performer_in(self, task: Task, reserved: ReservedBundle) -> Any:
        """The Ray function in a place that is kept for it, which has all that is wished for."""
        options = self._wish(task)
        options.pop("label_selector", None)
        return _remote().options(**options, **self._always(), scheduling_strategy=reserved.strategy)

    def _always(self) -> dict[str, Any]:
        """What holds for each attempt; its name is for people who look at what runs on the cluster."""
        return {"max_retries": 0, "name": f"gitml run {self._session.run[:8]}"}


@cache
def _remote() -> Any:
    """`perform` as Ray knows it."""
    import ray

    return ray.remote(perform)

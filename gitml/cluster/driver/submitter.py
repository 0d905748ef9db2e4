"""Submits attempts to nodes (where each should run, what it takes along, what it asks of Ray) and delivers what they lack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from gitml import __version__
from gitml.cluster.connect.machines import NODE_ID
from gitml.cluster.content.content_ids import roots_of, stored_name
from gitml.cluster.content.messages import AttemptRequest
from gitml.cluster.content.source import INLINE_EACH, BlobSource
from gitml.cluster.driver.attempt import AttemptEvent, RayCall, ReservedBundle, TaskAttempt
from gitml.cluster.driver.driver_state import DriverState
from gitml.cluster.driver.gang import RayPlacementGroup
from gitml.cluster.driver.session import DriverSession
from gitml.cluster.worker.task_runner import perform
from gitml.core.model.protocols import Task
from gitml.core.model.resources import Machine
from gitml.core.model.result import OutputRef
from gitml.errors import GitmlError, MachineError, RemoteError
from gitml.execute.messages import encode, encode_task


class Submitter:
    """Submits attempts; `ended` is called, in the executor's thread, with each that Ray has ended and its result."""

    def __init__(self, session: DriverSession, state: DriverState, ended: Callable[[TaskAttempt, Any], None]) -> None:
        self._session = session
        self._state = state
        self._ended = ended
        self._source = BlobSource(session.own.services)
        self._functions: dict[Any, Any] = {}

    def submit(
        self, task: Task, before: TaskAttempt | None = None, reserved: ReservedBundle | None = None
    ) -> TaskAttempt:
        """Submits a Task, in place of the attempt `before` if there was one.

        MachineError when all nodes that could take it refuse it, RemoteError when they or its reserved bundle are lost.
        """
        state, pool = self._state, self._state.pool
        roots = roots_of(task.action)
        reserved = before.reserved if before is not None else reserved
        if reserved is not None:
            node = state.node(reserved.node)
        else:
            soon = before is None
            node = pool.select(task.resources, task.environment.digest, roots, soon=soon)
        if node is None and reserved is not None:
            raise RemoteError("its machine was lost")
        if node is None and not state.can_scale_up(task.resources):
            refused = pool.why_refused(task.resources, task.environment.digest)
            raise MachineError(refused) if refused else RemoteError("the machines that could take it were lost")
        stored = self._stored(task)
        fetched = {stored_name(output.digest, tree=output.is_tree): output.size for output, _ in stored}
        roots = [root for root in roots if root not in fetched]
        inputs = self._source.select(roots, node.holds if node is not None else set())
        pool.add_sizes(fetched)
        pool.add_sizes(inputs.large)
        machine = node.machine if node is not None else None
        ref = self._function(task, machine, reserved).remote(encode(self._request(task, stored)), inputs.inline)
        attempt = TaskAttempt(task, RayCall(ref), machine, reserved, before)
        if node is not None:
            attempt.ahead = pool.acquire(node, task.resources)
            whole = not inputs.large and not inputs.unavailable
            pool.add_contents(attempt.node, [*inputs.inline, *(roots if whole else ())])
        state.add(attempt)
        ref.future().add_done_callback(self._session.events.deferred(self._ended, attempt))
        return attempt

    def placement_group(self, task: Task) -> RayPlacementGroup:
        """Asks Ray for the nodes that a gang needs; each of its processes gets a port, and there is one more."""
        nodes, processes = task.action.gang
        return RayPlacementGroup(f"gitml {task.attempt}", self._options(task), nodes, processes + 1)

    def _stored(self, task: Task) -> tuple[tuple[OutputRef, bool], ...]:
        """The inputs that the node is to fetch from a remote store: large ones, and those that are not here."""
        if not self._session.own.stores:
            return ()
        has = self._session.own.services.store.has
        held = [(output, has(output.digest, output.size, tree=output.is_tree)) for output in task.stored]
        return tuple([(output, here) for output, here in held if not here or output.size > INLINE_EACH])

    def _request(self, task: Task, stored: tuple[tuple[OutputRef, bool], ...]) -> AttemptRequest:
        session = self._session
        return AttemptRequest(
            __version__,
            session.run,
            task.attempt,
            session.folder,
            session.grace,
            task.resources.gpus,
            session.hub.name,
            encode_task(task, with_environment=True),
            session.own.stores if stored else (),
            stored,
            session.own.image_stores if "image" in task.environment.description else (),
        )

    def _options(self, task: Task) -> dict[str, Any]:
        """What a Task asks of its node and of Ray, as the options of a Ray task; the name is what people see on the cluster."""
        options = self._session.cluster.options(task.resources, self._state.pool.machines())
        options.update(max_retries=0, name=f"gitml run {self._session.run[:8]}")
        refusing = self._state.pool.refusing(task.environment.digest)
        if refusing:
            selector = options.setdefault("label_selector", {})
            selector[NODE_ID] = f"!in({','.join(sorted(refusing))})"
        return options

    def _function(self, task: Task, machine: Machine | None, reserved: ReservedBundle | None) -> Any:
        """The Ray function with the options of a Task: in a bundle that is reserved for it, and that has all it asks for.

        Else Ray prefers the machine chosen here, and takes another if that is full; without one it chooses when there is one, and
        its autoscaler sees that one is lacking.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        if reserved is not None:
            options = {**self._options(task), "scheduling_strategy": reserved.strategy}
            options.pop("label_selector", None)
            return _remote().options(**options)
        pool, asked = self._state.pool, task.resources
        labels, custom = tuple(asked.labels.items()), tuple(asked.custom.items())
        refusing = pool.refusing(task.environment.digest)
        key = (asked.cpus, asked.gpus, asked.memory, labels, custom, machine and machine.id, refusing)
        if key not in self._functions:
            options = self._options(task)
            if machine is not None and len(pool.nodes) > 1:
                options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(
                    machine.id, soft=True, _spill_on_unavailable=True
                )
            self._functions[key] = _remote().options(**options)
        return self._functions[key]


@cache
def _remote() -> Any:
    """`perform` as Ray knows it."""
    import ray

    return ray.remote(perform)


class ContentProvider:
    """Delivers what attempts report that they lack: small contents by the hub, large ones by transfers, each once to a node."""

    def __init__(self, session: DriverSession, state: DriverState) -> None:
        self._session = session
        self._state = state
        self._source = BlobSource(session.own.services)
        self._under_way: dict[tuple[str, str], set[str]] = {}  # (node, content) -> attempts that wait for it

    def provide(self, attempt: TaskAttempt, node: str, names: Sequence[str]) -> None:
        """Delivers `names` and all below them to the node on which `attempt` waits for them."""
        session, name = self._session, attempt.task.attempt
        self._state.pool.forget_contents(node)  # something there was evicted, or Ray chose another node
        try:
            inputs = self._source.select(names, set())
        except GitmlError as error:
            self._state.undelivered(attempt, error)
            return
        if inputs.inline:
            session.hub.send(name, "keep", inputs.inline)
        if inputs.unavailable:
            session.hub.send(name, "without", inputs.unavailable)
        for content, size in inputs.large.items():
            key = (node, content)
            if key in self._under_way:
                self._under_way[key].add(name)
                continue
            self._under_way[key] = {name}
            holders = [id for id in self._state.pool.holders(content) if id != node]
            session.transfers.upload(node, content, size, holders, session.events.deferred(self._delivered, key))

    def _delivered(self, key: tuple[str, str], error: GitmlError | None) -> None:
        node, content = key
        waiting = self._under_way.pop(key, set())
        if error is None:
            self._state.pool.add_contents(node, [content])
            return
        for name in waiting:
            attempt = self._state.attempts.get(name)
            if attempt is not None and attempt.node == node and not self._move(attempt, error):
                self._state.undelivered(attempt, error)

    def _move(self, attempt: TaskAttempt, error: GitmlError) -> bool:
        """Has an attempt end, to be submitted to another node, when its own has no room for an input; whether one may have."""
        pool, task = self._state.pool, attempt.task
        node = pool.nodes.get(attempt.node)
        if not isinstance(error, MachineError) or node is None or attempt.reserved is not None:
            return False
        pool.refuse(attempt.node, task.environment.digest, f"machine {node.machine.name}: {error.message}")
        if not pool.feasible(task.resources, task.environment.digest):
            return False
        self._state.handle(attempt, AttemptEvent.NO_ROOM)
        return True

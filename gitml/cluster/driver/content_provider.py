"""Providing machines with what their steps lack: small contents by the hub, large ones by the depots, each once to one place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gitml.cluster.driver.attempt import TaskAttempt
from gitml.cluster.driver.node_pool import NodeState
from gitml.cluster.driver.session import Session
from gitml.errors import GitmlError, MachineError


class ContentProvider:
    """Answers what attempts of a session say that they lack."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._under_way: dict[tuple[str, str], set[str]] = {}  # (machine, content) -> attempts that wait for it

    def provide(self, attempt: TaskAttempt, node: str, names: Sequence[str]) -> None:
        """Brings `names` and all below them to the machine `node`, which `attempt` waits on."""
        session, name = self._session, attempt.task.attempt
        node_state = session.node_pool.nodes.get(node)
        if node_state is not None:
            node_state.holds.clear()  # something there was evicted, or the step runs elsewhere than was thought
        try:
            inputs = session.source.select(names, set())
        except GitmlError as error:
            attempt.why = error
            session.cancel(attempt, now=True)
            return
        if inputs.inline:
            session.hub.send.remote(name, ("keep", inputs.inline))
        if inputs.unavailable:
            session.hub.send.remote(name, ("without", inputs.unavailable))
        for content, size in inputs.large.items():
            key = (node, content)
            if key in self._under_way:
                self._under_way[key].add(name)
                continue
            self._under_way[key] = {name}
            sources = [id for id, other in session.node_pool.nodes.items() if content in other.holds and id != node]
            session.transfers.upload(node, content, size, sources, self._bringing(key))

    def _bringing(self, key: tuple[str, str]) -> Callable[[GitmlError | None], None]:
        return lambda error: self._session.event_queue.tell(lambda: self._brought(key, error))

    def _brought(self, key: tuple[str, str], error: GitmlError | None) -> None:
        session, (node, content) = self._session, key
        waiting = self._under_way.pop(key, set())
        node_state = session.node_pool.nodes.get(node)
        if error is None:
            if node_state is not None:
                node_state.holds.add(content)
            return
        for name in waiting:
            attempt = session.attempts.get(name)
            if attempt is not None and attempt.node == node and not self._moves(attempt, node_state, error):
                attempt.why = error
                session.cancel(attempt, now=True)

    def _moves(self, attempt: TaskAttempt, node_state: NodeState | None, error: GitmlError) -> bool:
        """Has an attempt go elsewhere whose machine has no room for what it needs; whether it can."""
        session, task = self._session, attempt.task
        if not isinstance(error, MachineError) or node_state is None or attempt.reserved is not None:
            return False
        node_state.refuses[task.environment.digest] = f"machine {node_state.machine.name}: {error.message}"
        attempt.moves = bool(session.node_pool.feasible(task.resources, task.environment.digest))
        if attempt.moves:
            session.end(attempt, now=True)
        return attempt.moves

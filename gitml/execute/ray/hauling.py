"""Files of the head's disk on their way home, in pieces, never one whole in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from gitml.errors import IntegrityError, RemoteError
from gitml.execute.ray.cluster import Cluster

PIECE = 4 << 20
_AHEAD = 4  # pieces that are asked for before they are needed
_PATIENCE = 60.0


def haul(cluster: Cluster, node: str, paths: Sequence[str]) -> Iterator[tuple[int, bytes]]:
    """(number of the path, piece) of each file in order, a last empty piece each. IntegrityError for one that is gone.

    A task a piece, not one that streams: Ray's client knows no streams.
    """
    import ray

    cluster.join(from_outside=True)

    def read(path: str, offset: int, size: int) -> bytes:
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(size)

    task: Any = ray.remote(num_cpus=0, max_retries=2)(read).options(name="gitml collect", scheduling_strategy=_at(node))
    try:
        for number, path in enumerate(paths):
            coming: deque[Any] = deque()
            offset = 0
            while True:
                while len(coming) < _AHEAD:
                    coming.append(task.remote(path, offset, PIECE))
                    offset += PIECE
                piece = ray.get(coming.popleft(), timeout=_PATIENCE)
                yield number, piece
                if len(piece) < PIECE:
                    break
            if piece:
                yield number, b""
    except ray.exceptions.RayTaskError as error:
        raise IntegrityError("a result is no longer on the cluster", where=cluster.where) from error
    except ray.exceptions.RayError as error:
        raise RemoteError(f"fetching from the cluster failed: {type(error).__name__}", where=cluster.where) from error


def discard(cluster: Cluster, node: str, folder: str) -> None:
    """Removes a folder of the head's disk."""
    import ray

    cluster.join(from_outside=True)

    def remove(folder: str) -> None:
        import shutil

        shutil.rmtree(folder, ignore_errors=True)

    task = ray.remote(num_cpus=0, max_retries=0)(remove)
    try:
        ray.get(task.options(name="gitml fetch", scheduling_strategy=_at(node)).remote(folder), timeout=_PATIENCE)
    except ray.exceptions.RayError as error:
        raise RemoteError(f"tidying up on the cluster failed: {type(error).__name__}", where=cluster.where) from error


def _at(node: str) -> Any:
    """Where the machine of that host name is, the head where several have it; RemoteError when it is gone."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    found = [told for told in ray.nodes() if told["Alive"] and told["NodeManagerHostname"] == node]
    if not found:
        raise RemoteError(f"the machine {node} is no longer part of the cluster")
    head = next((told for told in found if "node:__internal_head__" in told["Resources"]), found[0])
    return NodeAffinitySchedulingStrategy(head["NodeID"], soft=False)

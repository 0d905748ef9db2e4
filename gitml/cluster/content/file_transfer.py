"""Files on their way from the head's disk home, or from here to it, in pieces, never one whole in memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from gitml.cluster.connect.cluster import Cluster
from gitml.errors import RemoteError

PIECE = 4 << 20
_AHEAD = 4  # pieces that are asked for before they are needed
_PATIENCE = 60.0


def download(cluster: Cluster, node: str, paths: Sequence[str]) -> Iterator[tuple[int, bytes | None]]:
    """(number of the path, piece) of each file in order, a last empty piece each; None alone for a file that is gone.

    A task a piece, not one that streams: Ray's client knows no streams.
    """
    import ray

    cluster.join(from_outside=True)

    def read(path: str, offset: int, size: int) -> bytes | None:
        try:
            with open(path, "rb") as file:
                file.seek(offset)
                return file.read(size)
        except FileNotFoundError:
            return None

    task: Any = ray.remote(num_cpus=0, max_retries=2)(read).options(name="gitml collect", scheduling_strategy=_at(node))
    try:
        for number, path in enumerate(paths):
            coming: deque[Any] = deque()
            offset = 0
            while True:
                while len(coming) < _AHEAD:
                    coming.append(task.remote(path, offset, PIECE))
                    offset += PIECE
                piece: bytes | None = ray.get(coming.popleft(), timeout=_PATIENCE)
                yield number, piece
                if piece is None or len(piece) < PIECE:
                    break
            if piece:
                yield number, b""
    except ray.exceptions.RayTaskError as error:
        message = f"the cluster can't read a result: {type(error.cause).__name__}"
        raise RemoteError(message, where=cluster.where) from error
    except ray.exceptions.RayError as error:
        raise RemoteError(f"fetching from the cluster failed: {type(error).__name__}", where=cluster.where) from error


def upload(cluster: Cluster, folder: str, make: str) -> tuple[str, str]:
    """Puts all files of `folder` on the head's disk, in a new folder there; (host name, path).

    `make` names what makes that folder (``module:function``). RemoteError, with nothing left there, when it fails.
    """
    import ray

    cluster.join(from_outside=True)
    names = sorted(
        os.path.relpath(os.path.join(place, name), folder) for place, _, found in os.walk(folder) for name in found
    )
    folders = sorted(os.path.relpath(place, folder) for place, _, _ in os.walk(folder))

    def begin() -> tuple[str, str]:
        import importlib

        module, _, function = make.partition(":")
        root: str = getattr(importlib.import_module(module), function)()
        for name in folders:
            os.makedirs(os.path.join(root, name), exist_ok=True)
        return os.uname().nodename, root

    def write(path: str, offset: int, piece: bytes) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            write_at(fd, piece, offset)
        finally:
            os.close(fd)

    options = {"name": "gitml submit", "scheduling_strategy": _on_head()}
    try:
        first: Any = ray.remote(num_cpus=0, max_retries=0)(begin).options(**options)
        node, root = ray.get(first.remote(), timeout=_PATIENCE)
    except ray.exceptions.RayError as error:
        raise RemoteError(f"sending to the cluster failed: {type(error).__name__}", where=cluster.where) from error
    task: Any = ray.remote(num_cpus=0, max_retries=2)(write).options(**options)
    going: deque[Any] = deque()
    try:
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                while piece := file.read(PIECE):
                    going.append(task.remote(os.path.join(root, name), file.tell() - len(piece), piece))
                    if len(going) >= _AHEAD:
                        ray.get(going.popleft(), timeout=_PATIENCE)
        ray.get(list(going), timeout=_PATIENCE)
    except ray.exceptions.RayError as error:
        with suppress(RemoteError):
            remove(cluster, node, root)
        raise RemoteError(f"sending to the cluster failed: {type(error).__name__}", where=cluster.where) from error
    return node, root


def remove(cluster: Cluster, node: str, folder: str) -> None:
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


def write_at(fd: int, content: bytes, offset: int) -> None:
    """Writes all of `content` there; OSError when the disk is full, which at first takes a part and says nothing."""
    rest = memoryview(content)
    while rest:
        written = os.pwrite(fd, rest, offset)
        rest, offset = rest[written:], offset + written


def _on_head() -> Any:
    """Where the head is."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    heads = [told for told in ray.nodes() if told["Alive"] and "node:__internal_head__" in told["Resources"]]
    if not heads:
        raise RemoteError("the cluster has no head")
    return NodeAffinitySchedulingStrategy(heads[0]["NodeID"], soft=False)


def _at(node: str) -> Any:
    """Where the machine of that host name is, the head where several have it; RemoteError when it is gone."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    found = [told for told in ray.nodes() if told["Alive"] and told["NodeManagerHostname"] == node]
    if not found:
        raise RemoteError(f"the machine {node} is no longer part of the cluster")
    head = next((told for told in found if "node:__internal_head__" in told["Resources"]), found[0])
    return NodeAffinitySchedulingStrategy(head["NodeID"], soft=False)

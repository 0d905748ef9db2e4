"""Files from and to the disk of a cluster's head, for runs that are submitted and collected."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from gitml.cluster.connect.cluster import Cluster
from gitml.cluster.content.piece_transfer import PIECE, ContentWriter, receive, results
from gitml.errors import IntegrityError, RemoteError
from gitml.files import write_all

_PATIENCE = 60.0  # seconds for a piece


class RemoteFile(NamedTuple):
    """A file of `size` bytes on another machine, and what makes the writer that it is to be downloaded into."""

    path: str
    size: int
    open_writer: Callable[[], ContentWriter]


def download(cluster: Cluster, node: str, files: Iterable[RemoteFile]) -> int:
    """Downloads files of the machine `node`; returns how many are gone, or are no longer what they were."""
    import ray

    lost = 0
    read = _reader(cluster, node)
    try:
        for file in files:
            try:
                receive(partial(read, file.path), file.size, file.open_writer(), timeout=_PATIENCE)
            except (FileNotFoundError, IntegrityError):
                lost += 1
    except ray.exceptions.RayTaskError as error:
        message = f"the cluster can't read a result: {type(error.cause).__name__}"
        raise RemoteError(message, where=cluster.where) from error
    except ray.exceptions.RayError as error:
        raise RemoteError(f"fetching from the cluster failed: {type(error).__name__}", where=cluster.where) from error
    return lost


def upload(cluster: Cluster, folder: str, new_folder: Callable[[], str]) -> tuple[str, str]:
    """Copies all files of `folder` to the head's disk, into the folder that `new_folder` makes there; (host name, path).

    RemoteError, with nothing left there, when it fails.
    """
    import ray

    cluster.join(from_outside=True)
    found = [(os.path.relpath(place, folder), names) for place, _, names in os.walk(folder)]

    def make_folders() -> tuple[str, str]:
        root = new_folder()
        for name, _ in found:
            os.makedirs(os.path.join(root, name), exist_ok=True)
        return os.uname().nodename, root

    def writes() -> Iterator[Any]:
        for path in sorted(os.path.join(place, name) for place, names in found for name in names):
            with open(os.path.join(folder, path), "rb") as file:
                size = max(os.fstat(file.fileno()).st_size, 1)  # an empty file is a piece, too
                for position in range(0, size, PIECE):
                    yield write(os.path.join(root, path), position, file.read(PIECE))

    place: tuple[str, str] | None = None
    try:
        place = ray.get(_task(make_folders, "gitml submit", _at(None), 0)(), timeout=_PATIENCE)
        _, root = place
        write = _task(write_piece, "gitml submit", _at(None), 2)
        for _ in results(writes(), _PATIENCE):
            continue
    except ray.exceptions.RayError as error:
        if place is not None:
            with suppress(RemoteError):
                remove(cluster, *place)
        raise RemoteError(f"sending to the cluster failed: {type(error).__name__}", where=cluster.where) from error
    return place


def remove(cluster: Cluster, node: str, folder: str) -> None:
    """Removes a folder of the head's disk."""
    import ray

    cluster.join(from_outside=True)

    def remove_there(folder: str) -> None:
        import shutil

        shutil.rmtree(folder, ignore_errors=True)

    try:
        ray.get(_task(remove_there, "gitml fetch", _at(node), 0)(folder), timeout=_PATIENCE)
    except ray.exceptions.RayError as error:
        raise RemoteError(f"tidying up on the cluster failed: {type(error).__name__}", where=cluster.where) from error


def write_piece(path: str, position: int, piece: bytes) -> None:
    """Writes a piece of a file where it belongs; OSError when the disk has no room for all of it."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.lseek(fd, position, os.SEEK_SET)
        write_all(fd, piece)
    finally:
        os.close(fd)


def _reader(cluster: Cluster, node: str) -> Callable[[str, int, int], Any]:
    """The call that reads a piece of a file there; None for a file that is gone.

    A task a piece, not one that streams: Ray's client knows no streams.
    """
    cluster.join(from_outside=True)

    def read(path: str, position: int, size: int) -> bytes | None:
        try:
            with open(path, "rb") as file:
                file.seek(position)
                return file.read(size)
        except FileNotFoundError:
            return None

    return _task(read, "gitml collect", _at(node), 2)


def _task(function: Callable[..., Any], name: str, strategy: Any, retries: int) -> Callable[..., Any]:
    """A function as a task of Ray that needs no CPU."""
    import ray

    call: Callable[..., Any] = (
        ray.remote(num_cpus=0, max_retries=retries)(function).options(name=name, scheduling_strategy=strategy).remote
    )
    return call


def _at(host: str | None) -> Any:
    """Where the machine of that host name is, or the head for None; the head, too, where several have the name.

    RemoteError when there is none.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def is_head(node: dict[str, Any]) -> bool:
        return "node:__internal_head__" in node["Resources"]

    alive = [node for node in ray.nodes() if node["Alive"]]
    found = [node for node in alive if (is_head(node) if host is None else node["NodeManagerHostname"] == host)]
    if not found:
        missing = "the cluster has no head" if host is None else f"the machine {host} is no longer part of the cluster"
        raise RemoteError(missing)
    return NodeAffinitySchedulingStrategy(max(found, key=is_head)["NodeID"], soft=False)

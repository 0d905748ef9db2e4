"""Transfers of contents between the driver and machines, in threads beside the run: one content to one place at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from gitml.cluster.content.blob_server import GROUPS, BlobServer
from gitml.cluster.content.content_ids import digest_in
from gitml.cluster.content.piece_transfer import PIECE, receive, results, through_cuts
from gitml.cluster.content.source import BlobSource
from gitml.cluster.worker.folder import FolderSpec
from gitml.errors import GitmlError, RemoteError
from gitml.execute.interfaces import WorkerServices
from gitml.store.local.object_writer import BlobWriter
from gitml.store.local.store import LocalStore

THREADS = 4

Done = Callable[[GitmlError | None], None]


class TransferManager:
    """Starts transfers, each of which calls `done` in its thread when it has ended."""

    def __init__(self, place: FolderSpec, make_services: Callable[[], WorkerServices]) -> None:
        self._place = place
        self._make_services = make_services
        self._servers: dict[str, Any] = {}
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="gitml-transfer")

    def server(self, node: str) -> Any:
        """The blob server of a machine, started for the first transfer."""
        if node not in self._servers:
            import ray
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            actor = ray.remote(num_cpus=0, max_restarts=3, concurrency_groups=GROUPS)(BlobServer)
            there = NodeAffinitySchedulingStrategy(node, soft=False)
            self._servers[node] = actor.options(scheduling_strategy=there).remote(self._place)
        return self._servers[node]

    def forget(self, node: str) -> None:
        """The machine is gone."""
        self._servers.pop(node, None)

    def upload(self, node: str, name: str, size: int, sources: Sequence[str], done: Done) -> None:
        """Sends a content to a machine: from one of `sources`, machines that hold it, else from here."""
        server = self.server(node)
        others = [self.server(source) for source in sources]
        self._pool.submit(self._report, done, lambda: self._upload(server, others, name, size))

    def download(self, node: str, contents: Sequence[tuple[str, int]], roots: Sequence[str], done: Done) -> None:
        """Fetches contents from the machine that made them, in the order given; they are those of `roots` and below."""
        server = self.server(node)
        user = f"driver-{os.urandom(8).hex()}"
        server.pin.remote(user, list(roots))  # now: it may take a while until there is a thread for it

        def download() -> None:
            try:
                self._download(server, contents)
            finally:
                server.unpin.remote(user)

        self._pool.submit(self._report, done, download)

    def close(self) -> None:
        """Starts nothing more; does not wait."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _report(self, done: Done, work: Callable[[], None]) -> None:
        from ray.exceptions import RayTaskError

        try:
            work()
        except RayTaskError as error:
            done(
                error.cause
                if isinstance(error.cause, GitmlError)
                else RemoteError(f"a transfer failed: {error.cause!r}")
            )
        except GitmlError as error:
            done(error)
        except Exception as error:
            done(RemoteError(f"a transfer failed: {' '.join(str(error).split())[:200]}"))
        else:
            done(None)

    def _upload(self, server: Any, others: Sequence[Any], name: str, size: int) -> None:
        import ray

        for other in others:
            try:
                ray.get(server.copy_from.remote(other, name, size))
            except ray.exceptions.RayError:
                continue
            return
        through_cuts(lambda: self._send(server, name, size))

    def _send(self, server: Any, name: str, size: int) -> None:
        import ray

        position: int | None = ray.get(server.open_writer.remote(name, size))
        if position is None:
            return

        def writes(position: int) -> Iterator[Any]:
            for piece in BlobSource(self._make_services()).pieces(name, position, PIECE):
                yield server.write.remote(name, position, piece)
                position += len(piece)

        for _ in results(writes(position)):
            continue
        ray.get(server.commit.remote(name))

    def _download(self, server: Any, contents: Sequence[tuple[str, int]]) -> None:
        import ray

        store = self._make_services().store
        assert isinstance(store, LocalStore)
        for name, size in contents:
            digest = digest_in(name)
            if not store.holds(digest, size):
                read = server.read_copy if ray.util.client.ray.is_connected() else server.read
                receive(partial(read.remote, name), size, BlobWriter(store, digest, size))

"""Bringing contents to machines and home, in threads beside the run: one transfer of one content to one place at a time."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gitml.cluster.content.blob_server import GROUPS, IN_FLIGHT, PIECE, BlobServer, pulled
from gitml.cluster.content.source import BlobSource
from gitml.cluster.worker.folder_interface import ContentWriter, FolderSpec
from gitml.errors import GitmlError, RemoteError
from gitml.execute.interfaces import WorkerServices

THREADS = 4
CUTS = 5  # how often a transfer goes on after the network was cut
PAUSE = 2.0  # seconds before it does

Done = Callable[[GitmlError | None], None]


class TransferManager:
    """Starts transfers. `home` takes in a content of the driver's own; `done` is called in a thread of its own."""

    def __init__(
        self,
        place: FolderSpec,
        make_services: Callable[[], WorkerServices],
        open_writer: Callable[[WorkerServices, str, int], ContentWriter | None],
    ) -> None:
        self._place = place
        self._make_services = make_services
        self._open_writer = open_writer
        self._servers: dict[str, Any] = {}
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="gitml-carry")

    def server(self, node: str) -> Any:
        """The server of a machine; started when it is asked for first."""
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
        """Brings a content to a machine: from one of `sources`, machines that hold it, else from here."""
        server = self.server(node)
        others = [self.server(source) for source in sources]
        self._pool.submit(self._told, done, lambda: self._upload(server, others, name, size))

    def download(self, node: str, contents: Sequence[tuple[str, int]], roots: Sequence[str], done: Done) -> None:
        """Brings contents home from the machine that made them, in the order given; they are those of `roots` and below."""
        server = self.server(node)
        user = f"home-{os.urandom(8).hex()}"
        server.pin.remote(user, list(roots))  # now: it may take a while until there is a thread for it

        def fetch() -> None:
            try:
                self._download(server, contents)
            finally:
                server.unpin.remote(user)

        self._pool.submit(self._told, done, fetch)

    def close(self) -> None:
        """Starts nothing more; does not wait."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _told(self, done: Done, work: Callable[[], None]) -> None:
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
        self._through_cuts(lambda: self._push(server, name, size))

    def _push(self, server: Any, name: str, size: int) -> None:
        import ray

        position = ray.get(server.open_writer.remote(name, size))
        if position == size:
            return
        sent: deque[Any] = deque()
        for piece in BlobSource(self._make_services()).pieces(name, position, PIECE):
            sent.append(server.write.remote(name, position, piece))
            position += len(piece)
            if len(sent) >= IN_FLIGHT:
                ray.get(sent.popleft())
        ray.get(list(sent))
        ray.get(server.commit.remote(name))

    def _download(self, server: Any, contents: Sequence[tuple[str, int]]) -> None:
        services = self._make_services()
        for name, size in contents:
            writer = self._open_writer(services, name, size)
            if writer is not None:
                self._download_one(server, name, size, writer)

    def _download_one(self, server: Any, name: str, size: int, writer: ContentWriter) -> None:
        import ray

        def go_on() -> None:
            give = server.read_copy if ray.util.client.ray.is_connected() else server.read
            for piece in pulled(give.remote, name, writer.position, size):
                writer.write(piece)

        try:
            self._through_cuts(go_on)
        except BaseException:
            writer.abandon()
            raise
        writer.commit()

    def _through_cuts(self, work: Callable[[], None]) -> None:
        import ray

        for _ in range(CUTS):
            try:
                return work()
            except ray.exceptions.ActorUnavailableError:
                time.sleep(PAUSE)
        return work()

"""Bringing contents to machines and home, in threads beside the run: one transfer of one content to one place at a time."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gitml.cluster.content.blob_server import GROUPS, PIECE, UNDER_WAY, Depot, pulled
from gitml.cluster.content.source import Supply
from gitml.cluster.worker.folder_interface import Arriving, Place
from gitml.errors import GitmlError, RemoteError
from gitml.execute.interfaces import WorkerServices

THREADS = 4
CUTS = 5  # how often a transfer goes on after the network was cut
PAUSE = 2.0  # seconds before it does

Done = Callable[[GitmlError | None], None]


class Carrier:
    """Starts transfers. `home` takes in a content of the driver's own; `done` is called in a thread of its own."""

    def __init__(
        self,
        place: Place,
        make_services: Callable[[], WorkerServices],
        home: Callable[[WorkerServices, str, int], Arriving | None],
    ) -> None:
        self._place = place
        self._make_services = make_services
        self._home = home
        self._depots: dict[str, Any] = {}
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="gitml-carry")

    def depot(self, node: str) -> Any:
        """The depot of a machine; started when it is asked for first."""
        if node not in self._depots:
            import ray
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            actor = ray.remote(num_cpus=0, max_restarts=3, concurrency_groups=GROUPS)(Depot)
            there = NodeAffinitySchedulingStrategy(node, soft=False)
            self._depots[node] = actor.options(scheduling_strategy=there).remote(self._place)
        return self._depots[node]

    def forget(self, node: str) -> None:
        """The machine is gone."""
        self._depots.pop(node, None)

    def bring(self, node: str, name: str, size: int, sources: Sequence[str], done: Done) -> None:
        """Brings a content to a machine: from one of `sources`, machines that hold it, else from here."""
        depot = self.depot(node)
        others = [self.depot(source) for source in sources]
        self._pool.submit(self._told, done, lambda: self._bring(depot, others, name, size))

    def fetch(self, node: str, contents: Sequence[tuple[str, int]], roots: Sequence[str], done: Done) -> None:
        """Brings contents home from the machine that made them, in the order given; they are those of `roots` and below."""
        depot = self.depot(node)
        holder = f"home-{os.urandom(8).hex()}"
        depot.hold.remote(holder, list(roots))  # now: it may take a while until there is a thread for it

        def fetch() -> None:
            try:
                self._fetch(depot, contents)
            finally:
                depot.release.remote(holder)

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

    def _bring(self, depot: Any, others: Sequence[Any], name: str, size: int) -> None:
        import ray

        for other in others:
            try:
                ray.get(depot.fetch.remote(other, name, size))
            except ray.exceptions.RayError:
                continue
            return
        self._through_cuts(lambda: self._push(depot, name, size))

    def _push(self, depot: Any, name: str, size: int) -> None:
        import ray

        position = ray.get(depot.begin.remote(name, size))
        if position == size:
            return
        sent: deque[Any] = deque()
        for piece in Supply(self._make_services()).pieces(name, position, PIECE):
            sent.append(depot.take.remote(name, position, piece))
            position += len(piece)
            if len(sent) >= UNDER_WAY:
                ray.get(sent.popleft())
        ray.get(list(sent))
        ray.get(depot.finish.remote(name))

    def _fetch(self, depot: Any, contents: Sequence[tuple[str, int]]) -> None:
        services = self._make_services()
        for name, size in contents:
            arriving = self._home(services, name, size)
            if arriving is not None:
                self._arrive(depot, name, size, arriving)

    def _arrive(self, depot: Any, name: str, size: int, arriving: Arriving) -> None:
        import ray

        def go_on() -> None:
            give = depot.give_copy if ray.util.client.ray.is_connected() else depot.give
            for piece in pulled(give.remote, name, arriving.position, size):
                arriving.write(piece)

        try:
            self._through_cuts(go_on)
        except BaseException:
            arriving.abandon()
            raise
        arriving.commit()

    def _through_cuts(self, work: Callable[[], None]) -> None:
        import ray

        for _ in range(CUTS):
            try:
                return work()
            except ray.exceptions.ActorUnavailableError:
                time.sleep(PAUSE)
        return work()

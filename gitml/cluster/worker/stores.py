"""Remote stores as a worker uses them: with what its own environment has of credentials, and the memory of one transfer."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from gitml.cluster.worker.folder_interface import FetchProblem
from gitml.core.config.remotes import RemoteSpec
from gitml.core.model.events import Transferring
from gitml.core.model.protocols import SweptRemote
from gitml.core.model.result import OutputRef
from gitml.errors import GitmlError, RemoteError
from gitml.store.local.store import LocalStore
from gitml.store.remote.backends.kinds import open_remote
from gitml.store.remote.cache import PackIndexes, RemoteCache, RemoteSource
from gitml.store.remote.transfer.download import Downloader
from gitml.store.remote.transfer.progress import TransferRoot, TransferStoppedError
from gitml.workspace import KnownFacts

PATIENCE = 30.0  # seconds without a byte after which a store can't be reached


def fetch_outputs(
    root: str, outputs: Sequence[OutputRef], specs: Sequence[RemoteSpec], stopped: Callable[[], bool]
) -> list[FetchProblem]:
    """Brings outputs from remote stores into the Store at `root`, each verified; what went wrong, in words."""
    troubles: list[FetchProblem] = []
    sources: list[RemoteSource] = []
    named = {spec.name: spec for spec in specs}
    for spec in specs:
        try:
            sources.append(RemoteSource(_opened(spec), RemoteCache(KnownFacts(None), spec.identity)))
        except GitmlError as error:
            troubles.append(FetchProblem(spec, f"remote {spec.name}: {error.message}"))
    watch = _StallWatch(stopped)
    roots = [TransferRoot(output.digest, output.size, output.is_tree, output.name) for output in outputs]
    try:
        brought = Downloader(LocalStore(root, durable=False), sources, PackIndexes(root)).fetch(
            roots, watch.told, watch.stopped
        )
    except TransferStoppedError:
        if not stopped():
            what = f"nothing came for {PATIENCE:g} s"
            troubles += [FetchProblem(spec, f"remote {spec.name}: {what}") for spec in specs]
        return troubles
    finally:
        for source in sources:
            source.remote.close()
    for problem in brought.problems:
        store = named[problem.remote] if problem.digest is None else None
        troubles.append(FetchProblem(store, f"remote {problem.remote}: {problem.what}"))
    return troubles


def _opened(spec: RemoteSpec) -> SweptRemote:
    if spec.scheme == "file" and not os.path.isdir(spec.path):
        raise RemoteError("no such folder", where=spec.place)
    return open_remote(spec)


class _StallWatch:
    """Stops a transfer that gets nowhere."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped
        self._done = 0
        self._since = time.monotonic()

    def told(self, event: Transferring) -> None:
        """Notes how far it is."""
        if event.done != self._done:
            self._done, self._since = event.done, time.monotonic()

    def stopped(self) -> bool:
        """Whether it is to end, for whatever reason."""
        return self._stopped() or time.monotonic() - self._since > PATIENCE

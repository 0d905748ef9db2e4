"""Inputs that a machine fetches from remote stores by itself, so that they need not pass through the driver.

A store is used with the credentials of the machine's own environment.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from gitml import layout
from gitml.cluster.content.content_ids import roots_of_outputs
from gitml.cluster.content.messages import AttemptRequest
from gitml.cluster.worker.folder import FolderSpec, WorkerFolder
from gitml.core.config.remotes import RemoteSpec
from gitml.core.model.digest import Digest
from gitml.core.model.environment import Environment
from gitml.core.model.events import Transferring
from gitml.core.model.protocols import SweptRemote
from gitml.core.model.result import OutputRef
from gitml.errors import GitmlError, RemoteError
from gitml.store.local.store import LocalStore
from gitml.store.remote.backends.kinds import open_remote
from gitml.store.remote.cache import PackIndexes, RemoteCache, RemoteSource
from gitml.store.remote.transfer.download import download_roots
from gitml.store.remote.transfer.image_transfer import download_image, small_object
from gitml.store.remote.transfer.progress import TransferRoot, TransferStoppedError
from gitml.workspace import KnownFacts

if TYPE_CHECKING:
    from gitml.execute.environments.images.image_store import ImageStore

PATIENCE = 30.0  # seconds without a byte after which a store can't be reached
BACKOFF = 300.0  # seconds that a store which can't be used from here is not asked again


class FetchProblem(NamedTuple):
    """What went wrong with a remote store, or (`store` None) with some content that it was to have."""

    store: RemoteSpec | None
    words: str


class MissingInputs(NamedTuple):
    """Inputs that are not on this machine: `nowhere` are those that the driver lacks too."""

    outputs: tuple[OutputRef, ...]
    nowhere: tuple[OutputRef, ...]

    @property
    def size(self) -> int:
        """Bytes of all."""
        return sum(output.size for output in self.outputs)


def missing_inputs(request: AttemptRequest, folder: WorkerFolder) -> MissingInputs:
    """The inputs of a request that are in a remote store and not here."""
    lacking = [
        (output, at_driver) for output, at_driver in request.stored if folder.missing(roots_of_outputs([output]))
    ]
    return MissingInputs(
        tuple([output for output, _ in lacking]), tuple([output for output, at_driver in lacking if not at_driver])
    )


class StoreBackoff:
    """The remote stores as this machine knows them: those that could not be used lately are left alone."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def usable(self, specs: Sequence[RemoteSpec]) -> list[RemoteSpec]:
        """Those that did not fail lately."""
        now = time.monotonic()
        return [spec for spec in specs if self._until.get(spec.identity, 0.0) <= now]

    def back_off(self, problems: Sequence[FetchProblem]) -> None:
        """Notes stores that failed altogether."""
        for problem in problems:
            if problem.store is not None:
                self._until[problem.store.identity] = time.monotonic() + BACKOFF


class RemoteFetch(threading.Thread):
    """Fetches `outputs` in a thread; `problems` are complete when it has ended. After `stopping` it ends; what has come stays."""

    def __init__(self, place: FolderSpec, outputs: Sequence[OutputRef], stores: Sequence[RemoteSpec]) -> None:
        super().__init__(name="gitml-fetch", daemon=True)
        self.problems: list[FetchProblem] = []
        self.stopping = threading.Event()
        self._place, self._outputs, self._stores = place, outputs, stores
        self.start()

    def ended(self, seconds: float) -> bool:
        """Whether it is over, waiting so long for it."""
        self.join(seconds)
        return not self.is_alive()

    def run(self) -> None:
        """What the thread does."""
        try:
            folder = self._place.open(os.environ)  # a Store belongs to a thread
            self.problems = fetch_outputs(folder.root, self._outputs, self._stores, self.stopping.is_set)
            folder.gc.note_added(roots_of_outputs(self._outputs), sum(output.size for output in self._outputs))
        except (GitmlError, OSError) as error:
            self.problems = [FetchProblem(None, str(error))]


class RemoteImageFetch(RemoteFetch):
    """Fetches an image in a thread; `words` say how far it is. A store without it is no problem: its registry is asked next."""

    def __init__(self, place: FolderSpec, image: Digest, stores: Sequence[RemoteSpec]) -> None:
        self.words = ""
        self._image = image
        super().__init__(place, (), stores)

    def run(self) -> None:
        """What the thread does."""
        try:
            images = image_store(self._place.open(os.environ))
        except (GitmlError, OSError) as error:
            self.problems = [FetchProblem(None, str(error))]
            return
        watch = _StallWatch(self.stopping.is_set)

        def progress(event: Transferring) -> None:
            watch.progress(event)
            done, total = event.done / 2**20, event.total / 2**20
            self.words = f"fetching its image from remote {event.remote}: {done:,.0f} of {total:,.0f} MiB"

        with _sources(self._stores, self.problems) as sources:
            try:
                download_image(images.blobs, sources, self._image, images.parts, progress, watch.stopped)
            except (GitmlError, OSError) as error:
                self.problems.append(FetchProblem(None, str(error)))


def missing_image(request: AttemptRequest, environment: Environment, folder: WorkerFolder) -> Digest | None:
    """The image of a step that is not on this machine, and that a remote store may have."""
    digest = environment.description.get("image")
    if not request.image_stores or not isinstance(digest, str):
        return None
    return Digest(digest) if image_store(folder).lacks(digest) else None


def image_store(folder: WorkerFolder) -> ImageStore:
    """The images of this machine."""
    from gitml.execute.environments.images.image_store import ImageStore

    return ImageStore(os.path.join(folder.cache, layout.IMAGES), folder.machine)


def stored_manifest(specs: Sequence[RemoteSpec], digest: str) -> bytes | None:
    """The manifest or index of an image that one of these stores has; one that fails has none."""
    with _sources(specs, []) as sources:
        for source in sources:
            try:
                found = small_object(source.remote, Digest(digest))
            except GitmlError:
                continue
            if found is not None:
                return found
    return None


@contextmanager
def _sources(specs: Sequence[RemoteSpec], problems: list[FetchProblem]) -> Iterator[list[RemoteSource]]:
    """The stores that can be opened; why the others can't is added to `problems`."""
    sources: list[RemoteSource] = []
    try:
        for spec in specs:
            try:
                sources.append(RemoteSource(_opened(spec), RemoteCache(KnownFacts(None), spec.identity)))
            except GitmlError as error:
                problems.append(FetchProblem(spec, f"remote {spec.name}: {error.message}"))
        yield sources
    finally:
        for source in sources:
            source.remote.close()


def fetch_outputs(
    root: str, outputs: Sequence[OutputRef], specs: Sequence[RemoteSpec], stopped: Callable[[], bool]
) -> list[FetchProblem]:
    """Fetches outputs from remote stores into the Store at `root`, each verified; returns what went wrong."""
    problems: list[FetchProblem] = []
    named = {spec.name: spec for spec in specs}
    watch = _StallWatch(stopped)
    roots = [TransferRoot(output.digest, output.size, output.is_tree, output.name) for output in outputs]
    here = LocalStore(root, durable=False)
    with _sources(specs, problems) as sources:
        try:
            done = download_roots(here, sources, PackIndexes(root), roots, watch.progress, watch.stopped)
        except TransferStoppedError:
            if not stopped():
                what = f"nothing came for {PATIENCE:g} s"
                problems += [FetchProblem(spec, f"remote {spec.name}: {what}") for spec in specs]
            return problems
    for problem in done.problems:
        store = named[problem.remote] if problem.digest is None else None
        problems.append(FetchProblem(store, f"remote {problem.remote}: {problem.what}"))
    return problems


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

    def progress(self, event: Transferring) -> None:
        """Notes that bytes came."""
        if event.done != self._done:
            self._done, self._since = event.done, time.monotonic()

    def stopped(self) -> bool:
        """Whether the transfer is to end."""
        return self._stopped() or time.monotonic() - self._since > PATIENCE

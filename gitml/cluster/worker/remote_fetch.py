"""Inputs that a machine brings from remote stores by itself, so that they need not pass through the driver."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from gitml.cluster.content.content_ids import roots_of_outputs
from gitml.cluster.content.messages import AttemptRequest
from gitml.cluster.worker.folder_interface import FetchProblem, Folder, FolderSpec
from gitml.core.config.remotes import RemoteSpec
from gitml.core.model.result import OutputRef
from gitml.errors import GitmlError

BACKOFF = 300.0  # seconds that a store which can't be used from here is not asked again


class MissingInputs(NamedTuple):
    """Inputs that are not on this machine: `nowhere` are those that the driver lacks too."""

    outputs: tuple[OutputRef, ...]
    nowhere: tuple[OutputRef, ...]

    @property
    def size(self) -> int:
        """Bytes of all."""
        return sum(output.size for output in self.outputs)


def missing_inputs(order: AttemptRequest, folder: Folder) -> MissingInputs:
    """What of an order's stored inputs is not here."""
    lacking = [(output, home) for output, home in order.stored if folder.missing(roots_of_outputs([output]))]
    return MissingInputs(
        tuple([output for output, _ in lacking]), tuple([output for output, home in lacking if not home])
    )


class StoreBackoff:
    """The remote stores as this machine knows them: those that could not be used lately are left alone."""

    def __init__(self) -> None:
        self._shunned: dict[str, float] = {}

    def usable(self, specs: Sequence[RemoteSpec]) -> list[RemoteSpec]:
        """Those worth asking."""
        now = time.monotonic()
        return [spec for spec in specs if self._shunned.get(spec.identity, 0.0) <= now]

    def shun(self, troubles: Sequence[FetchProblem]) -> None:
        """Notes those that failed altogether."""
        for trouble in troubles:
            if trouble.store is not None:
                self._shunned[trouble.store.identity] = time.monotonic() + BACKOFF


class RemoteFetch:
    """Brings `outputs` in a thread; `troubles` are complete when it has ended."""

    def __init__(self, place: FolderSpec, outputs: Sequence[OutputRef], stores: Sequence[RemoteSpec]) -> None:
        self.troubles: list[FetchProblem] = []
        self._place, self._outputs, self._stores = place, outputs, stores
        self._stop = threading.Event()
        self._ended = threading.Event()
        threading.Thread(target=self._work, name="gitml-obtain", daemon=True).start()

    def ended(self, seconds: float) -> bool:
        """Whether it is over, waiting so long for it."""
        return self._ended.wait(seconds)

    def stop(self) -> None:
        """Asks it to end; what has come stays."""
        self._stop.set()

    def _work(self) -> None:
        try:
            folder = self._place.folder(os.environ)  # a Store belongs to a thread
            self.troubles = folder.fetch_outputs(self._outputs, self._stores, self._stop.is_set)
            folder.note_added(roots_of_outputs(self._outputs), sum(output.size for output in self._outputs))
        except (GitmlError, OSError) as error:
            self.troubles = [FetchProblem(None, str(error))]
        finally:
            self._ended.set()

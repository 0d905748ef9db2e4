"""The messages of an attempt between driver and workers, as JSON: nothing that is unpickled decides what is done."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from gitml.cluster.worker.folder import FolderSpec
from gitml.core.config.remotes import RemoteSpec
from gitml.core.model.protocols import TaskFinished
from gitml.core.model.result import OutputRef, size_from_json
from gitml.execute.messages import finished_from_json, output_from_json


class AttemptRequest(NamedTuple):
    """An attempt to be made. `task` is as `messages.encode_task` makes it; `run` makes `attempt` unique on a machine;
    `hub` is the name of the run's Hub. `stored` are inputs that one of `stores` is known to have, and whether the driver has
    them too. `image_stores` may have the image of its environment."""

    version: str
    run: str
    attempt: str
    place: FolderSpec
    grace: float
    gpus: float
    hub: str
    task: Any
    stores: tuple[RemoteSpec, ...] = ()
    stored: tuple[tuple[OutputRef, bool], ...] = ()
    image_stores: tuple[RemoteSpec, ...] = ()


class AttemptReport(NamedTuple):
    """How an attempt ended on a machine. `away` are contents it made that are still there, with sizes. The log's bytes that come
    beside it begin at `log_from`. `refused`: the machine could not even begin."""

    node: str
    host: str
    finished: TaskFinished
    away: tuple[tuple[str, int], ...] = ()
    log_from: int = 0
    refused: bool = False


def decode_request(data: bytes) -> AttemptRequest:
    """An AttemptRequest that was encoded by `execute.messages.encode`; ValueError for other bytes."""
    try:
        version, run, attempt, place, grace, gpus, hub, task, stores, stored, places = json.loads(data)
        specs = tuple([RemoteSpec(*spec) for spec in stores])
        held = tuple([(output_from_json(output), bool(at_driver)) for output, at_driver in stored])
        images = tuple([RemoteSpec(*spec) for spec in places])
        return AttemptRequest(version, run, attempt, FolderSpec(*place), grace, gpus, hub, task, specs, held, images)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"not a request: {error!r}"[:200]) from error


def decode_report(data: bytes) -> AttemptReport:
    """An AttemptReport that was; ValueError for other bytes: they come from another machine."""
    try:
        node, host, finished, away, log_from, refused = json.loads(data)
        sizes = tuple([(name, size_from_json(size)) for name, size in away])
        if not all(isinstance(text, str) for text in (node, host, *[name for name, _ in sizes])):
            raise TypeError("a name that is no text")
        return AttemptReport(node, host, finished_from_json(finished), sizes, size_from_json(log_from), bool(refused))
    except (TypeError, RecursionError) as error:
        raise ValueError(f"not a report: {error!r}"[:200]) from error

"""`env build`: builds the environments of a pipeline's steps on this machine, ahead of the runs that need them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from gitml.analysis.environments import PipelineEnvironment, located, pipeline_environments
from gitml.core.model.environment import Environment
from gitml.core.model.events import Event
from gitml.engine.planning.load import Loaded
from gitml.engine.run import command_text
from gitml.errors import GitmlError, machine_error
from gitml.execute.environments.build_control import BuildControl
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from gitml.execute.process import StopRequests

BUILT, THERE, FAILED, ELSEWHERE = "built", "there", "failed", "elsewhere"
"""What became of an environment; `there`: it was built before, or is never built; `elsewhere`: its steps run on a cluster."""


class BuildOutcome(NamedTuple):
    """What became of an environment: one of the above, after so many seconds, with the words of what failed."""

    found: PipelineEnvironment
    outcome: str
    seconds: float = 0.0
    error: str | None = None
    hint: str | None = None


def build_environments(
    ws: Workspace,
    loaded: Loaded,
    wanted: Sequence[str],
    stop: StopRequests,
    report: Callable[[PipelineEnvironment, str], None],
) -> Iterator[BuildOutcome]:
    """Builds each environment of the named steps, or of all, that is not built here; one that fails does not keep others.

    `report` is called with what goes on while one builds. TrustError unless the steps of the repository may run, InputError for
    an unknown step, StoppedError when `stop` asks.
    """
    need_to_run(ws, loaded, wanted)
    for one in _by_place(pipeline_environments(ws, loaded, wanted)):
        if one.environment is None:
            yield BuildOutcome(one, FAILED, 0.0, one.problem, one.hint)
        elif not one.is_here:
            yield BuildOutcome(one, ELSEWHERE)
        elif one.built:
            yield BuildOutcome(located(ws, one, measure=True), THERE)
        else:
            yield _built(ws, one, stop, report)


def _fetch_image(ws: Workspace, environment: Environment, control: BuildControl) -> None:
    """Fetches the image of an environment from a remote store, where one has it: its registry is asked only else."""
    if "image" not in environment.description:
        return
    from gitml.execute.process import StoppedError
    from gitml.store.remote.transfer.progress import TransferStoppedError
    from gitml.transfer.images import download_words, fetch_image, lacked_image

    lacked = lacked_image(ws, environment)
    if lacked is None:
        return

    def emit(event: Event) -> None:
        words = download_words(event)
        if words is not None:
            control.report(words)

    try:
        fetch_image(ws, lacked, emit, lambda: control.stop.requested() > 0)
    except TransferStoppedError:
        raise StoppedError from None


def _by_place(found: Sequence[PipelineEnvironment]) -> list[PipelineEnvironment]:
    """Those that differ only in the programs of the machine as one: they are built once."""
    merged: dict[object, PipelineEnvironment] = {}
    for one in found:
        id = one.steps if one.place is None else (one.spec, one.place)
        known = merged.get(id)
        merged[id] = one if known is None else known._replace(steps=(*known.steps, *one.steps))
    return list(merged.values())


def need_to_run(ws: Workspace, loaded: Loaded, wanted: Sequence[str]) -> None:
    """TrustError unless the named steps of the repository, or all, may run, and what they need be fetched and built."""
    if ws.consent.may_run():
        ws.consent.need_run(())
        return
    steps = loaded.graph.steps
    names = loaded.graph.select(wanted) if wanted else list(steps)
    ws.consent.need_run([(name, command_text(steps[name])) for name in names])
    ws.forget_environments()  # which were looked at less closely before


def _built(
    ws: Workspace, one: PipelineEnvironment, stop: StopRequests, report: Callable[[PipelineEnvironment, str], None]
) -> BuildOutcome:
    assert one.environment is not None
    begun = time.monotonic()
    control = BuildControl(stop, lambda words: report(one, words))
    try:
        _fetch_image(ws, one.environment, control)
        ws.environments.realize(one.environment, control)
    except GitmlError as error:
        where = f" ({error.where})" if error.where else ""
        return BuildOutcome(one, FAILED, time.monotonic() - begun, error.message + where, error.hint)
    except OSError as error:
        refused = machine_error(error, error.filename or ws.environments_folder())
        return BuildOutcome(one, FAILED, time.monotonic() - begun, refused.message, refused.hint)
    return BuildOutcome(located(ws, one, measure=True), BUILT, time.monotonic() - begun)

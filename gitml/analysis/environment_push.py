"""`env push`: the images of a pipeline's steps into remote stores, so that machines have them that reach no registry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from gitml.analysis.environment_build import need_to_run
from gitml.analysis.environments import PipelineEnvironment, pipeline_environments
from gitml.core.model.events import Emit
from gitml.core.model.stop_signal import StopSignal
from gitml.engine.planning.load import Loaded
from gitml.errors import InputError
from gitml.execute.environments.images.provider import NamedImage, named_image
from gitml.transfer.images import PushedImage, image_store, push_images, stores_for_images
from gitml.transfer.remotes import Remotes
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from gitml.execute.environments.build_control import BuildControl


class StepsImage(NamedTuple):
    """An image and the steps that run in it."""

    image: NamedImage
    steps: tuple[str, ...]


def images_of(ws: Workspace, loaded: Loaded, wanted: Sequence[str]) -> list[StepsImage]:
    """Each image of the named steps, or of all; an index is asked of its registry.

    TrustError unless the steps may run, InputError for an unknown step and where what an image is can't be known.
    """
    need_to_run(ws, loaded, wanted)
    steps: dict[NamedImage, tuple[str, ...]] = {}
    for one in pipeline_environments(ws, loaded, wanted):
        if one.environment is None:
            if _is_image(one):
                raise InputError(one.problem or f"{one.spec} is not known here", where=one.spec, hint=one.hint)
            continue
        image = named_image(one.environment)
        if image is not None:
            steps[image] = (*steps.get(image, ()), *one.steps)
    return [StepsImage(image, names) for image, names in steps.items()]


def push_environments(
    ws: Workspace,
    images: Sequence[StepsImage],
    stores: Sequence[str],
    emit: Emit,
    stop: StopSignal,
    fetching: BuildControl,
) -> Iterator[PushedImage]:
    """Uploads images to these remote stores, or to all that keep some; what of an image is not here is fetched first.

    Errors are those of `push_images` and of `ImageStore.fetch`; StoppedError while something is fetched.
    """
    with closing(Remotes(ws)) as remotes:  # before anything is fetched
        remotes.need_consent(stores_for_images(remotes, stores))
    store = image_store(ws)
    for one in images:
        name, digest, manifest = one.image
        if store.known_size(digest) is None:
            store.fetch_manifest(name, digest)
        store.fetch(name, manifest, fetching)
    yield from push_images(ws, [one.image for one in images], stores, emit, stop)


def _is_image(one: PipelineEnvironment) -> bool:
    return one.kind == "image" or "image" in one.spec

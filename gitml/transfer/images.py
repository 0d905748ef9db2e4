"""Container images between this machine and remote stores: uploaded for others, and downloaded before a registry is asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from gitml import layout
from gitml.core.config.remotes import RemoteSpec, StoredObject
from gitml.core.kinds.remote_kinds import LFS
from gitml.core.model.digest import Digest, from_hex, hex_of
from gitml.core.model.environment import Environment
from gitml.core.model.events import Emit, Event, Transferring
from gitml.core.model.stop_signal import StopSignal
from gitml.errors import GitmlError, InputError
from gitml.execute.environments.images.provider import NamedImage
from gitml.transfer.remotes import Remotes
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from gitml.execute.environments.images.image_store import ImageStore


class PushedImage(NamedTuple):
    """What became of an upload of images to a store: objects and bytes that were sent, and objects that were there."""

    remote: str
    sent: int
    bytes: int
    there: int


def stores_for_images(remotes: Remotes, names: Sequence[str]) -> list[RemoteSpec]:
    """The remote stores of these names that images are pushed to; all that may be, when none is named.

    InputError where there is none, or one of those named keeps no images.
    """
    specs = remotes.named(names)
    for spec in specs if names else ():
        if spec.scheme == LFS:
            what = f"remote {spec.name!r} is Git LFS, which keeps no images"
            raise InputError(what, hint="name a store of another kind in gitml.yaml: s3://, gs://, sftp://, file://")
        if not spec.push:
            raise InputError(f"gitml.yaml says push: false of remote {spec.name!r}", hint="say push: true there")
    found = [spec for spec in specs if spec.push and spec.scheme != LFS]
    if not found:
        raise InputError("no remote store of gitml.yaml keeps images", hint="name one under `remotes:`")
    return found


def push_images(
    ws: Workspace, images: Sequence[NamedImage], names: Sequence[str], emit: Emit, stop: StopSignal
) -> Iterator[PushedImage]:
    """Uploads images that are on this machine to each store, one after the other; only what it lacks.

    RemoteError or TrustError of the first that fails, TransferStoppedError. What was sent stays, and is not sent again.
    """
    from gitml.store.remote.transfer.image_transfer import image_entry, upload_image

    store = image_store(ws)
    with closing(Remotes(ws)) as remotes:
        specs = stores_for_images(remotes, names)
        remotes.need_consent(specs)
        for spec in specs:
            source = remotes.source(spec)
            entries: dict[Digest, tuple[StoredObject, ...]] = {}
            for image in images:
                parts = [StoredObject(Digest(digest), size) for digest, size in store.parts(image.manifest)]
                entries[Digest(image.manifest)] = tuple(parts)
                size = store.known_size(image.digest)
                if image.digest == image.manifest or size is None:
                    continue
                index = Digest(image.digest)
                known = entries.get(index) or image_entry(source.remote, index) or (StoredObject(index, size),)
                # others may have pushed the image of another platform
                entries[index] = tuple(dict.fromkeys((*known, parts[0])))
            done = upload_image(
                source, entries, lambda digest: f"{store.blobs}/{hex_of(digest)}", emit, lambda: stop.level > 0
            )
            yield PushedImage(*done)


def lacked_image(ws: Workspace, environment: Environment) -> Digest | None:
    """The image of an environment that is not on this machine, and that a remote store may be asked for; None for any other."""
    digest = environment.description.get("image")
    if not isinstance(digest, str) or ws.consent.offline or not _usable(Remotes(ws)):
        return None
    return Digest(digest) if image_store(ws).lacks(digest) else None


def fetch_image(ws: Workspace, digest: Digest, emit: Emit, stopped: Callable[[], bool]) -> bool:
    """Fetches an image from the remote stores that may be asked; whether one had all of it. TransferStoppedError.

    A store that fails is passed over: the registry is asked next, by who builds the image.
    """
    from gitml.store.remote.transfer.image_transfer import download_image

    with closing(Remotes(ws)) as remotes:
        sources = [source for _, source in remotes.usable(_usable(remotes))]
        store = image_store(ws)
        done = download_image(store.blobs, sources, digest, store.parts, emit, stopped)
    return done.here


def download_words(event: Event) -> str | None:
    """How far the download of an image is, as who builds one says it."""
    if not isinstance(event, Transferring):
        return None
    done, total, rate = (number / 2**20 for number in (event.done, event.total, event.rate))
    return f"fetching its image from remote {event.remote}: {done:,.0f} of {total:,.0f} MiB, {rate:,.1f} MiB/s"


def manifest_reader(ws: Workspace) -> Callable[[str], bytes | None]:
    """Reads manifests and indexes of images from the remote stores that may be asked; one that fails has none."""

    def read(digest: str) -> bytes | None:
        from gitml.store.remote.transfer.image_transfer import small_object

        with closing(Remotes(ws)) as remotes:
            for _, source in remotes.usable(_usable(remotes)):
                try:
                    found = small_object(source.remote, from_hex(digest.partition(":")[2]))
                except GitmlError:
                    continue
                if found is not None:
                    return found
        return None

    return read


def stores_of_workers(ws: Workspace) -> tuple[RemoteSpec, ...]:
    """The remote stores that machines of a cluster may ask for images."""
    return tuple(_usable(Remotes(ws)))


def _usable(remotes: Remotes) -> list[RemoteSpec]:
    """The stores that keep images and that the user allowed; nobody is asked for the sake of an image, as registries have it."""
    places = [(spec, remotes.place(spec)) for spec in remotes.specs if spec.scheme != LFS]
    return [spec for spec, place in places if place is None or remotes.ws.consent.may_use(place)]


def image_store(ws: Workspace) -> ImageStore:
    """The images of this machine."""
    from gitml.execute.environments.images.image_store import ImageStore

    return ImageStore(os.path.join(ws.environments_folder(), layout.IMAGES), ws.environ)

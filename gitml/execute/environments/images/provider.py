"""Container images as environments of steps."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from gitml import layout
from gitml.core.kinds.image_names import ImageName, parse_image_name
from gitml.core.kinds.image_pins import LOCK_PATH, image_pins
from gitml.core.model.environment import FORMAT, Environment, EnvironmentSource, environment_of
from gitml.errors import InputError
from gitml.execute.environments.software import (
    EnvironmentProvider,
    EnvironmentQuery,
    MachineSoftware,
    NotInspectedError,
    RealizedEnvironment,
    platform_name,
)

if TYPE_CHECKING:
    from gitml.execute.environments.build_control import BuildControl
    from gitml.execute.environments.images.image_store import ImageStore
    from gitml.execute.environments.images.root import ImageRoot

KIND = "image"
_FACT = "image manifest"


class NamedImage(NamedTuple):
    """An image that a pipeline names: `digest` is what it is named by, perhaps an index; `manifest` is that of this platform."""

    name: ImageName
    digest: str
    manifest: str


def named_image(environment: Environment) -> NamedImage | None:
    """The image of an environment; None for one without."""
    manifest = environment.description.get(KIND)
    source = environment.source
    text = source.spec.name if source.spec.kind == KIND else source.spec.option(KIND)
    if not isinstance(manifest, str) or not isinstance(text, str):
        return None
    name = _name_of(text)
    return NamedImage(name, name.digest or _pinned(name, source.file(LOCK_PATH)), manifest)


class ImageProvider(EnvironmentProvider):
    """An image is identified by its manifest for this platform: all of its programs and files count by that."""

    def identify(self, here: MachineSoftware, query: EnvironmentQuery) -> Environment:
        image = image_digest(here, query.source, query.source.spec.name)
        description = {"kind": KIND, "format": FORMAT, "platform": platform_name(), "image": image}
        return environment_of(description, query.source)

    def path_folders(self, here: MachineSoftware, environment: Environment) -> tuple[str, ...] | None:
        return None if self.root(here, environment) is None else ()

    def sees_machine(self, environment: Environment) -> bool:
        return False

    def root(self, here: MachineSoftware, environment: Environment) -> ImageRoot | None:
        return image_root(here, environment)

    def place_of(self, here: MachineSoftware, environment: Environment) -> str | None:
        return _store(here).place_of(environment.description["image"])

    def realize(self, here: MachineSoftware, environment: Environment, control: BuildControl) -> RealizedEnvironment:
        root = build_image(here, environment.source.spec.name, environment, control)
        return RealizedEnvironment((), ("/",), None, root=root)


def image_digest(here: MachineSoftware, source: EnvironmentSource, text: str) -> str:
    """The digest of the manifest that the image named by `text` has on this platform.

    InputError for a tag that is not pinned in the commit, NotInspectedError where a registry would have to be asked.
    """
    name = _name_of(text)
    return _manifest_of(here, name, name.digest or _pinned(name, source.file(LOCK_PATH)))


def image_root(here: MachineSoftware, environment: Environment) -> ImageRoot | None:
    """The root of the image of an environment; None while it is not on this machine."""
    return _store(here).built(environment.description["image"])


def build_image(here: MachineSoftware, text: str, environment: Environment, control: BuildControl) -> ImageRoot:
    """The root of the image of an environment, named by `text`: fetched and unpacked where it is not here."""
    from gitml.execute.sandbox.gpu_libraries import gpu_libraries

    root = _store(here).build(_name_of(text), environment.description["image"], control)
    return root.with_gpu_libraries(gpu_libraries())


def _name_of(text: str) -> ImageName:
    name, mistake = parse_image_name(text)
    if name is None:
        raise InputError(mistake or f"{text!r} names no image")
    return name


def digest_of_tag(here: MachineSoftware, name: ImageName) -> str:
    """The digest of what the tag of `name` leads to now. InputError where its registry does not answer."""
    return _store(here).fetch_tag(name)


def _pinned(name: ImageName, lock: bytes | None) -> str:
    """The digest that the tag of `name` meant when it was locked. InputError where it was not."""
    digest = image_pins(lock).get(str(name)) if lock is not None else None
    if digest is None:
        hint = "`gitml lock` pins what it means now; commit gitml.lock, or write the image by its digest, name@sha256:…"
        raise InputError(f"image {name} is named by a tag, which may be moved, and is not pinned", hint=hint)
    return digest


def _manifest_of(here: MachineSoftware, name: ImageName, digest: str) -> str:
    """The digest of this platform's manifest, where `digest` may be that of an index; it is asked once."""
    from gitml.execute.environments.images.manifests import platform_of

    id = f"{digest} {'/'.join(platform_of())}"
    known = here.facts.fact(_FACT, id)
    if isinstance(known, str):
        return known
    store = _store(here)
    found = store.known_manifest(name, digest)
    if found is None:
        if not here.may_fetch:
            raise NotInspectedError(
                f"what image {name.short()} is made of is not known here", hint="`gitml run` asks its registry"
            )
        kept = here.stored_manifest(digest)
        if kept is not None:
            store.keep_known(digest, kept)
            found = store.known_manifest(name, digest)
        if found is None:
            found = store.fetch_manifest(name, digest)
    here.facts.remember(_FACT, id, found)
    return found


def _store(here: MachineSoftware) -> ImageStore:
    from gitml.execute.environments.images.image_store import ImageStore

    return ImageStore(os.path.join(here.cache_dir, layout.IMAGES), here.machine)

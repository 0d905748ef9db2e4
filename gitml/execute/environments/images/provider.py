"""Container images as environments of steps."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from gitml import layout
from gitml.core.kinds.image_names import ImageName, parse_image_name
from gitml.core.model.environment import FORMAT, Environment, environment_of
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
    from gitml.execute.environments.images.image_store import ImageStore
    from gitml.execute.environments.images.root import ImageRoot
    from gitml.execute.process import StopRequests

KIND = "image"
_FACT = "image manifest"


class ImageProvider(EnvironmentProvider):
    """An image is identified by its manifest for this platform: all of its programs and files count by that."""

    SEES_MACHINE = False

    def identify(self, here: MachineSoftware, query: EnvironmentQuery) -> Environment:
        name = _name_of(query.source.spec.name)
        if not name.digest:
            hint = f"write it by digest, which names bytes for ever: {name}@sha256:…"
            raise InputError(f"image {name} has a tag only, which may be moved", hint=hint)
        description = {
            "kind": KIND,
            "format": FORMAT,
            "platform": platform_name(),
            "image": _manifest_of(here, name, name.digest),
        }
        return environment_of(description, query.source)

    def path_folders(self, here: MachineSoftware, environment: Environment) -> tuple[str, ...] | None:
        return None if self.root(here, environment) is None else ()

    def root(self, here: MachineSoftware, environment: Environment) -> ImageRoot | None:
        return _store(here).built(environment.description["image"])

    def place_of(self, here: MachineSoftware, environment: Environment) -> str | None:
        return _store(here).place_of(environment.description["image"])

    def realize(
        self, here: MachineSoftware, environment: Environment, stop: StopRequests, report: Callable[[str], None]
    ) -> RealizedEnvironment:
        name = _name_of(environment.source.spec.name)
        root = _store(here).build(name, environment.description["image"], stop, report)
        return RealizedEnvironment((), ("/",), None, root=root)


def _name_of(text: str) -> ImageName:
    name, mistake = parse_image_name(text)
    if name is None:
        raise InputError(mistake or f"{text!r} names no image")
    return name


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
        found = store.fetch_manifest(name, digest)
    here.facts.remember(_FACT, id, found)
    return found


def _store(here: MachineSoftware) -> ImageStore:
    from gitml.execute.environments.images.image_store import ImageStore

    return ImageStore(os.path.join(here.cache_dir, layout.IMAGES), here.machine)

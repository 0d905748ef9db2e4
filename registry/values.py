"""Module and ModuleVersion: what the registry tells of what it holds."""

from __future__ import annotations

import json
from typing import NamedTuple

from registry.interface import Interface, interface_from_json
from registry.state import ModuleState, VersionState
from registry.versions import newest_first


class ModuleManifest(NamedTuple):
    """What a publisher says of a module: its name, the version (None: it is given otherwise), its interface, and words."""

    name: str
    interface: Interface
    version: str | None = None
    description: str = ""
    category: str = ""
    tags: tuple[str, ...] = ()


class ModuleVersion(NamedTuple):
    """A version. `state` is the stricter of its own and its module's; `content` is ``git:<tree>``; `published` is UTC.

    `commit` and `path` say what was published, in the repository it was published from.
    """

    module: str
    version: str
    state: str
    content: str
    published: str
    by: str
    description: str
    reason: str
    replacement: str | None
    commit: str
    path: str
    interface_json: str

    @property
    def interface(self) -> Interface:
        """Its ports and parameters."""
        return interface_from_json(json.loads(self.interface_json))


class RegisteredModule(NamedTuple):
    """A module with its versions: those with an order first, highest first. `default` is an active version or None."""

    name: str
    state: str
    default: str | None
    description: str
    category: str
    tags: tuple[str, ...]
    reason: str
    replacement: str | None
    versions: tuple[ModuleVersion, ...]


def module_of(state: ModuleState) -> RegisteredModule:
    """The module in this state."""
    versions = tuple(version_of(state, state.versions[version]) for version in newest_first(state.versions))
    own = (state.name, state.state, state.default, state.description, state.category, state.tags)
    return RegisteredModule(*own, state.reason, state.replacement, versions)


def version_of(state: ModuleState, version: VersionState) -> ModuleVersion:
    """The version of a module in this state."""
    return ModuleVersion(
        module=state.name,
        version=version.version,
        state=state.effective(version),
        content=version.content,
        published=version.published,
        by=version.by,
        description=version.description,
        reason=version.reason,
        replacement=version.replacement,
        commit=version.commit,
        path=version.path,
        interface_json=version.interface,
    )

"""The module registry: versioned, typed modules in a Git repository, published, deprecated, disabled and resolved.

It knows nothing of pipelines. Its truth is a log of events in ``refs/gitml/registry``; see `Registry`. What stands in `__all__`
is imported when it is first asked for: a run that only looks up a version loads nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registry.content import Content
    from registry.interface import Interface, ModuleParam, ModulePort
    from registry.log.events import Event
    from registry.log.share import ShareResult, Withdrawn
    from registry.log.verification import Verification
    from registry.publication_rules import InterfaceDiff, interface_diff
    from registry.registry import Publication, Registry, VersionDiff
    from registry.state import ModuleManifest, ModuleVersion, RegisteredModule, Resolution
    from registry.versions import ModuleRef, parse_ref

__all__ = [
    "Content",
    "Event",
    "Interface",
    "InterfaceDiff",
    "ModuleManifest",
    "ModuleParam",
    "ModulePort",
    "ModuleRef",
    "ModuleVersion",
    "Publication",
    "RegisteredModule",
    "Registry",
    "Resolution",
    "ShareResult",
    "Verification",
    "VersionDiff",
    "Withdrawn",
    "interface_diff",
    "parse_ref",
]

_HOMES = {
    "content": ("Content",),
    "interface": ("Interface", "ModuleParam", "ModulePort"),
    "log.events": ("Event",),
    "log.share": ("ShareResult", "Withdrawn"),
    "log.verification": ("Verification",),
    "versions": ("ModuleRef", "parse_ref"),
    "publication_rules": ("InterfaceDiff", "interface_diff"),
    "registry": ("Publication", "Registry", "VersionDiff"),
    "state": ("ModuleManifest", "ModuleVersion", "RegisteredModule", "Resolution"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"registry.{home}"), name)
    raise AttributeError(f"module 'registry' has no attribute {name!r}")

"""The module registry: versioned, typed modules in a Git repository, published, deprecated, disabled and resolved.

It knows nothing of pipelines. Its truth is a log of events in ``refs/gitml/registry``; see `Registry`.
"""

from __future__ import annotations

from registry.compatibility import InterfaceDiff, interface_diff
from registry.content import Content
from registry.events import Event
from registry.interface import Interface, Param, Port
from registry.names import ModuleRef, parse_ref
from registry.registry import Publication, Registry, VersionDiff
from registry.resolution import Resolution
from registry.values import Manifest, Module, ModuleVersion

__all__ = [
    "Content",
    "Event",
    "Interface",
    "InterfaceDiff",
    "Manifest",
    "Module",
    "ModuleRef",
    "ModuleVersion",
    "Param",
    "Port",
    "Publication",
    "Registry",
    "Resolution",
    "VersionDiff",
    "interface_diff",
    "parse_ref",
]

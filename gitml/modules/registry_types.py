"""The registry's own values, for the rooms above, which don't know where they come from."""

from registry.log.events import Event
from registry.log.share import Shared
from registry.names import ModuleRef, parse_ref
from registry.registry import Publication, Registry
from registry.resolution import Resolution
from registry.values import Module, ModuleVersion

__all__ = [
    "Event",
    "Module",
    "ModuleRef",
    "ModuleVersion",
    "Publication",
    "Registry",
    "Resolution",
    "Shared",
    "parse_ref",
]

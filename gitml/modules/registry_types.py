"""The registry's values for the packages above, of which only `gitml.modules` may import the registry (pyproject.toml)."""

from registry.log.events import Event
from registry.log.share import ShareResult
from registry.registry import Publication, Registry
from registry.state import ModuleVersion, RegisteredModule, Resolution
from registry.versions import ModuleRef, parse_ref

__all__ = [
    "Event",
    "ModuleRef",
    "ModuleVersion",
    "Publication",
    "RegisteredModule",
    "Registry",
    "Resolution",
    "ShareResult",
    "parse_ref",
]

"""Which version a requirement means, by rules that never choose in silence."""

from __future__ import annotations

from typing import NamedTuple

from gitml.errors import InputError
from registry.state import ACTIVE, DEPRECATED, DISABLED, ModuleState, VersionState
from registry.versions import Requirement, number_of, order, parse_requirement


class Resolution(NamedTuple):
    """What a requirement came to. `state` is the stricter of the version's and its module's; `content` is ``git:<tree>``."""

    name: str
    version: str
    state: str
    content: str
    warnings: tuple[str, ...]


def resolve(module: ModuleState, requirement: str | None, *, allow_disabled: bool = False) -> Resolution:
    """The version of `module` that is meant; InputError that names what exists when there is none."""
    wanted = None if requirement is None else parse_requirement(requirement)
    if wanted is not None and wanted.exact is not None:
        return _pinned(module, wanted.exact, allow_disabled)
    if module.state == DISABLED and not allow_disabled:
        raise InputError(f"module {module.name} is disabled{_why(module)}", hint=_instead(module))
    if wanted is not None:
        return _highest(module, wanted, (ACTIVE, DEPRECATED, DISABLED) if allow_disabled else (ACTIVE, DEPRECATED))
    if module.default is not None:
        return _found(module, module.versions[module.default])
    return _highest(module, Requirement("", None), (ACTIVE, DISABLED) if allow_disabled else (ACTIVE,))


def _instead(disabled: ModuleState | VersionState) -> str:
    use = f"use {disabled.replacement}; " if disabled.replacement else ""
    return f"{use}to run again what used it: --allow-disabled"


def _pinned(module: ModuleState, version: str, allow_disabled: bool) -> Resolution:
    found = module.versions.get(version)
    if found is None:
        number = number_of(version)
        same = next((v for v in module.versions if number is not None and number_of(v) == number), None)
        hint = f"did you mean {same}?" if same else f"there is {module.listed()}"
        raise InputError(f"{module.name} has no version {version}", hint=hint)
    if module.effective(found) == DISABLED and not allow_disabled:
        if module.state == DISABLED:
            raise InputError(f"module {module.name} is disabled{_why(module)}", hint=_instead(module))
        raise InputError(f"{module.name} {version} is disabled{_why(found)}", hint=_instead(found))
    return _found(module, found)


def _highest(module: ModuleState, wanted: Requirement, states: tuple[str, ...]) -> Resolution:
    """Of the first of `states` that has any, the highest version; a release before any pre-release unless one is named."""
    numbered = [(number, v) for v in module.versions.values() if (number := number_of(v.version)) is not None]
    for state in states:
        # The version's own state: that of the module is the same for all and is told with what is found.
        here = [pair for pair in numbered if pair[1].state == state]
        fitting = [pair for pair in here if wanted.admits(pair[0])]
        if not fitting and not wanted.bounds:
            fitting = here
        if fitting:
            return _found(module, max(fitting, key=lambda pair: order(pair[0]))[1])
    if not module.versions:
        raise InputError(f"there is no module {module.name!r}", hint="gitml module list")
    if wanted.text:
        message = f"no version of {module.name} that can be used satisfies {wanted.text}"
    else:
        message = f"{module.name} has no default and no active version with an order"
    raise InputError(message, hint=f"there is {module.listed()}")


def _found(module: ModuleState, version: VersionState) -> Resolution:
    state = module.effective(version)
    warnings = []
    for what, item in ((f"module {module.name}", module), (f"{module.name} {version.version}", version)):
        if item.state != ACTIVE:
            instead = f"; use {item.replacement}" if item.replacement else ""
            warnings.append(f"{what} is {item.state}{_why(item)}{instead}")
    return Resolution(module.name, version.version, state, version.content, tuple(warnings))


def _why(item: ModuleState | VersionState) -> str:
    return f": {item.reason}" if item.reason else ""

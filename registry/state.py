"""What is known of a module: its state folded from events, the version that a requirement means, and both as callers get them.

The rules of events are here (`check_event`): they are asked before an event is recorded, and again where it is put behind others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from gitml.errors import InputError
from registry.interface import Interface, interface_from_json
from registry.log.events import DEPRECATE, DISABLE, ENABLE, PUBLISH, SET_DEFAULT, Event
from registry.versions import Requirement, newest_first, number_of, order, parse_requirement

ACTIVE, DEPRECATED, DISABLED = "active", "deprecated", "disabled"
BECOMES = {DEPRECATE: DEPRECATED, DISABLE: DISABLED, ENABLE: ACTIVE}
"""The state after an event of each of these kinds."""


class ModuleVersion(NamedTuple):
    """A version at some time. `content` is ``git:<tree>``, `published` UTC; `reason` and `replacement` belong to its state.

    In a ModuleState `state` is the version's own; callers get the stricter of that and its module's (`version_of`). `commit` and
    `path` say what was published, in the repository it was published from.
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


class ModuleState:
    """A module at some time. `default` is always an active version, or None."""

    __slots__ = ("category", "default", "description", "name", "reason", "replacement", "state", "tags", "versions")

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = ACTIVE
        self.reason = ""
        self.replacement: str | None = None
        self.default: str | None = None
        self.description = ""
        self.category = ""
        self.tags: tuple[str, ...] = ()
        self.versions: dict[str, ModuleVersion] = {}

    def effective(self, version: ModuleVersion) -> str:
        """The version's state with the module's: whichever is stricter."""
        if DISABLED in (self.state, version.state):
            return DISABLED
        return DEPRECATED if DEPRECATED in (self.state, version.state) else ACTIVE

    def version(self, version: str) -> ModuleVersion:
        """The version of that name; InputError that names those there are."""
        found = self.versions.get(version)
        if found is None:
            raise InputError(f"{self.name} has no version {version}", hint=f"there is {self.listed()}")
        return found

    def listed(self) -> str:
        """The versions there are, highest first, and why those that are not active are not."""
        if not self.versions:
            return "no version"
        named = []
        ordered = newest_first(self.versions)
        for version in ordered[:20]:
            found = self.versions[version]
            state = self.effective(found)
            why = (found if found.state != ACTIVE else self).reason
            named.append(version if state == ACTIVE else f"{version} ({state}{': ' if why else ''}{why[:60]})")
        return ", ".join(named) + (f" and {len(ordered) - 20} more" if len(ordered) > 20 else "")


def folded(name: str, events: Iterable[Event]) -> ModuleState:
    """The module after `events`, which are all of its events up to some time, in order."""
    state = ModuleState(name)
    for event in events:
        apply(state, event)
    return state


def apply(state: ModuleState, event: Event) -> None:
    """Applies one more event to the state.

    What joined logs hold that the rules would have refused has no effect: the first content of a version stays, and only an
    active version becomes or stays the default.
    """
    version = event.version
    if event.kind == PUBLISH:
        assert version is not None
        if version in state.versions:
            return
        state.versions[version] = ModuleVersion(
            module=state.name,
            version=version,
            state=ACTIVE,
            content=event.content,
            published=event.at,
            by=event.by,
            description=event.description,
            reason="",
            replacement=None,
            commit=event.commit,
            path=event.path,
            interface_json=json.dumps(event.interface, separators=(",", ":")),
        )
        state.description, state.category, state.tags = event.description, event.category, event.tags
    elif event.kind in BECOMES and version is None:
        state.state = BECOMES[event.kind]
        state.reason, state.replacement = event.reason, event.replacement
    elif event.kind in BECOMES and version in state.versions:
        state.versions[version] = state.versions[version]._replace(
            state=BECOMES[event.kind], reason=event.reason, replacement=event.replacement
        )
    wanted = version if event.kind == SET_DEFAULT else event.default
    if wanted is not None and wanted in state.versions:
        state.default = wanted
    if event.clear_default or (state.default and state.versions[state.default].state != ACTIVE):
        state.default = None


def check_event(state: ModuleState, event: Event) -> None:
    """InputError when the rules don't let `event` follow. What publishing asks beyond this is in `registry.publication_rules`."""
    version = event.version
    if event.kind != PUBLISH:
        if not state.versions:
            raise InputError(f"there is no module {state.name!r}", hint="gitml module list")
        if version is not None:
            state.version(version)
    if event.kind == SET_DEFAULT:
        assert version is not None
        _check_default(state, version, ())
    loses_default = event.kind in (DEPRECATE, DISABLE) and version is not None and version == state.default
    if loses_default and event.default is None and not event.clear_default:
        others = [v for v in newest_first(state.versions) if v != version and state.versions[v].state == ACTIVE]
        raise InputError(
            f"{version} is the default of {state.name}, and a default must be active",
            hint="name another: --default " + (" or ".join(others[:5]) or "VERSION") + ", or --clear-default",
        )
    if event.default is not None:
        leaving = (version,) if event.kind in (DEPRECATE, DISABLE) else ()
        coming = version if event.kind == PUBLISH else None
        if event.default != coming:
            _check_default(state, event.default, leaving)


def _check_default(state: ModuleState, version: str, leaving: tuple[str | None, ...]) -> None:
    found = state.version(version)
    becomes = "no longer active then" if version in leaving else found.state
    if version in leaving or found.state != ACTIVE:
        raise InputError(
            f"{state.name} {version} can't be the default: it is {becomes}", hint="a default must be active"
        )


def same_number(state: ModuleState, version: str) -> str | None:
    """A version there is that is the same number as `version`, written otherwise (``1.0`` and ``1.0.0``)."""
    number = number_of(version)
    if number is None:
        return None
    return next((other for other in state.versions if other != version and number_of(other) == number), None)


class ModuleManifest(NamedTuple):
    """What a publisher says of a module: its name, the version (None: it is given otherwise), its interface, and words."""

    name: str
    interface: Interface
    version: str | None = None
    description: str = ""
    category: str = ""
    tags: tuple[str, ...] = ()


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


def version_of(state: ModuleState, version: ModuleVersion) -> ModuleVersion:
    """A version of a module in this state, as callers get it."""
    return version._replace(state=state.effective(version))


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


def _instead(disabled: ModuleState | ModuleVersion) -> str:
    use = f"use {disabled.replacement}; " if disabled.replacement else ""
    return f"{use}to run again what used it: --allow-disabled"


def _pinned(module: ModuleState, version: str, allow_disabled: bool) -> Resolution:
    if version not in module.versions and (same := same_number(module, version)):
        raise InputError(f"{module.name} has no version {version}", hint=f"did you mean {same}?")
    found = module.version(version)
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


def _found(module: ModuleState, version: ModuleVersion) -> Resolution:
    state = module.effective(version)
    warnings = []
    for what, item in ((f"module {module.name}", module), (f"{module.name} {version.version}", version)):
        if item.state != ACTIVE:
            instead = f"; use {item.replacement}" if item.replacement else ""
            warnings.append(f"{what} is {item.state}{_why(item)}{instead}")
    return Resolution(module.name, version.version, state, version.content, tuple(warnings))


def _why(item: ModuleState | ModuleVersion) -> str:
    return f": {item.reason}" if item.reason else ""

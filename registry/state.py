"""What a module is after a row of events: a fold, and the rules that say which event may come next."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from gitml.errors import InputError
from registry.log.events import DEPRECATE, DISABLE, ENABLE, PUBLISH, SET_DEFAULT, Event
from registry.versions import newest_first, number_of

ACTIVE, DEPRECATED, DISABLED = "active", "deprecated", "disabled"
_BECOMES = {DEPRECATE: DEPRECATED, DISABLE: DISABLED, ENABLE: ACTIVE}


class VersionState(NamedTuple):
    """A version at some time. `interface` is JSON text; `reason` and `replacement` belong to its state; `published` is UTC."""

    version: str
    content: str
    published: str
    by: str
    description: str
    interface: str
    commit: str
    path: str
    state: str = ACTIVE
    reason: str = ""
    replacement: str | None = None


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
        self.versions: dict[str, VersionState] = {}

    def effective(self, version: VersionState) -> str:
        """The version's state with the module's: whichever is stricter."""
        if DISABLED in (self.state, version.state):
            return DISABLED
        return DEPRECATED if DEPRECATED in (self.state, version.state) else ACTIVE

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
    """Brings the state behind one more event.

    What joined logs hold that the rules would have refused has no effect: the first content of a version stays, and only an
    active version becomes or stays the default.
    """
    version = event.version
    if event.kind == PUBLISH:
        assert version is not None
        if version in state.versions:
            return
        interface = json.dumps(event.interface, separators=(",", ":"))
        state.versions[version] = VersionState(
            version, event.content, event.at, event.by, event.description, interface, event.commit, event.path
        )
        state.description, state.category, state.tags = event.description, event.category, event.tags
    elif event.kind in _BECOMES and version is None:
        state.state = _BECOMES[event.kind]
        state.reason, state.replacement = event.reason, event.replacement
    elif event.kind in _BECOMES and version in state.versions:
        state.versions[version] = state.versions[version]._replace(
            state=_BECOMES[event.kind], reason=event.reason, replacement=event.replacement
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
        if version is not None and version not in state.versions:
            raise InputError(f"{state.name} has no version {version}", hint=f"there is {state.listed()}")
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
    found = state.versions.get(version)
    if found is None:
        raise InputError(f"{state.name} has no version {version}", hint=f"there is {state.listed()}")
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

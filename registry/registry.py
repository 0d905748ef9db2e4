"""Registry: modules, their versions and what became of them, kept in a Git repository."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Required, TypedDict, Unpack

from gitml.errors import InputError
from gitml.git.command import Location
from gitml.git.objects.reader import Objects
from gitml.git.repository import discover
from gitml.git.revisions import user_ident
from registry.content import Content, content_at, write_content
from registry.interface import interface_as_json
from registry.log.events import CONTENT, DEPRECATE, DISABLE, ENABLE, PUBLISH, SET_DEFAULT, Event, content_path
from registry.log.journal import RegistryEntry, RegistryJournal, moment_of, state_at, states_at
from registry.publication_rules import InterfaceDiff, interface_diff
from registry.state import (
    ACTIVE,
    BECOMES,
    ModuleManifest,
    ModuleState,
    ModuleVersion,
    RegisteredModule,
    Resolution,
    check_event,
    module_of,
    resolve,
    version_of,
)
from registry.versions import check_name, check_version, parse_ref

if TYPE_CHECKING:
    from registry.log.share import ShareResult
    from registry.log.verification import Verification


class Publication(NamedTuple):
    """What came of publishing. `new` is False when the version was there with this content; `notes` are for the publisher."""

    version: ModuleVersion
    new: bool
    notes: tuple[str, ...]


class VersionDiff(NamedTuple):
    """What differs between two versions. `files` are (``A``, ``M`` or ``D``, path)."""

    interface: InterfaceDiff
    files: tuple[tuple[str, str], ...]


class WithdrawalOptions(TypedDict, total=False):
    """Why a version or module is no longer to be used. `replacement` is ``name@version``, shown to those who use it.

    Of a version that is the default, `default` names another, or `clear_default` says that there is none afterwards.
    """

    reason: Required[str]
    replacement: str | None
    default: str | None
    clear_default: bool


class Registry:
    """The registry in the repository at `location`. `source` is the repository that folders are published from.

    To be used from one thread. Close it, or use it in a ``with``.
    """

    def __init__(
        self,
        location: Location,
        objects: Objects | None = None,
        source: tuple[Location, Objects] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._own_objects = objects is None
        self.location = location
        self.objects = objects or Objects(location)
        self.source = source or (location, self.objects)
        self.journal = RegistryJournal(location, self.objects, clock)

    @classmethod
    def open(cls, where: str = ".", environ: Mapping[str, str] | None = None) -> Registry:
        """The registry of the repository that the folder `where` lies in. InputError when it lies in none."""
        return cls(discover(where, os.environ if environ is None else environ))

    @classmethod
    def shared(cls, home: Location, url: str, source: tuple[Location, Objects] | None = None) -> Registry:
        """The registry at `url` through a clone beside the repository `home`, made when there is none yet."""
        from registry.log.clones import clone_of

        return cls(clone_of(home, url), source=source)

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of files and processes."""
        self.journal.close()
        if self._own_objects:
            self.objects.close()

    # -- writing

    def publish(
        self,
        directory: str | Content,
        manifest: ModuleManifest,
        *,
        at: str | None = None,
        version: str | None = None,
        default: bool = False,
        allow_breaking: bool = False,
        message: str = "",
    ) -> Publication:
        """Publishes a folder as it is at the commit `at` (HEAD when None, and then nothing in it may be uncommitted).

        Atomic: event and content are one commit of the log. The same version with the same content is left as it is;
        InputError for other content, for an incompatible interface without a new major version unless `allow_breaking`, and
        for what a module can't hold.
        """
        name = check_name(manifest.name)
        if version is not None and manifest.version is not None and version != manifest.version:
            raise InputError(f"asked to publish {version}, but the module says it is {manifest.version}", where=name)
        wanted = version or manifest.version
        if wanted is None:
            raise InputError("no version", where=name, hint="say which: --version 1.0.0")
        check_version(wanted)
        content = content_at(*self.source, directory, at) if isinstance(directory, str) else directory
        here = self.source[0].common_dir == self.location.common_dir
        if not here:
            from registry.log.clones import copy_tree

            copy_tree(self.source[0], self.location, content.tree)
        from registry.publication_rules import check_publication

        notes: tuple[str, ...] = ()
        event = Event(
            id=_new_id(),
            at="",
            by=user_ident(self.source[0]),
            kind=PUBLISH,
            module=name,
            version=wanted,
            reason=message,
            default=wanted if default else None,
            breaking=allow_breaking,
            content=CONTENT + content.tree,
            interface=interface_as_json(manifest.interface),
            description=manifest.description,
            category=manifest.category,
            tags=manifest.tags,
            commit=content.commit,
            path=content.path,
        )

        def decide() -> RegistryEntry | None:
            nonlocal notes
            state = self._state(name)
            verdict = check_publication(state, wanted, content.tree, manifest.interface, allow_breaking=allow_breaking)
            notes = verdict.notes
            if verdict.known:
                if default and state.default != wanted:
                    notes += (f"it is not the default: gitml module set-default {name} {wanted}",)
                return None
            check_event(state, event)
            trees = {content_path(name, wanted): content.tree}
            return RegistryEntry(event, trees, (content.commit,) if here else ())

        recorded = self.journal.record(decide)
        state = self._state(name)
        return Publication(version_of(state, state.versions[wanted]), recorded is not None, notes)

    def deprecate(self, name: str, version: str | None = None, **why: Unpack[WithdrawalOptions]) -> Event | None:
        """Deprecates a version, or the module; None when it is so already."""
        return self.change(DEPRECATE, name, version, **why)

    def disable(self, name: str, version: str | None = None, **why: Unpack[WithdrawalOptions]) -> Event | None:
        """Disables a version, or the module: it can no longer be used. As `deprecate` otherwise.

        Where no replacement is named, the one that it was deprecated for stays.
        """
        return self.change(DISABLE, name, version, **why)

    def enable(self, name: str, version: str | None = None, *, reason: str = "") -> Event | None:
        """Makes a version, or the module, active again; None when it is."""
        return self.change(ENABLE, name, version, reason=reason)

    def set_default(self, name: str, version: str, *, reason: str = "") -> Event | None:
        """Makes an active version the one that is meant when nothing is required; None when it is."""
        return self.change(SET_DEFAULT, name, version, reason=reason)

    def change(
        self,
        kind: str,
        name: str,
        version: str | None = None,
        *,
        reason: str = "",
        replacement: str | None = None,
        default: str | None = None,
        clear_default: bool = False,
    ) -> Event | None:
        """The change of one of these kinds; None when it is so already."""
        check_name(name)
        if kind in (DEPRECATE, DISABLE) and not reason.strip():
            raise InputError("no reason", where=f"{kind} {name}", hint="say why: --reason …")
        if default is not None and clear_default:
            raise InputError("either another default or none", where="--default, --clear-default")
        if version is None and (default is not None or clear_default):
            raise InputError("a default can change with a version, not with the whole module", where=f"{kind} {name}")
        for given in (version, default):
            if given is not None:
                check_version(given)
        by = user_ident(self.source[0])
        event = Event(_new_id(), "", by, kind, name, version, reason, replacement, default, clear_default)

        def decide() -> RegistryEntry | None:
            state = self._state(name)
            told = (
                event
                if kind != DISABLE or replacement is not None
                else event._replace(replacement=_instead(state, version))
            )
            check_event(state, told)
            if replacement is not None:
                self._check_replacement(replacement)
            return None if _is_so(state, told) else RegistryEntry(told)

        return self.journal.record(decide)

    def _check_replacement(self, text: str) -> None:
        ref = parse_ref(text)
        if ref.registry is None:
            resolve(self._existing(ref.name, None), ref.requirement)

    # -- reading

    def resolve(self, requirement: str, as_of: str | None = None, allow_disabled: bool = False) -> Resolution:
        """The version that ``name``, ``name@1.2.0``, ``name@^1`` … means, now or at some time; InputError when there is none."""
        ref = parse_ref(requirement)
        if ref.registry is not None:
            raise InputError(f"{ref.registry!r} is another registry", where=requirement)
        return resolve(self._existing(ref.name, as_of), ref.requirement, allow_disabled=allow_disabled)

    def modules(
        self,
        as_of: str | None = None,
        *,
        text: str | None = None,
        category: str | None = None,
        tag: str | None = None,
        state: str | None = None,
    ) -> list[RegisteredModule]:
        """All modules by name, or those that fit."""
        if as_of is None:
            found = self.journal.projection.modules(text=text, category=category, tag=tag, state=state)
        else:
            found = [
                module
                for module in states_at(self.journal, moment_of(self.journal, as_of))
                if (text is None or text.casefold() in f"{module.name} {module.description}".casefold())
                and category in (None, module.category)
                and (tag is None or tag in module.tags)
                and state in (None, module.state)
            ]
        return [module_of(module) for module in found]

    def module(self, name: str, as_of: str | None = None) -> RegisteredModule:
        """The module of that name; InputError when there is none."""
        return module_of(self._existing(name, as_of))

    def versions(self, name: str, as_of: str | None = None) -> tuple[ModuleVersion, ...]:
        """Its versions: those with an order first, highest first."""
        return self.module(name, as_of).versions

    def version(self, name: str, version: str, as_of: str | None = None) -> ModuleVersion:
        """One version, whatever its state."""
        state = self._existing(name, as_of)
        return version_of(state, state.version(version))

    def history(self, name: str, as_of: str | None = None) -> list[Event]:
        """Everything that happened to a module, oldest first."""
        self._existing(name, as_of)
        events = self.journal.projection.events(name)
        if as_of is None:
            return events
        moment = moment_of(self.journal, as_of)
        return [event for event in events if moment.holds(event)]

    def diff(self, name: str, one: str, other: str) -> VersionDiff:
        """What changed from the version `one` to the version `other`."""
        from registry.log.clones import changed_files

        old, new = self.version(name, one), self.version(name, other)
        files = changed_files(self.location, old.content[len(CONTENT) :], new.content[len(CONTENT) :])
        return VersionDiff(interface_diff(old.interface, new.interface), files)

    def get(self, name: str, version: str, destination: str) -> int:
        """Writes the content of a version into a new or empty folder, checked byte by byte; how many files."""
        found = self.version(name, version)
        return write_content(self.objects, found.content[len(CONTENT) :], destination, f"{name}@{version}")

    def check(self, directory: str) -> Content:
        """What publishing the folder at HEAD would take; InputError as `publish` does."""
        return content_at(*self.source, directory, None)

    # -- the whole

    def tip(self) -> str | None:
        """The newest record of the log: the state that answers are from."""
        return self.journal.projection.tip()

    def verify(self) -> Verification:
        """Checks every event and content; which records are signed, and by whom."""
        from registry.log.verification import verify

        return verify(self.journal)

    def rebuild(self) -> int:
        """Rebuilds the projection from the log; how many events there are."""
        return self.journal.projection.rebuild()

    def pull(self, remote: str = "origin") -> ShareResult:
        """Takes in what the remote's registry has. Own events that are not on any remote yet come after it."""
        from registry.log.share import pull

        return pull(self.journal, remote)

    def push(self, remote: str = "origin") -> ShareResult:
        """Sends own events to the remote's registry, after taking in what it has."""
        from registry.log.share import push

        return push(self.journal, remote)

    def _state(self, name: str) -> ModuleState:
        return self.journal.projection.module(name) or ModuleState(name)

    def _existing(self, name: str, as_of: str | None) -> ModuleState:
        check_name(name)
        if as_of is None:
            found = self.journal.projection.module(name)
        else:
            found = state_at(self.journal, name, moment_of(self.journal, as_of))
        if found is not None:
            return found
        import difflib

        close = difflib.get_close_matches(name, self.journal.projection.names(), n=1)
        when = "" if as_of is None else f" at {as_of}"
        hint = f"did you mean {close[0]}?" if close else "gitml module list"
        raise InputError(f"there is no module {name!r}{when}", where=self.location.folder, hint=hint)


def _instead(state: ModuleState, version: str | None) -> str | None:
    """The replacement of a version, or of the module, as far as there is one."""
    item = state if version is None else state.versions.get(version)
    return item.replacement if item is not None else None


def _is_so(state: ModuleState, event: Event) -> bool:
    """Whether the event would change nothing."""
    if event.kind == SET_DEFAULT:
        return state.default == event.version
    item = state if event.version is None else state.versions[event.version]
    becomes = (BECOMES[event.kind], event.reason, event.replacement)
    is_so = (item.state, item.reason, item.replacement) == becomes
    return (is_so or (event.kind == ENABLE and item.state == ACTIVE)) and event.default in (None, state.default)


def _new_id() -> str:
    return os.urandom(8).hex()

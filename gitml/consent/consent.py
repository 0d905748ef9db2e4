"""Consent: whether this user lets a repository use the places that its files name, and run its steps."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gitml import layout
from gitml.consent.kinds import KINDS, PLACES, RUN
from gitml.errors import GitmlError, InputError, TrustError, machine_error
from gitml.git.command import Location, git_status
from gitml.permissions import ALONE, SharedMode

if TYPE_CHECKING:
    from gitml.consent.questions import Granted, Question
    from gitml.consent.user_folder import TrustFile
    from gitml.core.config.places import Place

# What asks and what is noted is imported where it is needed: most commands ask nothing.
_ID = re.compile(r"[0-9a-f]{32}\Z")


class Consent:
    """That of one repository. Nothing is read before it is asked for.

    While `offline`, which is for commands that only look, no place may be used at all. `ask` shows a Question to a person and
    gives the answer; without it, and in other threads than the first, what was not allowed before is refused.
    """

    def __init__(self, location: Location, environ: Mapping[str, str], sharing: SharedMode = ALONE) -> None:
        self._location = location
        self._environ = environ
        self._sharing = sharing
        self._once: set[str] = set()
        self._denied: set[tuple[str, ...]] = set()
        self.offline = False
        self.ask: Callable[[Question], bool] | None = None

    # -- what is so

    @cached_property
    def given(self) -> frozenset[str]:
        """What the environment allows, by ``GITML_TRUST=places,run``; InputError for another word."""
        words = [word.strip() for word in self._environ.get(layout.TRUST_VARIABLE, "").split(",") if word.strip()]
        for word in words:
            if word not in KINDS:
                raise InputError(f"it may say places, run or both, not {word[:40]!r}", where=layout.TRUST_VARIABLE)
        return frozenset(words)

    @cached_property
    def is_owners(self) -> bool:
        """Whether the repository is its owner's alone; see `consent.consent`."""
        return is_owners(self._location)

    @property
    def granted(self) -> Granted:
        """What the user's file says of this repository."""
        from gitml.consent.questions import granted_in

        return granted_in(self._path, self._entry(self._file.read()) or {})

    def may_run(self) -> bool:
        """Whether the repository's steps may run, and its programs be looked at. Nobody is asked."""
        return self._may(RUN) or self.is_owners or self.granted.run is not None

    def may_use(self, place: Place) -> bool:
        """Whether a place may be used by commands that do. Nobody is asked."""
        return self.usable([place])[0]

    def usable(self, places: Sequence[Place]) -> list[bool]:
        """`may_use` of each of these places."""
        if self._may(PLACES) or self.is_owners:
            return [True] * len(places)
        granted = self.granted.places
        return [place.identity in granted for place in places]

    def settings_of(self, url: str) -> Mapping[str, str]:
        """What the user's own settings say of a place: ``token``, ``endpoint``, ``account``."""
        return self._settings.get(url.rstrip("/"), {})

    # -- what is asked for

    def allow_once(self, *kinds: str) -> None:
        """Allows ``places`` or ``run`` for as long as this object lives, as ``--trust`` does."""
        self._once.update(kinds)

    @contextmanager
    def online(self) -> Iterator[None]:
        """Within it places may be used that were allowed: for what a person asked for by name in a command that looks."""
        before, self.offline = self.offline, False
        try:
            yield
        finally:
            self.offline = before

    def need_places(self, places: Iterable[Place | None]) -> None:
        """ConsentError unless all of these places may be used now. A person who can be asked is asked about the others."""
        named = [place for place in places if place is not None]
        if not named:
            return
        from gitml.consent.questions import ConsentError, Question, more

        if self.offline:
            raise TrustError(f"{named[0].words} is not asked by a command that only looks")
        if self._may(PLACES):
            return
        granted = self.granted.places
        new = tuple({place.identity: place for place in named if place.identity not in granted}.values())
        if not new:
            return
        if self.is_owners:
            with suppress(GitmlError):  # so that nothing is asked when it gets a remote one day
                self.allow(new)
            return
        question = Question(PLACES, where_from(self._location), new)
        if self._asked(question):
            self.grant(question)
            return
        raise ConsentError(
            f"not allowed yet: {new[0].words}{more(len(new) - 1)}",
            question,
            where=new[0].source,
            hint="see `gitml trust`, then `gitml trust allow places`; or --trust for this command alone",
        )

    def need_run(self, commands: Sequence[tuple[str, str]]) -> None:
        """ConsentError unless the steps of this repository may run; `commands` are (step, command line) of those that would."""
        if self._may(RUN) or self.granted.run is not None:
            return
        if self.is_owners:
            with suppress(GitmlError):
                self.allow((), run=True)
            return
        from gitml.consent.questions import ConsentError, Question

        origin = where_from(self._location)
        question = Question(RUN, origin, (), tuple(commands))
        if self._asked(question):
            self.grant(question)
            return
        raise ConsentError(
            f"the steps of this repository{f', which comes from {origin},' if origin else ''} may not run yet",
            question,
            where=self._location.folder,
            hint="read what would run (`gitml plan`, `gitml dag`), then `gitml trust allow run`; or --trust for this"
            " command alone",
        )

    # -- what is changed

    def allow(self, places: Iterable[Place], *, run: bool = False) -> None:
        """Notes what the user allows this repository from now on. MachineError when it can't be written."""
        now = time.time()
        id = self._id() or self._new_id()
        with self._file.changing() as entries:
            entry = entries.get(id)
            if not isinstance(entry, dict) or entry.get("path") != self._path:
                for other in [o for o, one in entries.items() if not os.path.isdir(str(one.get("path", "")))]:
                    del entries[other]  # its repository is gone
                entry = entries[id] = {"path": self._path, "run": None, "places": {}}
            for place in places:
                entry["places"].setdefault(place.identity, {**place._asdict(), "allowed": now})
            if run and entry["run"] is None:
                entry["run"] = now

    def grant(self, question: Question) -> None:
        """Notes that a person said yes to a Question."""
        self.allow(question.places, run=question.kind == RUN)

    def revoke(self, kind: str, identities: Iterable[str] | None = None) -> int:
        """Takes back ``run``, or places: those of `identities`, all when None. How many there were."""
        id = self._id()
        with self._file.changing() as entries:
            entry = self._entry(entries)
            if id is None or entry is None:
                return 0
            if kind == RUN:
                was, entry["run"] = entry["run"], None
                return int(was is not None)
            known = entry["places"]
            gone = [one for one in (known if identities is None else identities) if one in known]
            for one in gone:
                del known[one]
            return len(gone)

    # -- within

    @cached_property
    def _file(self) -> TrustFile:
        from gitml.consent.user_folder import TrustFile

        return TrustFile(self._environ)

    @cached_property
    def _path(self) -> str:
        return os.path.realpath(self._location.common_dir)

    @cached_property
    def _settings(self) -> dict[str, dict[str, str]]:
        from gitml.consent.user_folder import place_settings

        return place_settings(self._environ)

    def _may(self, kind: str) -> bool:
        return kind in self._once or kind in self.given

    def _asked(self, question: Question) -> bool:
        if self.ask is None or threading.current_thread() is not threading.main_thread():
            return False
        about = (question.kind, *(place.identity for place in question.places))
        if about not in self._denied and self.ask(question):
            return True
        self._denied.add(about)  # nobody is asked twice
        return False

    def _entry(self, entries: Mapping[str, Any]) -> dict[str, Any] | None:
        """What is noted of this repository. A copy of it in another folder is another."""
        id = self._id()
        entry = entries.get(id) if id is not None else None
        return entry if isinstance(entry, dict) and entry.get("path") == self._path else None

    @property
    def _id_path(self) -> str:
        return layout.own_folder(self._location.common_dir, layout.TRUST_ID)

    def _id(self) -> str | None:
        """The repository's own id. It is in no clone, so what lies at an old path later is another repository."""
        try:
            with open(self._id_path, encoding="ascii") as file:
                id = file.read(64).strip()
        except (OSError, UnicodeDecodeError):
            return None
        return id if _ID.match(id) else None

    def _new_id(self) -> str:
        id = os.urandom(16).hex()
        try:
            self._sharing.make_folder(os.path.dirname(self._id_path))
            fd = os.open(self._id_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(fd, "w") as file:
                file.write(id + "\n")
            self._sharing.open_up(self._id_path)
        except FileExistsError:
            found = self._id()
            if found is not None:  # another process was first
                return found
            with suppress(FileNotFoundError):
                os.unlink(self._id_path)  # one that a crash left empty
            return self._new_id()
        except OSError as error:
            raise machine_error(error, self._id_path) from error
        return id


_LARGEST = 1 << 20


def is_owners(location: Location) -> bool:
    """Whether there is no sign that the repository came from elsewhere: no remote in Git's settings, no clone in its reflog.

    Nor was anything ever fetched or pulled into it, from whatever URL.
    """
    return not (_was_cloned(location.common_dir) or _has_fetched(location) or _has_remotes(location))


def where_from(location: Location) -> str | None:
    """The URL of the remote that a repository is likeliest to come from, without secrets; None when there is none."""
    from gitml.git.log.remote_refs import without_secrets

    out, _, code = git_status(location, "config", "-z", "--get-regexp", r"^remote\..*\.url$")
    urls = {}
    for item in os.fsdecode(out).split("\0") if code == 0 else ():
        name, _, url = item.partition("\n")
        urls[name.removeprefix("remote.").removesuffix(".url")] = url
    known = urls.get("origin") or next(iter(urls.values()), None)
    return None if known is None else without_secrets(known)


def _was_cloned(common_dir: str) -> bool:
    first = _beginning(os.path.join(common_dir, "logs", "HEAD")).partition(b"\n")[0]
    return b"\tclone: from " in first or os.path.exists(os.path.join(common_dir, "shallow"))


def _has_fetched(location: Location) -> bool:
    """Git notes the last fetch, one by URL too, in a file of each work tree."""
    folders = {location.common_dir, location.git_dir}
    with suppress(OSError):
        folders |= {entry.path for entry in os.scandir(os.path.join(location.common_dir, "worktrees"))}
    return any(_beginning(os.path.join(folder, "FETCH_HEAD")) for folder in folders)


def _has_remotes(location: Location) -> bool:
    """A process is started only where Git's settings are not in one plain file, or name a remote without a doubt."""
    if any(_is_filled(os.path.join(location.common_dir, name)) for name in ("remotes", "branches")):
        return True
    settings = _beginning(os.path.join(location.common_dir, "config")).lower()
    if b"include" in settings or os.path.exists(os.path.join(location.git_dir, "config.worktree")):
        out, _, code = git_status(location, "config", "--local", "--includes", "--get-regexp", r"^(svn-)?remote\.")
        return code not in (0, 1) or bool(out)
    return b"[remote" in settings or b"[svn-remote" in settings


def _is_filled(folder: str) -> bool:
    try:
        return bool(os.listdir(folder))
    except OSError:
        return False


def _beginning(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST)
    except OSError:
        return b""

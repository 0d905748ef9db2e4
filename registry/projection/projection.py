"""The projection: what the log says, in an SQLite file beside it that can be thrown away.

It is refreshed from the log at every query. Runs query it, so sqlite3 is used; `tables` makes the tables, and answers general
questions.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from gitml.errors import BusyError, GitmlError, MachineError, how_to_mend_database, machine_error
from gitml.git.integrity.repairs import announce
from gitml.git.log.record_log import GitRecordLog
from gitml.git.objects.reader import Objects
from gitml.git.repository import sharing_at
from gitml.permissions import SharedMode, can_be_written
from registry.log.events import FOLDER, Event, event_as_bytes, event_from_bytes
from registry.projection.rows import (
    READ_MODULE,
    READ_VERSIONS,
    VERSION,
    VERSION_COLUMNS,
    connect,
    read_module,
    tip_of,
)
from registry.state import ModuleState, apply, folded

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

T = TypeVar("T")

_EVENT = "INSERT INTO event (id, at, author, kind, module, version, reason, file, body) VALUES (?,?,?,?,?,?,?,?,?)"
_MODULE = """INSERT OR REPLACE INTO module
    (state, reason, replacement, default_version, description, category, tags, changed, name) VALUES (?,?,?,?,?,?,?,?,?)"""
_VERSION = f"INSERT OR REPLACE INTO version ({VERSION_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"  # noqa: S608 (constants)
_EMPTY = "DELETE FROM event; DELETE FROM module; DELETE FROM version"


class Projection:
    """The projection of `log` in the file at `path`, made when missing and made again when it can't be used."""

    def __init__(self, path: str, log: GitRecordLog, objects: Objects) -> None:
        self.path = self._own = path
        self._copy: TemporaryDirectory[str] | None = None
        self._log = log
        self._objects = objects
        self._db: sqlite3.Connection | None = None

    @cached_property
    def sharing(self) -> SharedMode:
        """Whom Git's settings let into the repository; asked for when something is made."""
        return sharing_at(self._objects.location, os.environ)

    def close(self) -> None:
        """Closes the file; it is opened again when something is asked."""
        self._shut()
        if self._copy is not None:
            self._copy.cleanup()
            self._copy, self.path = None, self._own

    def _shut(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def tip(self) -> str | None:
        """The record that the projection is level with, which is the newest one."""
        return self.query(lambda db: tip_of(db))

    def module(self, name: str) -> ModuleState | None:
        """The module as it is now."""
        return self.query(lambda db: read_module(db, name))

    def modules(self, **fitting: str | None) -> list[ModuleState]:
        """The modules that fit as they are now, by name; see `tables.module_names`."""
        from registry.projection.tables import module_names

        return self.query(
            lambda db: [found for name in module_names(self.path, **fitting) if (found := read_module(db, name))]
        )

    def names(self) -> list[str]:
        """All modules."""
        return [row[0] for row in self.query(lambda db: db.execute("SELECT name FROM module ORDER BY name").fetchall())]

    def newest(self) -> str:
        """The time of the last event, empty when there is none."""
        return self.query(lambda db: db.execute("SELECT max(at) FROM event").fetchone()[0]) or ""

    def events(self, module: str | None = None) -> list[Event]:
        """All events, or those of a module, oldest first."""
        return self.query(lambda db: list(_events(db, module)))

    def refresh(self) -> None:
        """Refreshes the file from the log, for a reader that opens it itself."""
        self.query(lambda db: None)

    def rebuild(self) -> int:
        """Throws the file's content away and rebuilds it from the log; how many events there are."""

        def emptied(db: sqlite3.Connection) -> None:
            # In place: another process may have the file open.
            db.executescript("BEGIN IMMEDIATE; " + _EMPTY + "; DELETE FROM meta; COMMIT;")  # noqa: S608 (constants)

        self.query(emptied)
        return int(self.query(lambda db: db.execute("SELECT count(*) FROM event").fetchone()[0]))

    def query(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` finds in the file once it is level with the log. A damaged file is rebuilt, once."""
        try:
            return work(self._refreshed())
        except sqlite3.DatabaseError as error:
            if not _damaged(error):
                if self._leave():
                    return self.query(work)
                raise self._refused(error) from error
        except (MachineError, OSError):
            if self._leave():
                return self.query(work)
            raise
        self._renew()
        try:
            return work(self._refreshed())
        except sqlite3.DatabaseError as error:
            raise self._refused(error) from error

    def _refreshed(self) -> sqlite3.Connection:
        db = self._opened()
        tip = self._log.tip()
        if tip is None or tip_of(db) != tip:
            healed = self._log.recover_ref(tip_of(db), FOLDER)
            if healed is not None:
                announce(healed.words())
        if tip_of(db) != self._log.tip():
            db.execute("BEGIN IMMEDIATE")
            try:
                # Read within the transaction: another process may have been here, and must not be set back.
                tip, known = self._log.tip(), tip_of(db)
                if tip != known:
                    self._advance(db, known, tip)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.rollback()
                raise
        return db

    def _advance(self, db: sqlite3.Connection, known: str | None, tip: str | None) -> None:
        if tip is None or (known is not None and self._objects.header(known) is None):
            for statement in _EMPTY.split("; "):
                db.execute(statement)
            known = None
        if tip is not None:
            changes = self._log.changes(known, tip, FOLDER)
            late = _remove(db, changes.removed)
            contents = self._objects.read_many([oid for _, oid in changes.added])
            events = [
                event_from_bytes(data, path) for (path, _), (_, data) in zip(changes.added, contents, strict=True)
            ]
            _add(db, events, late)
        db.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('tip', ?)", (tip or "",))

    def _leave(self) -> bool:
        """Goes on with a copy that ends with the process, where the file can't be written; whether that is so."""
        there = os.path.exists(self.path)
        if self._copy is not None or (
            can_be_written(os.path.dirname(self.path)) and (not there or os.access(self.path, os.W_OK))
        ):
            return False
        import shutil
        import tempfile

        self._shut()
        self._copy = tempfile.TemporaryDirectory(prefix="gitml-", ignore_cleanup_errors=True)
        here = os.path.join(self._copy.name, os.path.basename(self.path))
        with suppress(OSError):
            shutil.copyfile(self.path, here)
        self.path = here
        return True

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = self._good()
            if self._db is None:
                self._renew()
        assert self._db is not None
        return self._db

    def _good(self) -> sqlite3.Connection | None:
        """The file opened, None when it is missing, damaged at first sight, or of another schema."""
        if not os.path.exists(self.path):
            return None
        try:
            db = connect(self.path)
        except sqlite3.Error as error:
            raise self._refused(error) from error
        try:
            if db.execute("PRAGMA user_version").fetchone()[0] == VERSION:
                db.execute("PRAGMA synchronous = NORMAL")
                tip_of(db)
                return db
        except sqlite3.DatabaseError as error:
            db.close()
            if not _damaged(error):
                raise self._refused(error) from error
            return None
        db.close()
        return None

    def _renew(self) -> None:
        """Puts a new, empty file in the place of one that can't be used; of several processes one does it."""
        self._shut()
        with file_lock(f"{self.path}.lock", self.sharing):
            self._db = self._good()
            if self._db is not None and self._whole(self._db):
                return
            self._shut()
            from registry.projection.tables import make  # half a second, paid once for each repository

            fresh = f"{self.path}.new"
            try:
                for leftover in (fresh, f"{fresh}-journal"):
                    if os.path.lexists(leftover):
                        os.unlink(leftover)
                make(fresh)
                self.sharing.open_up(fresh)
                if os.path.lexists(f"{self.path}-journal"):
                    os.unlink(f"{self.path}-journal")
                os.replace(fresh, self.path)
            except OSError as error:
                raise machine_error(error, self.path, "the registry's index can't be made") from error
            except Exception as error:  # SQLAlchemy is not loaded but here, and wraps what sqlite3 said
                if isinstance(cause := getattr(error, "orig", error), sqlite3.Error):
                    raise self._refused(cause) from error
                raise
            self._db = self._good()
        if self._db is None:
            raise MachineError("the registry's index can't be made", where=self.path, hint="see who else writes there")

    def _whole(self, db: sqlite3.Connection) -> bool:
        try:
            for statement in (READ_MODULE, READ_VERSIONS, "SELECT at, id, file, body FROM event WHERE module = ?"):
                db.execute(statement, ("",))
            return bool(db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
        except sqlite3.DatabaseError:
            return False

    def _refused(self, error: sqlite3.Error) -> GitmlError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return BusyError("another process is writing to the registry's index", where=self.path, hint="try again")
        hint = how_to_mend_database(code, self.path)
        return MachineError(f"the registry's index can't be used: {error}", where=self.path, hint=hint)


def _damaged(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT)


def _events(db: sqlite3.Connection, module: str | None) -> Iterator[Event]:
    where, values = ("", ()) if module is None else ("WHERE module = ?", (module,))
    for file, body in db.execute(f"SELECT file, body FROM event {where} ORDER BY at, id", values):  # noqa: S608 (constants)
        yield event_from_bytes(body.encode(), file)


def _remove(db: sqlite3.Connection, files: Sequence[str]) -> set[str]:
    """Takes events out; the modules they were of."""
    modules = set()
    for file in files:
        row = db.execute("SELECT module FROM event WHERE file = ?", (file,)).fetchone()
        if row:
            modules.add(row[0])
            db.execute("DELETE FROM event WHERE file = ?", (file,))
    return modules


def _add(db: sqlite3.Connection, events: Iterable[Event], late: set[str]) -> None:
    """Takes events in. The modules in `late`, and those whose new events are not the newest, are folded from their first."""
    news: dict[str, list[Event]] = {}
    for event in sorted(events, key=lambda event: (event.at, event.id)):
        news.setdefault(event.module, []).append(event)
    rows = []
    for module, new in news.items():
        newest = "SELECT at, id FROM event WHERE module = ? ORDER BY at DESC, id DESC LIMIT 1"
        last = db.execute(newest, (module,)).fetchone()
        if last is not None and tuple(last) > (new[0].at, new[0].id):
            late.add(module)
        for event in new:
            body = event_as_bytes(event).decode()
            rows.append(
                (event.id, event.at, event.by, event.kind, module, event.version, event.reason, event.file, body)
            )
    db.executemany(_EVENT, rows)
    for module in late:
        db.execute("DELETE FROM version WHERE module = ?", (module,))
        db.execute("DELETE FROM module WHERE name = ?", (module,))
        every = list(_events(db, module))
        if every:
            _write(db, folded(module, every), every[-1].at, None)
    for module, new in news.items():
        if module not in late:
            state = read_module(db, module) or ModuleState(module)
            for event in new:
                apply(state, event)
            _write(db, state, new[-1].at, {event.version for event in new})


def _write(db: sqlite3.Connection, state: ModuleState, changed: str, versions: set[str | None] | None) -> None:
    """Writes the module and those of its versions that are named, or all."""
    own = (state.state, state.reason, state.replacement, state.default, state.description, state.category)
    db.execute(_MODULE, (*own, json.dumps(state.tags), changed, state.name))
    db.executemany(_VERSION, [v for v in state.versions.values() if versions is None or v.version in versions])


@contextmanager
def file_lock(path: str, sharing: SharedMode, seconds: float | None = None) -> Iterator[None]:
    """Held by one process at a time, and freed by the kernel when it ends. BusyError after so many seconds of waiting."""
    import fcntl

    sharing.make_folder(os.path.dirname(path))
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    sharing.open_up(path)
    deadline = None if seconds is None else time.monotonic() + seconds
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX if deadline is None else fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if deadline is not None and time.monotonic() > deadline:
                    hint = "wait for it to end, then try again"
                    raise BusyError("another process is writing to the registry", where=path, hint=hint) from None
                time.sleep(0.01 * (0.5 + os.urandom(1)[0] / 256))
        yield
    finally:
        os.close(descriptor)

"""The SQLite file under the index: opened in about a millisecond, set aside and begun anew when it can't be used."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from gitml.errors import BusyError, GitmlError, IntegrityError, MachineError, how_to_mend_database
from gitml.permissions import ALONE, SharedMode
from gitml.store.index.schema import TABLES, VERSION
from gitml.store.local.disk import Guard

BUSY_SECONDS = 60.0
_PARTS = ("", "-wal", "-shm")


class Database:
    """The database at `path`, made when missing. Used from one thread, and not across a fork.

    One that is damaged or of another version is moved to ``<path>.bad-<n>`` and replaced by an empty one. `fresh` says that
    it was empty when it was opened: what it should hold is to be made again. Damage that shows only later raises an
    IntegrityError, after which the next opening finds nothing and begins anew. For who is only `looking` a copy that ends with
    the process takes the place of a file that can't be written.
    """

    def __init__(self, path: str, sharing: SharedMode = ALONE, *, looking: bool = False) -> None:
        self.path = path
        self.sharing = sharing
        self.only_looks = looking
        self.detached = False
        self.fresh = False
        self.aside: str | None = None  # where one went that was damaged or of another version
        self._lost = False
        self._db = self._opened()

    def detach(self) -> None:
        """Goes on with a copy of the file's content that nobody else sees, kept in memory while it is small."""
        copy = sqlite3.connect("", isolation_level=None)
        if not _copied(self.path, copy):
            copy.close()
            copy = sqlite3.connect("", isolation_level=None)
            copy.executescript(f"BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
            self.fresh = True
        if "_db" in self.__dict__:
            self._db.close()
        self._db = copy
        self.detached = True

    def close(self) -> None:
        """Closes the file; nothing may be asked afterwards."""
        self._db.close()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """One transaction for all that is written within; undone whole by an exception. May be nested."""
        if self._db.in_transaction:
            yield
            return
        self._run("BEGIN IMMEDIATE")
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            if not self._lost and self._db.in_transaction:
                self._db.rollback()
            raise

    def faults(self) -> list[str]:
        """What a check of the whole file finds wrong; takes long for a large one."""
        found = [row[0] for row in self._run("PRAGMA integrity_check(20)")]
        return [] if found == ["ok"] else found

    def _run(self, sql: str, values: Iterable[Any] = ()) -> sqlite3.Cursor:
        within = self._db.in_transaction
        try:
            return self._db.execute(sql, _bindable(values))
        except sqlite3.Error as error:
            if not self.only_looks or self.detached or within or not _denies(error):
                raise self._refused(error) from error
        self.detach()
        return self._run(sql, values)

    def _rows(self, sql: str, values: Iterable[Any] = ()) -> list[Any]:
        try:
            return self._db.execute(sql, _bindable(values)).fetchall()
        except sqlite3.Error as error:
            raise self._refused(error) from error

    def _row(self, sql: str, values: Iterable[Any] = ()) -> Any | None:
        found = self._rows(sql, values)
        return found[0] if found else None

    def _run_many(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        try:
            self._db.executemany(sql, map(_bindable, rows))
        except sqlite3.Error as error:
            raise self._refused(error) from error

    def _refused(self, error: sqlite3.Error) -> GitmlError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return BusyError(
                "another process is writing to the index", where=self.path, hint="try again when it has ended"
            )
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            self._lost = True
            self._db.close()
            with _opening(self.path, self.sharing):
                if not self._usable():
                    self._set_aside()
            return IntegrityError(
                "the index was damaged and is set aside",
                where=self.path,
                hint="run the command again: the index is made anew from the records",
            )
        hint = how_to_mend_database(code, self.path)
        if hint is not None:
            return MachineError(f"the index can't be used: {error}", where=self.path, hint=hint)
        raise error  # a mistake of ours in SQL

    def _opened(self) -> sqlite3.Connection:
        if not self.only_looks:
            return self._opened_to_write()
        try:
            return self._opened_to_write()
        except MachineError:
            self.detach()
            return self._db

    def _opened_to_write(self) -> sqlite3.Connection:
        db = self._connected()
        if db is not None:
            return db
        with Guard(self.path), _opening(self.path, self.sharing):
            db = self._connected()  # another process may have begun it meanwhile
            if db is None:
                if os.path.exists(self.path) and os.path.getsize(self.path):
                    self._set_aside()
                db = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
                try:
                    db.execute(
                        "PRAGMA user_version = 0"
                    )  # which makes the file: SQLite takes its mode for those beside it
                    self.sharing.open_up(self.path)
                    db.execute("PRAGMA journal_mode = WAL")
                    db.execute("PRAGMA synchronous = NORMAL")
                    db.executescript(f"BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
                except sqlite3.Error as error:
                    db.close()
                    raise self._refused(error) from error
                self.fresh = True
        return db

    def _connected(self) -> sqlite3.Connection | None:
        """The database if it is one of ours and whole as far as opening tells."""
        if not os.path.exists(self.path):
            return None
        try:
            db = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        except sqlite3.Error as error:
            raise self._refused(error) from error
        try:
            if db.execute("PRAGMA user_version").fetchone()[0] == VERSION:
                db.execute("PRAGMA synchronous = NORMAL")
                db.execute("SELECT value FROM meta WHERE name = ''")
                return db
        except sqlite3.Error as error:
            db.close()
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
                return None
            raise self._refused(error) from error
        db.close()
        return None

    def _usable(self) -> bool:
        db = self._connected()
        if db is None:
            return False
        try:
            return bool(db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
        except sqlite3.Error:
            return False
        finally:
            db.close()

    def _set_aside(self) -> None:
        n = 1
        while os.path.lexists(f"{self.path}.bad-{n}"):
            n += 1
        for part in _PARTS:
            try:
                os.rename(self.path + part, f"{self.path}.bad-{n}{part}")
                self.aside = self.aside or f"{self.path}.bad-{n}"
            except FileNotFoundError:
                continue


_DENIALS = (
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
)


def _denies(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file can't be written, or the disk is full."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DENIALS


def _copied(path: str, copy: sqlite3.Connection) -> bool:
    """Copies the database at `path`, which can't be written, if it is one of this version; without its newest part at worst."""
    from urllib.parse import quote

    for how in ("mode=ro", "mode=ro&immutable=1"):
        try:
            source = sqlite3.connect(f"file:{quote(os.path.abspath(path))}?{how}", uri=True)
            try:
                source.backup(copy)
            finally:
                source.close()
            if copy.execute("PRAGMA user_version").fetchone()[0] == VERSION:
                copy.execute("SELECT value FROM meta WHERE name = ''")
                return True
        except sqlite3.Error:
            continue
    return False


def _bindable(values: Iterable[Any]) -> tuple[Any, ...]:
    """Text that is no UTF-8 (names of files and branches need not be) as escapes: SQLite keeps UTF-8 only."""
    return tuple(
        [
            value.encode("utf-8", "backslashreplace").decode()
            if isinstance(value, str) and not value.isascii()
            else value
            for value in values
        ]
    )


@contextmanager
def _opening(path: str, sharing: SharedMode) -> Iterator[None]:
    """Held while a database is begun or set aside, so that of two processes one does it."""
    import fcntl

    sharing.make_folder(os.path.dirname(path) or ".")
    fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    sharing.open_up(f"{path}.lock")
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)

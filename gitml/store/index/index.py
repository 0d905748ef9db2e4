"""Index: what records and repository contain, where it is found fast. Losing it costs time only.

An SQLite file, opened in about a millisecond, set aside and rebuilt when it can't be used.
"""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

from gitml.core.model.action import Action, decode_action
from gitml.core.model.digest import Digest
from gitml.core.model.protocols import Failure
from gitml.core.model.result import ActionResult, decode_result
from gitml.errors import BusyError, GitmlError, Guard, IntegrityError, MachineError, how_to_mend_database
from gitml.files import opened
from gitml.permissions import ALONE, SharedMode

VERSION = 2
"""Raised with any change below; a database of another version is set aside and a new one begun."""

TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE facts (kind TEXT, id TEXT, value TEXT NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE TABLE environments (digest TEXT PRIMARY KEY, description BLOB NOT NULL);
CREATE TABLE inline (digest TEXT PRIMARY KEY, oid TEXT NOT NULL) WITHOUT ROWID;

-- What is known by ActionKey: the newest result, all contents that were ever seen where they differ, and the Action.
CREATE TABLE results (key TEXT PRIMARY KEY, result TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE variants (key TEXT, run TEXT, at REAL, result TEXT NOT NULL, PRIMARY KEY (key, run)) WITHOUT ROWID;
CREATE TABLE actions (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, preimage BLOB);
CREATE TABLE performed (pipeline TEXT, step TEXT, key TEXT, run TEXT NOT NULL, at REAL NOT NULL,
                        PRIMARY KEY (pipeline, step, key)) WITHOUT ROWID;
CREATE INDEX performed_newest ON performed (pipeline, step, at);
CREATE TABLE failures (pipeline TEXT, step TEXT, key TEXT NOT NULL, run TEXT NOT NULL, at REAL NOT NULL,
                       PRIMARY KEY (pipeline, step)) WITHOUT ROWID;

CREATE TABLE runs (id TEXT PRIMARY KEY, started REAL NOT NULL, ended REAL NOT NULL, pipeline TEXT NOT NULL,
                   experiment TEXT NOT NULL, status TEXT NOT NULL, "commit" TEXT NOT NULL, base TEXT, branch TEXT,
                   dirty INTEGER NOT NULL, message TEXT NOT NULL, tags TEXT NOT NULL, counts TEXT NOT NULL,
                   metrics TEXT NOT NULL, record TEXT NOT NULL);
CREATE INDEX runs_newest ON runs (started, id);
CREATE INDEX runs_pipeline ON runs (pipeline, started, id);
CREATE INDEX runs_experiment ON runs (experiment, started, id);
CREATE INDEX runs_status ON runs (status, pipeline, started, id);
CREATE INDEX runs_branch ON runs (branch, started, id);
CREATE INDEX runs_commit ON runs ("commit");
CREATE TABLE tags (tag TEXT, started REAL, run TEXT, PRIMARY KEY (tag, started, run)) WITHOUT ROWID;

-- Lineage: the steps that were performed (not those reused), what they made, and what their Actions name.
CREATE TABLE steps (id INTEGER PRIMARY KEY, run TEXT NOT NULL, step TEXT NOT NULL, outcome TEXT NOT NULL,
                    action INTEGER NOT NULL);
CREATE INDEX steps_run ON steps (run);
CREATE INDEX steps_action ON steps (action);
CREATE TABLE made (digest TEXT, step INTEGER, port TEXT, PRIMARY KEY (digest, step, port)) WITHOUT ROWID;
CREATE TABLE used (content TEXT, path TEXT, action INTEGER, PRIMARY KEY (content, path, action)) WITHOUT ROWID;
CREATE INDEX used_path ON used (path);
"""

BUSY_SECONDS = 60.0


class Index:
    """The index at a path such as ``.git/gitml/index.db``, made when missing. Used from one thread, and not across a fork.

    It holds the connection and its transactions, and is the core's ActionCache and Facts: what is looked up by one key. Queries
    and writes about runs, results and artifacts are functions of the modules of these names, which take the Index.

    One that is damaged or of another version is moved to ``<path>.bad-<n>`` and replaced by an empty one. `fresh`: it was
    empty when it was opened, and is to be filled again. Damage that shows only later raises an
    IntegrityError, after which the next opening finds nothing and rebuilds it. Where it is `read_only`, a copy that
    ends with the process takes the place of a file that can't be written.
    """

    def __init__(self, path: str, sharing: SharedMode = ALONE, *, read_only: bool = False) -> None:
        self.path = path
        self.sharing = sharing
        self.read_only = read_only
        self.detached = False
        self.fresh = False
        self.aside: str | None = None  # where one went that was damaged or of another version
        self._lost = False
        self._unwritten: dict[tuple[str, str], str] | None = None  # facts remembered within `snapshot`
        try:
            self._db = self._opened()
        except MachineError:
            if not read_only:
                raise
            self.detach()

    def detach(self) -> None:
        """Continues with a private copy of the file's content, kept in memory while it is small."""
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
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if not self._lost and self._db.in_transaction:
                self._db.rollback()
            raise

    def faults(self) -> list[str]:
        """What a check of the whole file finds wrong; takes long for a large one."""
        found = [row[0] for row in self.execute("PRAGMA integrity_check(20)")]
        return [] if found == ["ok"] else found

    def execute(self, sql: str, values: Iterable[Any] = ()) -> sqlite3.Cursor:
        """Runs a statement; GitmlError as SQLite's refusal means it to a user."""
        within = self._db.in_transaction
        try:
            return self._db.execute(sql, _bindable(values))
        except sqlite3.Error as error:
            if not self.read_only or self.detached or within or _code_of(error) not in _DENIALS:
                raise self._refused(error) from error
        self.detach()
        return self.execute(sql, values)

    def rows(self, sql: str, values: Iterable[Any] = ()) -> list[Any]:
        """All rows of a query."""
        with self._answering():
            return self._db.execute(sql, _bindable(values)).fetchall()

    def row(self, sql: str, values: Iterable[Any] = ()) -> Any | None:
        """The first row of a query, None when there is none."""
        found = self.rows(sql, values)
        return found[0] if found else None

    def rows_among(self, select: str, values: Sequence[str]) -> list[Any]:
        """The rows of a SELECT that ends in ``IN`` for these values."""
        sql = f"{select} (SELECT value FROM json_each(?))"  # noqa: S608 - no value in it
        return self.rows(sql, (json.dumps(values),)) if values else []

    def execute_many(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Runs a statement for each row of values."""
        with self._answering():
            self._db.executemany(sql, map(_bindable, rows))

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """SQLite's refusal is raised as what it means to a user."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._refused(error) from error

    def _refused(self, error: sqlite3.Error) -> GitmlError:
        code = _code_of(error)
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
                hint="run the command again: the index is rebuilt from the records",
            )
        hint = how_to_mend_database(code, self.path)
        if hint is not None:
            return MachineError(f"the index can't be used: {error}", where=self.path, hint=hint)
        raise error  # a mistake of ours in SQL

    def _opened(self) -> sqlite3.Connection:
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
        """The database if it is one of ours and, as far as opening it shows, whole."""
        if not os.path.exists(self.path):
            return None
        with self._answering():
            db = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            if db.execute("PRAGMA user_version").fetchone()[0] == VERSION:
                db.execute("PRAGMA synchronous = NORMAL")
                db.execute("SELECT value FROM meta WHERE name = ''")
                return db
        except sqlite3.Error as error:
            db.close()
            if _code_of(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
                return None
            raise self._refused(error) from error
        db.close()
        return None

    def _usable(self) -> bool:
        db = self._connected()
        if db is None:
            return False
        with closing(db), suppress(sqlite3.Error):
            return bool(db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
        return False

    def _set_aside(self) -> None:
        aside = next(name for n in itertools.count(1) if not os.path.lexists(name := f"{self.path}.bad-{n}"))
        for part in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.rename(self.path + part, aside + part)
                self.aside = self.aside or aside

    # Facts, and what else has one key

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Many reads of one state of the index, at a third of the cost; facts remembered meanwhile are written at the end."""
        if self._db.in_transaction:
            yield
            return
        self._unwritten = {}
        self.execute("BEGIN")
        try:
            yield
        finally:
            if self._db.in_transaction:
                self.execute("COMMIT")
            unwritten, self._unwritten = self._unwritten, None
            if unwritten:
                rows = [(kind, id, text) for (kind, id), text in unwritten.items()]
                try:
                    self._remember_all(rows)
                except MachineError:
                    if not self.read_only:
                        raise
                    self.detach()  # the disk is full: what was found out is to be had until the process ends
                    self._remember_all(rows)

    def _remember_all(self, rows: list[tuple[str, str, str]]) -> None:
        with self.batch():
            self.execute_many("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", rows)

    def fact(self, kind: str, id: str) -> Any | None:
        """The JSON value remembered for (kind, id)."""
        if self._unwritten and (kind, id) in self._unwritten:
            return json.loads(self._unwritten[kind, id])
        row = self.row("SELECT value FROM facts WHERE kind = ? AND id = ?", (kind, id))
        return json.loads(row[0]) if row else None

    def remember(self, kind: str, id: str, value: Any) -> None:
        """Keeps a JSON value."""
        text = json.dumps(value, separators=(",", ":"))
        if self._unwritten is not None:
            self._unwritten[kind, id] = text
            return
        self.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (kind, id, text))

    def meta(self, name: str) -> str | None:
        """A value of the index itself, such as the record commit it knows all records up to."""
        row = self.row("SELECT value FROM meta WHERE name = ?", (name,))
        return row[0] if row else None

    def set_meta(self, name: str, value: str) -> None:
        """Keeps such a value."""
        self.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def environment(self, digest: Digest) -> bytes | None:
        """The description of an environment."""
        row = self.row("SELECT description FROM environments WHERE digest = ?", (digest,))
        return row[0] if row else None

    def module(self, content: str) -> Mapping[str, str] | None:
        """What a module's content was called in a run that used it: ``name`` and ``version``."""
        known = self.fact("module", content)
        return known if isinstance(known, dict) else None

    def environments(self) -> list[bytes]:
        """The descriptions of all environments that are known."""
        return [row[0] for row in self.rows("SELECT description FROM environments")]

    def put_environment(self, digest: Digest, description: bytes) -> None:
        """Keeps the description of an environment, which may have more than a record, where only what counts is."""
        self.execute("INSERT OR REPLACE INTO environments VALUES (?, ?)", (digest, description))

    def inline(self, digest: Digest) -> str | None:
        """The Git blob that holds this content inside the records."""
        row = self.row("SELECT oid FROM inline WHERE digest = ?", (digest,))
        return row[0] if row else None

    def inline_digest(self, oid: str) -> Digest | None:
        """The content that this Git blob holds inside the records."""
        row = self.row("SELECT digest FROM inline WHERE oid = ?", (oid,))
        return row and Digest(row[0])

    def put_contents(self, inline: Iterable[tuple[Digest, str]], environments: Mapping[Digest, bytes] = {}) -> None:
        """Keeps which Git blobs hold contents inside the records, and descriptions of environments not known yet."""
        self.execute_many("INSERT OR REPLACE INTO inline VALUES (?, ?)", inline)
        self.execute_many("INSERT OR IGNORE INTO environments VALUES (?, ?)", environments.items())

    # Results and Actions by their key

    def result(self, key: Digest) -> ActionResult | None:
        """The newest result kept for `key`, whether or not its bytes are still here."""
        row = self.row("SELECT result FROM results WHERE key = ?", (key,))
        return decoded(row[0]) if row else None

    def action(self, key: Digest) -> Action | None:
        """The Action with this key."""
        row = self.row("SELECT preimage FROM actions WHERE key = ? AND preimage IS NOT NULL", (key,))
        if row is None:
            return None
        try:
            return decode_action(row[0])
        except ValueError:  # of another format: as good as not known
            return None

    def recent_actions(self, pipeline: str, step: str) -> Iterator[Action]:
        """The Actions last performed for a step of this name, newest first; some dozen at most."""
        newest = "SELECT key FROM performed WHERE pipeline = ? AND step = ? ORDER BY at DESC LIMIT 12"
        for (key,) in self.rows(newest, (pipeline, step)):
            action = self.action(key)
            if action is not None:
                yield action

    def failure(self, pipeline: str, step: str) -> Failure | None:
        """Where a step of this name failed last."""
        row = self.row("SELECT key, run FROM failures WHERE pipeline = ? AND step = ?", (pipeline, step))
        return Failure(*row) if row else None


def decoded(text: str) -> ActionResult | None:
    """A result, None for what can't be read: like all of the index it counts as not known, and is made again."""
    try:
        return decode_result(text)
    except ValueError:
        return None


_DENIALS = (  # the file can't be written, or the disk is full
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
)


def _code_of(error: sqlite3.Error) -> int:
    """The primary result code of SQLite."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _copied(path: str, copy: sqlite3.Connection) -> bool:
    """Copies the database at `path`, which can't be written, if it is one of this version; without its newest part at worst."""
    from urllib.parse import quote

    for how in ("mode=ro", "mode=ro&immutable=1"):
        with suppress(sqlite3.Error):
            with closing(sqlite3.connect(f"file:{quote(os.path.abspath(path))}?{how}", uri=True)) as source:
                source.backup(copy)
            if copy.execute("PRAGMA user_version").fetchone()[0] == VERSION:
                copy.execute("SELECT value FROM meta WHERE name = ''")
                return True
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


def escaped(text: str) -> str:
    """A text as it stands in a pattern of ``LIKE … ESCAPE '\\'``."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


@contextmanager
def _opening(path: str, sharing: SharedMode) -> Iterator[None]:
    """Held while a database is begun or set aside, so that of two processes one does it."""
    import fcntl

    sharing.make_folder(os.path.dirname(path) or ".")
    with opened(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o666) as fd:
        sharing.open_up(f"{path}.lock")
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield

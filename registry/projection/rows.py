"""Reading the projection's rows, with nothing loaded that reading them does not need: this is what every run does.

`current_module` answers when the file is level with the log as it is. A caller without an answer asks the Projection, which
repairs what is amiss.
"""

from __future__ import annotations

import json
import os
import sqlite3
from typing import NamedTuple

from gitml import layout
from registry.state import ModuleState, ModuleVersion

VERSION = 1
BUSY_SECONDS = 60.0

VERSION_COLUMNS = (
    "module, version, state, content, published, author, description, reason, replacement, source_commit, "
    "source_path, interface"
)
"""In the order of ModuleVersion."""
READ_VERSIONS = f"SELECT {VERSION_COLUMNS} FROM version WHERE module = ?"  # noqa: S608 (constants)
READ_MODULE = (
    "SELECT state, reason, replacement, default_version, description, category, tags FROM module WHERE name = ?"
)


def connect(path: str) -> sqlite3.Connection:
    """A connection whose transactions are its user's to begin."""
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


class CurrentModule(NamedTuple):
    """A module as it is now, None when there is none, at the record `tip`."""

    tip: str
    module: ModuleState | None


def current_module(common_dir: str, name: str) -> CurrentModule | None:
    """The module in the registry of the repository with this folder; None when that takes more than a look into two files."""
    path = layout.own_folder(common_dir, layout.REGISTRY)
    try:
        with open(os.path.join(common_dir, layout.REGISTRY_REF), "rb") as file:
            tip = file.read(100).decode("ascii", "replace").strip()
    except OSError:
        return None
    if not os.path.exists(path):
        return None
    try:
        db = connect(path)
        try:
            if db.execute("PRAGMA user_version").fetchone()[0] != VERSION or tip_of(db) != tip:
                return None
            return CurrentModule(tip, read_module(db, name))
        finally:
            db.close()
    except sqlite3.Error:
        return None


def tip_of(db: sqlite3.Connection) -> str | None:
    """The record that the file is level with."""
    row = db.execute("SELECT value FROM meta WHERE name = 'tip'").fetchone()
    return (row[0] or None) if row else None


def read_module(db: sqlite3.Connection, name: str) -> ModuleState | None:
    """The module of that name."""
    row = db.execute(READ_MODULE, (name,)).fetchone()
    if row is None:
        return None
    state = ModuleState(name)
    state.state, state.reason, state.replacement, state.default, state.description, state.category, tags = row
    state.tags = tuple(json.loads(tags))
    state.versions = {row[1]: ModuleVersion(*row) for row in db.execute(READ_VERSIONS, (name,))}
    return state

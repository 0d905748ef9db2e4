"""The tables of the projection. SQLModel makes them and answers general questions; `projection` keeps them level with the log.

Importing this costs half a second, so whatever a run needs speaks to the same tables through sqlite3.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy import Engine, Index
from sqlmodel import Field, SQLModel, create_engine

from registry.projection.rows import VERSION, connect


class Meta(SQLModel, table=True):
    """`tip` is the record commit that the other tables are level with."""

    name: str = Field(primary_key=True)
    value: str


class EventRow(SQLModel, table=True):
    """An event of the log; `body` is its file."""

    __tablename__ = "event"
    __table_args__ = (Index("event_order", "module", "at", "id"),)

    id: str = Field(primary_key=True)
    at: str
    author: str
    kind: str
    module: str
    version: str | None
    reason: str
    file: str = Field(unique=True)
    body: str


class ModuleRow(SQLModel, table=True):
    """A module as it is now. `tags` is a JSON list; `changed` the time of its last event."""

    __tablename__ = "module"

    name: str = Field(primary_key=True)
    state: str = Field(index=True)
    reason: str
    replacement: str | None
    default_version: str | None
    description: str
    category: str
    tags: str
    changed: str


class VersionRow(SQLModel, table=True):
    """A version as it is now. `interface` is JSON."""

    __tablename__ = "version"

    module: str = Field(primary_key=True)
    version: str = Field(primary_key=True)
    content: str = Field(index=True)
    published: str
    author: str
    description: str
    interface: str
    source_commit: str
    source_path: str
    state: str
    reason: str
    replacement: str | None


def make(path: str) -> None:
    """Makes the file at `path` with empty tables."""
    engine = engine_of(path)
    try:
        tables = [SQLModel.metadata.tables[name] for name in ("meta", "event", "module", "version")]
        SQLModel.metadata.create_all(engine, tables=tables)
    finally:
        engine.dispose()
    with sqlite3.connect(path, isolation_level=None) as db:
        db.execute(f"PRAGMA user_version = {VERSION}")
    db.close()


def engine_of(path: str) -> Engine:
    """SQLAlchemy's door to the file, opened as `projection` opens it."""
    return create_engine("sqlite://", creator=lambda: connect(path))

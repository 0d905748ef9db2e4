"""The tables of the projection as SQLModel classes, and the general questions that SQLModel answers from them.

Importing this costs half a second, so whatever a run needs asks the same tables through sqlite3 (`rows`, `projection`).
"""

from __future__ import annotations

import json
import sqlite3

from sqlalchemy import Engine, Index
from sqlalchemy.exc import DBAPIError
from sqlmodel import Field, Session, SQLModel, col, create_engine, or_, select

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


def module_names(
    path: str, *, text: str | None = None, category: str | None = None, tag: str | None = None, state: str | None = None
) -> list[str]:
    """The names of the modules that fit as they are now, in order; `text` is looked for in names and descriptions."""
    wanted = select(ModuleRow.name, ModuleRow.tags).order_by(ModuleRow.name)
    if text is not None:
        like = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        wanted = wanted.where(
            or_(col(ModuleRow.name).like(like, escape="\\"), col(ModuleRow.description).like(like, escape="\\"))
        )
    if category is not None:
        wanted = wanted.where(ModuleRow.category == category)
    if state is not None:
        wanted = wanted.where(ModuleRow.state == state)
    try:
        with Session(engine_of(path)) as session:
            return [name for name, tags in session.exec(wanted) if tag is None or tag in json.loads(tags)]
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise error.orig from error  # which the projection knows how to handle
        raise

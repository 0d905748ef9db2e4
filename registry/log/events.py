"""Event: one thing that happened to a module, as one JSON file of the log, and its place there.

Events are ordered by (at, id). An event never changes.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from gitml.errors import GitmlError, InputError, IntegrityError
from registry.interface import interface_from_json
from registry.versions import check_name, check_version

FORMAT = 1
FOLDER = "events"
MODULES = "modules"
CONTENT = "git:"

PUBLISH, DEPRECATE, DISABLE, ENABLE, SET_DEFAULT = "publish", "deprecate", "disable", "enable", "set-default"
KINDS = (PUBLISH, DEPRECATE, DISABLE, ENABLE, SET_DEFAULT)
MAX_BYTES = 1 << 20
MAX_TEXT = 4000

_AT = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z\Z")
_ID = re.compile(r"[0-9a-f]{16}\Z")
_TEXTS = "id at by kind module reason content description category commit path".split()
_OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")


class Event(NamedTuple):
    """`at` is UTC, ``2026-01-31T12:00:00.000000Z``. `version` None: the module as a whole is meant.

    `default` is the version that the event makes the default; `clear_default` that there is none afterwards. What comes after
    `breaking` is only of a publish: `content` is the Git tree with its ``git:``, `interface` its data, `commit` and `path` say
    what was published.
    """

    id: str
    at: str
    by: str
    kind: str
    module: str
    version: str | None
    reason: str = ""
    replacement: str | None = None
    default: str | None = None
    clear_default: bool = False
    breaking: bool = False
    content: str = ""
    interface: Any = None
    description: str = ""
    category: str = ""
    tags: tuple[str, ...] = ()
    commit: str = ""
    path: str = ""

    @property
    def file(self) -> str:
        """Its path in the log."""
        return f"{FOLDER}/{self.at[:4]}/{self.at[5:7]}/{self.at[8:10]}/{self.id[:2]}/{self.id}.json"


def content_path(module: str, version: str) -> str:
    """Where the content of a version lies in the log. '@' stands in no name, so no two versions share a path."""
    return f"{MODULES}/{module}/@{version}"


def event_as_bytes(event: Event) -> bytes:
    """The event's file."""
    raw: dict[str, Any] = {"format": FORMAT}
    for name, value in event._asdict().items():
        if value or name == "version":
            raw["event" if name == "kind" else name] = value
    return json.dumps(raw, indent=1).encode("ascii") + b"\n"


def event_from_bytes(data: bytes, path: str) -> Event:
    """The event in `data`, found at `path` of the log. IntegrityError when it is not a whole and lawful one."""
    try:
        return _event(data, path)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError) as error:
        what = error.message if isinstance(error, GitmlError) else str(error)
        raise IntegrityError(f"not a registry event: {what}", where=path) from error


def _event(data: bytes, path: str) -> Event:
    if len(data) > MAX_BYTES:
        raise ValueError("larger than 1 MiB")
    raw = json.loads(data)
    known = raw.pop("format")
    if known != FORMAT:
        raise ValueError(f"of format {known!r}, this gitml reads {FORMAT}: upgrade gitml")
    raw["kind"] = raw.pop("event")
    raw["tags"] = tuple(raw.get("tags", ()))
    event = Event(**raw)
    texts = [*(getattr(event, name) for name in _TEXTS), event.replacement or "", *event.tags]
    if not all(isinstance(text, str) and len(text) <= MAX_TEXT for text in texts):
        raise ValueError("a text in it is none, or too long")
    if not isinstance(event.clear_default, bool) or not isinstance(event.breaking, bool):
        raise ValueError("a truth value in it is none")
    if event.kind not in KINDS or not _AT.match(event.at) or not _ID.match(event.id):
        raise ValueError("kind, time or id is none")
    check_name(event.module)
    for version in (event.version, event.default):
        if version is not None:
            check_version(version)
    if event.kind in (PUBLISH, SET_DEFAULT) and event.version is None:
        raise ValueError(f"{event.kind} without a version")
    if event.kind == PUBLISH:
        if not event.content.startswith(CONTENT) or not _OID.match(event.content[len(CONTENT) :]):
            raise ValueError("no content id")
        interface_from_json(event.interface)
    if event.file != path:
        raise ValueError("it does not belong at its path")
    return event

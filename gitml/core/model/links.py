"""Symbolic links of a commit, followed as a program follows them: the one way in which a path finds what it names.

A step's sandbox holds each link on the way and what it leads to, so that the path means the same there.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import NamedTuple

from gitml.core.model.protocols import Entry, Source
from gitml.errors import InputError

MOST = 40  # as Linux has it


def init_command(path: str) -> str:
    """The command that fetches a submodule, and those in it."""
    import shlex  # which only mistakes need

    return f"git submodule update --init --recursive {shlex.quote(path)}"


_REPLACE = "replace the link by what it leads to"


class LinkError(InputError):
    """A link that leads nowhere that a step could have."""


class ResolvedPath(NamedTuple):
    """What a path names: where it really lies, the entry there (None: nothing), and the links on the way."""

    path: str
    entry: Entry | None
    links: Mapping[str, Entry] = {}


def resolve_path(source: Source, path: str, *, last: bool = True) -> ResolvedPath:
    """What `path` names; a link at its end is followed as well when `last`. LinkError for links that lead out or form a cycle."""
    links: dict[str, Entry] = {}
    place = path
    hops = 0
    while True:
        entry = source.lookup(place)
        followed = place if entry is not None and entry.is_link and last else None
        link = source.link_above(place) if entry is None else followed
        if link is None:
            return ResolvedPath(place, entry, links)
        at = entry if link == place and entry is not None else source.lookup(link)
        if at is None or not at.is_link:
            return ResolvedPath(place, None, links)
        links[link] = at
        hops += 1
        if hops > MOST:
            raise LinkError(f"link {path!r} forms a cycle", hint=_REPLACE)
        place = (target_of(source, link, at, path) + place[len(link) :]).removeprefix("./")


def target_of(source: Source, link: str, entry: Entry, path: str) -> str:
    """Where the link at `link` leads; LinkError, naming `path`, when that is out of the tree."""
    target = source.read(entry.oid).decode("utf-8", "surrogateescape")
    to = posixpath.normpath(posixpath.join(posixpath.dirname(link), target))
    if target.startswith("/") or to.startswith("../") or to == "..":
        raise LinkError(f"link {path!r} leads out of the tree", where=target, hint=_REPLACE)
    return to

"""Which kinds of URLs a git of ours may speak, and which places of this machine a tracked file may not name.

A URL from a tracked file names no remote helper: ``ext::`` runs a command, ``fd::`` waits for ever, others run what is on PATH.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import unquote

from gitml import layout
from gitml.errors import InputError
from gitml.git.command import Location, config_items
from gitml.git.log.remote_refs import configured

USUAL = ("file", "git", "http", "https", "ssh")
_NEVER = frozenset(("ext", "fd"))  # not even where a user's setting lets git itself speak them
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*::?//|[A-Za-z][A-Za-z0-9+.-]*::")


def protocol_environment(location: Location, remote: str, environ: Mapping[str, str]) -> dict[str, str]:
    """What a git that speaks with `remote` gets: the protocols that it may use.

    Those of `USUAL` that the user's ``protocol.*`` settings leave, and what they allow by name; of a ``GIT_ALLOW_PROTOCOL`` of
    the user all but what runs commands. A remote that the user configured in this repository is spoken with as git itself would.
    """
    given = environ.get("GIT_ALLOW_PROTOCOL")
    if given is not None:
        return {"GIT_ALLOW_PROTOCOL": ":".join(name for name in given.split(":") if name not in _NEVER)}
    if not is_registry(location) and remote in configured(location):
        return {}
    settings = _settings(location)
    general = settings.get("protocol.allow", "")
    usual = [name for name in USUAL if settings.get(f"protocol.{name}.allow", general) != "never"]
    by_name = {key.split(".")[1]: value for key, value in settings.items() if key.count(".") == 2}
    more = [name for name, value in by_name.items() if value == "always" and name not in (*USUAL, *_NEVER)]
    return {"GIT_ALLOW_PROTOCOL": ":".join((*usual, *more))}


def refuse_inner_place(location: Location, url: str, what: str, *, follow: bool = True) -> None:
    """InputError when `url`, a path or a ``file://`` URL, names a place inside a work tree or the Git folder of the repository.

    Whoever wrote the commit wrote what lies there too: its hooks and settings would run as the user's. Unless `follow` no link on
    the way is looked at, which already reaches a machine where file systems of others are mounted as they are named.
    """
    path = local_path(location, url)
    if path is None:
        return
    own = (*location.worktrees(), location.common_dir, location.git_dir)
    for place in {os.path.normpath(path), *([os.path.realpath(path)] if follow else [])}:
        for folder in own:
            for root in {os.path.normpath(folder), os.path.realpath(folder)}:
                if place == root or place.startswith(root.rstrip("/") + "/"):
                    raise InputError(
                        f"{what} lies inside this repository, where a commit brings its contents",
                        where=url[:200],
                        hint="name a place outside of it, such as /srv/team/registry.git",
                    )


def local_path(location: Location, url: str) -> str | None:
    """The path of this machine that git takes `url` for; None for another machine."""
    if url.startswith("file://"):
        return "/" + unquote(url.removeprefix("file://")).lstrip("/")
    if _SCHEME.match(url):
        return None
    path = os.path.join(location.folder, os.path.expanduser(url))
    if ":" in url.split("/", 1)[0] and not os.path.lexists(path):  # host:path, as ssh has it
        return None
    return path


def is_registry(location: Location) -> bool:
    """Whether it is the clone of a registry that a tracked file named."""
    return layout.is_registry_clone(location.common_dir)


def _settings(location: Location) -> dict[str, str]:
    pairs = config_items(location, "--get-regexp", r"^protocol\..*allow$")
    return {name.lower(): value.strip().lower() for name, value in pairs}

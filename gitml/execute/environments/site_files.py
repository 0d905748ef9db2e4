"""Values and readers of files that `site_packages` and `site_reader` share."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from stat import S_ISREG
from typing import Any, NamedTuple

INFO = (".dist-info", ".egg-info")
LISTS = (".pth", ".egg-link")
# what installers leave that says how or where, not what
ABOUT = frozenset(("INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json", "uv_build.json"))
OWN_NAME = "gitml"


class EditableInstall(NamedTuple):
    """Where an editable install leads: `kind` is path (a folder for ``sys.path``), module, namespace, link or covered link.

    `owner` is the package it belongs to, `name` that of the module, empty for a path.
    """

    kind: str
    owner: str
    name: str
    target: str


class SitePackages(NamedTuple):
    """A site folder: `packages` are [name, version, content, origin], `own` the entries of those without a RECORD.

    `loose` are entries that belong to no package, `editable` where others lead; `scripts` are commands of editable packages with
    their modules; `unread` are [package, folder] of editable installs that are made in a way not known here. `state` names what
    was looked at, empty for a folder that is missing; `managed` that of a folder that only the system's package manager changes.
    """

    packages: list[list[Any]]
    own: dict[str, list[str]]
    loose: list[str]
    editable: list[EditableInstall]
    scripts: dict[str, str]
    unread: list[list[str]]
    managed: str | None = None
    state: str = ""


def only_files(path: str, flags: int) -> int:
    """Opens a file for ``open``; OSError for a device or a pipe, which would never end."""
    fd = os.open(path, flags | os.O_NONBLOCK)
    if not S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a file", path)
    return fd


def hash_of_file(path: str) -> str:
    """The sha256 of a file in hex; empty for one that can't be read."""
    try:
        with open(path, "rb", opener=only_files) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def json_of(path: str) -> dict[str, Any]:
    """The object in a JSON file; empty for a file that is none."""
    try:
        with open(path, "rb", opener=only_files) as file:
            raw = json.load(file)
    except (OSError, ValueError):
        return {}
    return raw if isinstance(raw, dict) else {}

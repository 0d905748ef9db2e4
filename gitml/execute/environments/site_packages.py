"""What a folder of Python packages (``site-packages``) holds, by content: what `import` gives is what counts.

A package counts by the hashes in its RECORD, one without a RECORD by its files, loose modules by theirs. What was found is
remembered by the stats of the folder's entries, so that the steady state costs a few stats a package.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from typing import Any

from gitml.core.model.digest import digest_of
from gitml.core.model.protocols import Facts
from gitml.execute.environments.site_files import (
    ABOUT,
    INFO,
    LISTS,
    EditableInstall,
    SitePackages,
    hash_of_file,
    json_of,
)

FORMAT = 1  # raised whenever the same folder would be described otherwise
_SETTLED = 2 * 10**9
# where a distribution's packages are, a change of any is written here
_MANAGERS = (
    "/var/lib/dpkg/status",
    "/var/lib/rpm",
    "/usr/lib/sysimage/rpm",
    "/lib/apk/db/installed",
    "/var/lib/pacman/local",
)
_UNWALKED = frozenset(("__pycache__", "node_modules", "build", "dist", "site-packages"))


def site_at(site: str, facts: Facts) -> SitePackages:
    """What the site folder `site`, which may be missing, holds."""
    entries = _entries(site)
    if entries is None:
        return SitePackages([], {}, [], [], {}, [])
    names, stats, newest = entries
    id = digest_of(json.dumps([FORMAT, site, stats]).encode())
    known: list[Any] | None = facts.fact("installed", id)
    if known is None:
        from gitml.execute.environments.site_reader import read_site  # only what changed is read

        known = list(read_site(site, names)[:6])
        # a folder changed within the clock's grain may change again and look the same
        if time.time_ns() - newest > _SETTLED:
            facts.remember("installed", id, known)
    packages, own, loose, editable, scripts, unread = known
    links = [EditableInstall(*item) for item in editable]
    return SitePackages(packages, own, loose, links, scripts, unread, id if _managed(site) else None, id)


def contents_of(site: str, found: SitePackages, facts: Facts) -> tuple[dict[str, str], dict[str, str]]:
    """The digests of what has no RECORD in the site folder `found` at `site`: of packages, and of loose entries."""
    known = facts.fact("installed files", found.managed) if found.managed else None
    if known is not None:
        return known[0], known[1]
    own = {name: _digest_of_entries(site, entries, facts) for name, entries in found.own.items()}
    loose = {entry: _digest_of_entries(site, [entry], facts) for entry in found.loose}
    if found.managed:
        facts.remember("installed files", found.managed, [own, loose])
    return own, loose


def _digest_of_entries(site: str, entries: Iterable[str], facts: Facts) -> str:
    files = {}
    for entry in entries:
        about = entry.endswith(INFO)
        for name, content in files_below(f"{site}/{entry}", facts).items():
            if not (about and name in ABOUT):
                files[f"{entry}/{name}"] = content
    return digest_of_files(files)


def files_below(path: str, facts: Facts, *, source: bool = False) -> dict[str, str]:
    """sha256 by path of each file below `path`, or of the file `path` itself; hashed again only where its stat changed.

    With `source` of a folder that people work in: hidden folders, environments, and folders without Python files don't count.
    """
    id = f"{path}\0{source}"
    known: Mapping[str, list[Any]] = facts.fact("files", id) or {}
    found: dict[str, list[Any]] = {}
    newest = 0
    for relative, full in _walked(path, source):
        try:
            stat = os.stat(full)
        except OSError:  # a link to nowhere, or gone since
            continue
        signature = [stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns]
        newest = max(newest, stat.st_mtime_ns, stat.st_ctime_ns)
        before = known.get(relative)
        found[relative] = before if before is not None and before[:4] == signature else [*signature, hash_of_file(full)]
    if found != known and time.time_ns() - newest > _SETTLED:
        facts.remember("files", id, found)
    return {relative: item[4] for relative, item in sorted(found.items())}


def digest_of_files(files: Mapping[str, str]) -> str:
    """One name for files by content."""
    return digest_of(
        "".join(f"{name}\0{content}\n" for name, content in files.items()).encode("utf-8", "surrogateescape")
    )


def conda_packages(prefix: str, facts: Facts) -> list[list[Any]]:
    """What conda installed below `prefix`, as packages of a Site: of what is not Python's there is no other record."""
    folder = f"{prefix}/conda-meta"
    try:
        stat = os.stat(folder)
    except OSError:
        return []
    id = f"{folder}\0{stat.st_ino}\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}"
    known: list[list[Any]] | None = facts.fact("conda", id)
    if known is None:
        known = []
        for entry in sorted(os.listdir(folder)):
            if entry.endswith(".json"):
                raw = json_of(f"{folder}/{entry}")
                name, version = str(raw.get("name", entry)), f"{raw.get('version', '')} {raw.get('build', '')}".strip()
                known.append([f"conda:{name}", version, raw.get("sha256") or raw.get("md5") or "", {}])
        if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > _SETTLED:
            facts.remember("conda", id, known)
    return known


def _entries(site: str) -> tuple[list[str], list[Any], int] | None:
    """(names, what to remember them by, the newest time among it) of a site folder's entries."""
    try:
        here = os.stat(site)
        with os.scandir(site) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError:
        return None
    names = [entry.name for entry in entries]
    newest = max(here.st_mtime_ns, here.st_ctime_ns)
    manager = _managed(site)
    if manager is not None:
        return names, [_signature(here), manager], newest
    stats: list[Any] = [_signature(here)]
    for entry in entries:
        name = entry.name
        watched = [entry.path]
        if name.endswith(INFO):
            try:
                stats.append([name, *_signature(stat := os.stat(f"{entry.path}/RECORD"))])  # written last of a package
                newest = max(newest, stat.st_mtime_ns, stat.st_ctime_ns)
                continue
            except OSError:
                watched.append(f"{entry.path}/direct_url.json")
        elif entry.is_symlink():
            stats.append([name, os.readlink(entry.path)])
            continue
        elif not name.startswith("__editable__") and not name.endswith(LISTS):
            continue  # named by its package, or looked into each time
        for path in watched:
            try:
                stat = os.stat(path)
            except OSError:
                stats.append([name, None])
                continue
            stats.append([name, *_signature(stat)])
            newest = max(newest, stat.st_mtime_ns, stat.st_ctime_ns)
    return names, stats, newest


def _managed(site: str) -> Any:
    """What a site folder of the system's own packages is remembered by: when its package manager last changed anything."""
    if not site.startswith("/usr/lib") or site.startswith("/usr/local"):
        return None
    for path in _MANAGERS:
        try:
            return [path, *_signature(os.stat(path))]
        except OSError:
            continue
    return None


def _signature(stat: os.stat_result) -> list[int]:
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns]


def _walked(path: str, source: bool) -> Iterable[tuple[str, str]]:
    """(relative, full) path of each file that counts."""
    if not os.path.isdir(path):
        yield os.path.basename(path), path
        return
    for folder, names, files in os.walk(path):
        names[:] = [name for name in names if name != "__pycache__"]
        if source:
            names[:] = [
                name
                for name in names
                if name[0] != "." and name not in _UNWALKED and not os.path.exists(f"{folder}/{name}/pyvenv.cfg")
            ]
            if not any(name.endswith(".py") for name in files):
                files = [name for name in files if name.endswith((".so", ".pyd"))]
        inner = os.path.relpath(folder, path)
        for name in files:
            if not name.endswith((".pyc", ".pyo")):
                yield (name if inner == "." else f"{inner}/{name}"), f"{folder}/{name}"

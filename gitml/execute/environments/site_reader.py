"""Reads a folder of Python packages whose content is not known yet: RECORDs, ``direct_url.json``, ``.pth`` files, finders."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gitml.core.model.digest import digest_of
from gitml.core.model.environment import package_name
from gitml.execute.environments.site_files import (
    ABOUT,
    INFO,
    LISTS,
    OWN_NAME,
    EditableInstall,
    SitePackages,
    hash_of_file,
    json_of,
    only_files,
)

# what `virtualenv` and `uv venv` leave in every environment, and the paths that editable installs share
_NOT_CODE = frozenset(("__pycache__", "_virtualenv.py", "_virtualenv.pth", "easy-install.pth"))
_FINDER = re.compile(r"import\s+(__editable___\w+_finder)\b")


def read_site(site: str, names: Sequence[str]) -> SitePackages:
    """The Site at `site`, whose entries are `names`."""
    found = SitePackages([], {}, [], [], {}, [])
    covered: set[str] = set()
    taken: dict[str, str] = {}  # .pth files and finders of a package that is editable, with its name
    for entry in names:
        if entry.endswith(INFO):
            covered |= _read_package(site, entry, found, taken)
    leading: set[str] = set()
    for entry in names:
        path = f"{site}/{entry}"
        if entry.endswith(LISTS):
            owner = taken.get(entry, entry.rpartition(".")[0])
            folders, others = _lines_of(path, entry)
            for folder in folders:
                target = os.path.realpath(os.path.join(site, folder))
                if not f"{target}/".startswith(os.path.realpath(site) + "/"):
                    found.editable.append(EditableInstall("path", owner, "", target))
                    leading.add(owner)
            for line in others:
                finder = _FINDER.search(line)
                if finder is not None:
                    found.editable.extend(_mapped(f"{site}/{finder[1]}.py", owner))
                    leading.add(owner)
            if entry not in covered and others and not any(_FINDER.search(line) for line in others):
                found.loose.append(entry)
        elif os.path.islink(path):
            target = os.path.realpath(path)
            kind = "covered link" if entry in covered else "link"  # some installers link what they install
            found.editable.append(EditableInstall(kind, entry.partition(".")[0], entry, target))
        elif _is_loose(entry, covered, taken):
            found.loose.append(entry)
    _give_out(found)
    for item in found.unread[:]:
        if item[0] in leading or any(f"{one.target}/".startswith(f"{item[1]}/") for one in found.editable):
            found.unread.remove(item)
    return found


def _is_loose(entry: str, covered: set[str], taken: Mapping[str, str]) -> bool:
    return (
        entry not in covered
        and entry not in taken
        and entry not in _NOT_CODE
        and not entry.endswith((*INFO, ".pyc", ".dist-info", ".egg-info"))
        and not entry.startswith(("__editable__", "."))
    )


def _read_package(site: str, entry: str, found: SitePackages, taken: dict[str, str]) -> set[str]:
    """Adds the package of an info folder to `found`; gives the top-level entries that its RECORD covers."""
    raw_name, _, version = entry[: entry.rindex(".")].partition("-")
    name = package_name(raw_name)
    version = version.partition("-py")[0]
    info = f"{site}/{entry}"
    origin: dict[str, Any] = {}
    url = json_of(f"{info}/direct_url.json")
    commit = _part(url, "vcs_info").get("commit_id")
    if isinstance(commit, str):
        origin["commit"] = commit
    editable = bool(_part(url, "dir_info").get("editable"))
    rows = _record(f"{info}/RECORD")
    covered = {row[0].partition("/")[0] for row in rows or () if not row[0].startswith(("..", "/"))}
    if name == OWN_NAME:
        taken.update(dict.fromkeys(covered, name))
        if rows is None:
            found.own[name] = _top_level(info, raw_name)
        return covered
    commands = _commands(f"{info}/entry_points.txt")
    if editable:
        taken.update(
            {row[0]: name for row in rows or () if row[0].endswith(".pth") or row[0].startswith("__editable__")}
        )
        found.scripts.update(commands)
        origin["editable"] = True
        found.unread.append([name, _folder_of(str(url.get("url", "")))])
    lines = sorted(_line(site, row, commands, taken) for row in rows or ())
    content = digest_of("".join(lines).encode("utf-8", "surrogateescape")) if rows is not None else ""
    found.packages.append([name, version, content, origin])
    if rows is None and not editable:
        found.own[f"{name} {version}".strip()] = [*_top_level(info, raw_name), entry]
        if "commit" not in origin and isinstance(url.get("url"), str):
            origin["url"] = url["url"]
    return covered


def _part(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = raw.get(name)
    return part if isinstance(part, dict) else {}


def _folder_of(url: str) -> str:
    from urllib.parse import unquote

    return os.path.realpath(unquote(url[7:])) if url.startswith("file://") else ""


def _record(path: str) -> list[list[str]] | None:
    import csv

    try:
        with open(path, newline="", encoding="utf-8", errors="surrogateescape", opener=only_files) as file:
            return [row for row in csv.reader(file) if row]
    except (OSError, csv.Error):
        return None


def _line(site: str, row: Sequence[str], commands: Mapping[str, str], taken: Mapping[str, str]) -> str:
    """What of a line of a RECORD counts: nothing of what differs by installer or by where the environment lies."""
    path, content = row[0], row[1] if len(row) > 1 else ""
    folder, _, name = path.rpartition("/")
    if path.endswith((".pyc", ".pyo")) or path in taken:
        return ""
    if folder.endswith(INFO) and "/" not in folder and name in ABOUT:
        return ""
    if path.startswith(("..", "/")):
        if name in commands:
            return ""  # written from entry_points.txt
        content = _without_first_line(_whole(site, path)) or content  # which names the Python of this environment
        content = content or hash_of_file(_whole(site, path))
        return f"../{os.path.basename(folder)}/{name}\0{content}\n"
    return f"{path}\0{content or hash_of_file(_whole(site, path))}\n"


def _whole(site: str, path: str) -> str:
    return os.path.normpath(os.path.join(site, path))


def _without_first_line(path: str) -> str:
    """The digest of a script without its ``#!`` line; empty for what is no script."""
    try:
        with open(path, "rb", opener=only_files) as file:
            if file.read(2) != b"#!":
                return ""
            file.readline()
            return digest_of(file.read())
    except OSError:
        return ""


def _commands(path: str) -> dict[str, str]:
    """The commands of an ``entry_points.txt`` with their modules."""
    try:
        with open(path, encoding="utf-8", errors="replace", opener=only_files) as file:
            lines = file.read().splitlines()
    except OSError:
        return {}
    commands = {}
    section = ""
    for line in lines:
        if line.strip().startswith("["):
            section = line.strip()
        elif section in ("[console_scripts]", "[gui_scripts]") and "=" in line:
            name, _, target = line.partition("=")
            commands[name.strip()] = target.partition(":")[0].strip()
    return commands


def _top_level(info: str, name: str) -> list[str]:
    """The entries that a package without a RECORD has, as far as they are known."""
    try:
        with open(f"{info}/top_level.txt", encoding="utf-8", errors="replace", opener=only_files) as file:
            names = [line.strip() for line in file if line.strip()]
    except OSError:
        names = []
    names = names or [name, name.lower(), name.replace("-", "_").lower()]
    return [form for top in names for form in (top, f"{top}.py")]


def _give_out(found: SitePackages) -> None:
    """Takes loose entries that packages without a RECORD own to these."""
    for owner, tops in found.own.items():
        there = [entry for entry in found.loose if entry in tops or any(entry.startswith(f"{top}.") for top in tops)]
        info = [top for top in tops if top.endswith(INFO)]
        found.own[owner] = [*there, *info]
        found.loose[:] = [entry for entry in found.loose if entry not in there]
    found.own.pop(OWN_NAME, None)


def _lines_of(path: str, entry: str) -> tuple[list[str], list[str]]:
    """(folders, other lines) of a ``.pth`` file, or of an ``.egg-link``, whose first line is a folder."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", opener=only_files) as file:
            lines = [line.strip() for line in file.read().splitlines()]
    except OSError:
        return [], []
    if entry.endswith(".egg-link"):
        return [line for line in lines if line][:1], []
    lines = [line for line in lines if line and not line.startswith("#")]
    others = [line for line in lines if line.startswith(("import ", "import\t"))]
    return [line for line in lines if line not in others], others


def _mapped(path: str, owner: str) -> list[EditableInstall]:
    """Where the finder that setuptools wrote for an editable package leads: its literals MAPPING and NAMESPACES."""
    import ast

    try:
        with open(path, "rb", opener=only_files) as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return []
    found = []
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if not isinstance(target, ast.Name) or target.id not in ("MAPPING", "NAMESPACES"):
            continue
        try:
            value = ast.literal_eval(node.value)
        except ValueError:
            continue
        for name, places in value.items():
            for place in [places] if isinstance(places, str) else places:
                kind = "module" if target.id == "MAPPING" else "namespace"
                found.append(EditableInstall(kind, owner, str(name), os.path.realpath(str(place))))
    return found

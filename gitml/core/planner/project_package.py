"""The project's own package at a commit, as ``install:`` makes it importable: where its modules lie, its commands, its name.

It is found from the project's files and a few names of the tree, and nothing of it is built. What it imports counts as code.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from gitml.core.model import paths
from gitml.core.model.environment import ON_HOST, EnvironmentSpec
from gitml.core.model.protocols import Facts, Source
from gitml.core.planner.code import Imports, imports_from
from gitml.core.planner.project_files import (
    CONSOLE,
    PYPROJECT,
    SETUP_CFG,
    SETUP_PY,
    PackageSettings,
    checked_entry_points,
    settings_in,
)
from gitml.errors import InputError

FORMAT = 1  # raised whenever the same files would give other settings
LARGEST = 2**20  # bytes of a file that is read
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,200}[A-Za-z0-9])?")
_VERSION = re.compile(r"v?[0-9][A-Za-z0-9.!+_-]{0,100}")
_UNKNOWN = "0"  # a version that Git's tags or a program would give
_FILES = (PYPROJECT, SETUP_CFG, SETUP_PY)


class ProjectPackage(NamedTuple):
    """A package of the commit. `imports` are (module, path), with an empty module for a folder whose modules are importable.

    `modules` are names that are the package's own where a folder has others beside them; `entry_points` are by group and name.
    """

    name: str
    version: str
    imports: tuple[tuple[str, str], ...]
    modules: tuple[str, ...]
    entry_points: Mapping[str, Mapping[str, str]]

    def commands(self) -> dict[str, str]:
        """The commands with the module that each calls."""
        return {
            name: target.partition(":")[0]
            for group in CONSOLE
            for name, target in self.entry_points.get(group, {}).items()
        }

    def code(self) -> Imports:
        """What it would import from the repository."""
        return imports_from({"imports": self.imports, "commands": self.commands()})

    def encoded(self) -> str:
        """Canonical JSON, which is what counts of it in a key."""
        return json.dumps(self._asdict(), sort_keys=True, separators=(",", ":"))


def package_in(description: Mapping[str, Any]) -> ProjectPackage | None:
    """The project's own package in the description of an environment; InputError for one that no project could have."""
    raw = description.get("project")
    return None if raw is None else _package(raw)


def decode_package(text: str) -> ProjectPackage:
    """The inverse of `ProjectPackage.encoded`; InputError for what that writes of no project."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _not_a_package("not JSON") from error
    return _package(raw)


def _package(raw: Any) -> ProjectPackage:
    """The package that is described, maybe by another machine: its names become files, code and folders of imports."""
    try:
        imports = tuple([(module, path) for module, path in raw["imports"]])
        package = ProjectPackage(raw["name"], raw["version"], imports, tuple(raw["modules"]), raw["entry_points"])
        wrong = _forged_part(package)
    except (KeyError, TypeError, AttributeError, ValueError, InputError) as error:
        raise _not_a_package("a part of another type") from error
    if wrong:
        raise _not_a_package(wrong)
    return package


def _forged_part(package: ProjectPackage) -> str:
    """The part that `project_package` would not have given; empty where it could have given it all."""
    if not _NAME.fullmatch(package.name):
        return "its name"
    if not _VERSION.fullmatch(package.version):
        return "its version"
    if not all((not module or _is_module(module)) and _is_folder(path) for module, path in package.imports):
        return "its folders"
    if not all(_is_module(module) for module in package.modules):
        return "its modules"
    return "" if checked_entry_points(package.entry_points, "") == package.entry_points else "its entry points"


def _is_folder(path: str) -> bool:
    return path == "." or (paths.problem_with(path) is None and paths.clean(path) == path)


def _not_a_package(wrong: str) -> InputError:
    what = f"the project's own package is described as no project says it: {wrong}"
    return InputError(what, hint="install the same gitml on all machines")


def project_package(source: Source, folder: str, facts: Facts) -> ProjectPackage:
    """The package whose project lies in `folder` of the commit; InputError where there is none, or it says what is not there."""
    found = {name: entry for name in _FILES if (entry := source.lookup(_joined(folder, name))) is not None}
    ids = {
        name: entry.oid for name, entry in found.items() if not (entry.is_tree or entry.is_link or entry.is_submodule)
    }
    if not ids:
        raise InputError(
            f"install: {folder} has no pyproject.toml, setup.cfg or setup.py in the commit",
            hint="name the folder that has one, or say where modules lie by env: {PYTHONPATH: src}",
        )
    settings = _settings(source, folder, ids, facts)
    name = settings.name if _NAME.fullmatch(settings.name) else "unknown"
    roots = settings.roots or (() if settings.mapped else (_conventional(source, folder, settings, name),))
    imports = [("", _checked(source, folder, root)) for root in dict.fromkeys(roots)]
    imports += [(module, _checked(source, folder, path)) for module, path in settings.mapped if _is_module(module)]
    own: tuple[str, ...] = ()
    if any(path == folder for module, path in imports if not module):
        own = tuple(sorted({module for module in settings.modules or _modules_of(name) if _is_module(module)}))
    version = _version(source, folder, settings)
    return ProjectPackage(name, version, tuple(sorted(set(imports))), own, settings.entry_points)


def own_package(source: Source) -> ProjectPackage | None:
    """The package of the project at the top of the commit; None where there is none that can be read."""
    if not set(_FILES).intersection(source.top()):
        return None
    try:
        return project_package(source, ".", _NoFacts())
    except InputError:
        return None


def how_to_install(spec: EnvironmentSpec) -> str:
    """What to write so that a step with this environment has the package of the project at the top."""
    return "environment: {install: .}" if spec == ON_HOST else "install: . in its environment"


class _NoFacts:
    """For what is looked at once."""

    def fact(self, kind: str, id: str) -> Any | None:
        return None

    def remember(self, kind: str, id: str, value: Any) -> None:
        pass


def _settings(source: Source, folder: str, ids: Mapping[str, str], facts: Facts) -> PackageSettings:
    key = json.dumps(sorted(ids.items()))
    kept = facts.fact(f"project-{FORMAT}", key)
    if kept is not None:
        name, version, files, version_name, roots, mapped, modules, points = kept
        pairs = tuple([(module, path) for module, path in mapped])
        return PackageSettings(name, version, tuple(files), version_name, tuple(roots), pairs, tuple(modules), points)
    contents = {}
    for name, oid in ids.items():
        contents[name] = source.read(oid)
        if len(contents[name]) > LARGEST:
            where = _joined(folder, name)
            raise InputError("it is larger than 1 MiB", where=where, hint="move out of it what is no setting")
    try:
        found = settings_in(contents)
    except InputError as error:
        error.where = _joined(folder, error.where or "")
        raise
    facts.remember(f"project-{FORMAT}", key, found)
    return found


def _conventional(source: Source, folder: str, settings: PackageSettings, name: str) -> str:
    """Where packages lie that no setting places: in ``src`` if there is one that is no package itself, else beside the file."""
    if not _is_there(source, folder, "src") or _is_there(source, folder, "src/__init__.py"):
        return "."
    modules = settings.modules or _modules_of(name)

    def has(root: str) -> bool:
        return any(
            _is_there(source, folder, f"{root}{module}{ending}")
            for module in modules
            for ending in ("/__init__.py", ".py")
        )

    return "." if has("") and not has("src/") else "src"


def _is_there(source: Source, folder: str, path: str) -> bool:
    place = _joined(folder, path)
    if "/" not in place:  # a folder that is looked up counts as used, with all that nobody tracks in it
        return place in source.top()
    return source.lookup(place) is not None


def _checked(source: Source, folder: str, path: str) -> str:
    """The path of a folder that a setting names, counted from the top."""
    problem = paths.problem_with(path)
    if problem is not None:
        raise InputError(
            f"install: {folder} names as the folder of its packages {problem}", hint="correct its settings"
        )
    place = _joined(folder, path)
    if place != "." and not _is_there(source, ".", place):
        raise InputError(
            f"install: {folder} has its packages in {place}, which is not in the commit",
            hint="commit the folder, or correct the settings",
        )
    return place


def _version(source: Source, folder: str, settings: PackageSettings) -> str:
    """The version that is said, or that stands in one of the files that are said to have it."""
    if settings.version:
        return settings.version if _VERSION.fullmatch(settings.version) else _UNKNOWN
    for path in settings.version_files:
        if paths.problem_with(path) is not None:
            continue
        entry = source.lookup(_joined(folder, path))
        if entry is None or entry.is_tree or entry.is_link or entry.is_submodule:
            continue
        text = source.read(entry.oid)[:LARGEST].decode("utf-8", "replace")
        name = re.escape(settings.version_name) if settings.version_name else "__version__|VERSION|version"
        said = re.search(rf"""(?m)^(?:{name})[ \t]*(?::[^=\n]{{0,100}})?=[ \t]*['"]([^'"\n]{{1,100}})['"]""", text)
        version = said[1] if said is not None else "" if path.endswith(".py") else text.strip()
        if _VERSION.fullmatch(version):
            return version
    return _UNKNOWN


def _joined(folder: str, path: str) -> str:
    return posixpath.normpath(f"{folder}/{path}")


def _modules_of(name: str) -> tuple[str, ...]:
    """The modules that a project of this name would have by convention."""
    module = re.sub(r"[-.]+", "_", name)
    return tuple(dict.fromkeys([module.lower(), module]))


def _is_module(name: str) -> bool:
    return all(part.isidentifier() for part in name.split(".")) and len(name) <= 200

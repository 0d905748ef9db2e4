"""What a project's own files say of its package: ``pyproject.toml``, ``setup.cfg`` and ``setup.py``, read and never executed.

The files come from commits, so they may be hostile: whatever is not of the type that it should be is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from gitml.core.text.toml import parse_toml
from gitml.errors import InputError

PYPROJECT, SETUP_CFG, SETUP_PY = "pyproject.toml", "setup.cfg", "setup.py"
CONSOLE = ("console_scripts", "gui_scripts")
_MOST = 1000  # entry points
_COMMAND = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,100}")
_TARGET = re.compile(r"([A-Za-z_]\w*(?:\.\w+)*)\s*(?::\s*([A-Za-z_]\w*(?:\.\w+)*))?\s*(?:\[[^\]]*\])?")
_GROUP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,200}")
_ENTRY = re.compile(r"[^\s=\[\]\n][^=\n\r]{0,200}")


class PackageSettings(NamedTuple):
    """What the files say. `roots` are the folders that packages lie in, empty where the files leave that to a convention.

    `mapped` are (module, folder) of packages that lie in a folder of another name, `modules` the names at the top that are said.
    `version` is empty where it is to be read from one of `version_files`, from the value of `version_name`.
    """

    name: str = ""
    version: str = ""
    version_files: tuple[str, ...] = ()
    version_name: str = ""
    roots: tuple[str, ...] = ()
    mapped: tuple[tuple[str, str], ...] = ()
    modules: tuple[str, ...] = ()
    entry_points: Mapping[str, Mapping[str, str]] = {}


def settings_in(files: Mapping[str, bytes]) -> PackageSettings:
    """The settings in the files of a project by name; InputError where one can't be read."""
    pyproject = _toml(files[PYPROJECT]) if PYPROJECT in files else {}
    backend = str(_value(pyproject, "build-system", "build-backend") or "")
    tool = _table(pyproject, "tool")
    found = _of_project(_table(pyproject, "project"))
    known = next((read for sign, read in _BACKENDS.items() if sign in backend), None)
    if known is not None:
        return known(found, tool)
    found = _setuptools(found, tool)
    if SETUP_CFG in files:
        found = _first(found, _setup_cfg(_text(files[SETUP_CFG], SETUP_CFG)))
    if SETUP_PY in files:
        found = _first(found, _setup_py(files[SETUP_PY]))
    if "poetry" in tool and not found.name:  # without its backend
        return _poetry(found, tool)
    return found


def _first(one: PackageSettings, other: PackageSettings) -> PackageSettings:
    """`one`, with what it does not say as `other` says it."""
    placed = one if one.roots or one.mapped else other
    versioned = one if one.version or one.version_files else other
    points = {**other.entry_points, **one.entry_points}
    return PackageSettings(
        one.name or other.name,
        versioned.version,
        versioned.version_files,
        versioned.version_name,
        placed.roots,
        placed.mapped,
        one.modules or other.modules,
        points,
    )


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("not UTF-8", where=name, hint="save it as UTF-8") from error


def _toml(content: bytes) -> dict[str, Any]:
    _text(content, PYPROJECT)
    try:
        return parse_toml(content)
    except ValueError as error:  # also for a number of thousands of digits
        raise InputError(f"it can't be read: {str(error)[:200]}", where=PYPROJECT, hint="correct the file") from None


def _value(raw: Any, *names: str) -> Any:
    """What lies at the names in tables; None where there is nothing."""
    for name in names:
        if not isinstance(raw, dict):
            return None
        raw = raw.get(name)
    return raw


def _table(raw: Any, *names: str) -> dict[str, Any]:
    found = _value(raw, *names)
    return found if isinstance(found, dict) else {}


def _word(raw: Any, *names: str) -> str:
    found = _value(raw, *names)
    return found if isinstance(found, str) else ""


def _words(raw: Any, *names: str) -> tuple[str, ...]:
    found = _value(raw, *names)
    return tuple([item for item in found if isinstance(item, str)]) if isinstance(found, list) else ()


def _of_project(project: Mapping[str, Any]) -> PackageSettings:
    """The table ``[project]``, which all backends share."""
    groups = {
        "console_scripts": _table(project, "scripts"),
        "gui_scripts": _table(project, "gui-scripts"),
        **{group: _table(project, "entry-points", group) for group in _table(project, "entry-points")},
    }
    return PackageSettings(
        _word(project, "name"), _word(project, "version"), entry_points=checked_entry_points(groups, PYPROJECT)
    )


def checked_entry_points(groups: Mapping[str, Mapping[str, Any]], where: str) -> dict[str, dict[str, str]]:
    """Entry points in normal form, by group and name; InputError for a command that calls nothing."""
    found: dict[str, dict[str, str]] = {}
    count = 0
    for group, points in groups.items():
        for name, value in points.items():
            target = _TARGET.fullmatch(value.strip()) if isinstance(value, str) else None
            is_command = group in CONSOLE
            if is_command and (target is None or target[2] is None or not _COMMAND.fullmatch(name)):
                said = f"{name[:60]!r} = {str(value)[:60]!r}"
                raise InputError(
                    f"the command {said} is not NAME = MODULE:FUNCTION", where=where, hint="correct the file"
                )
            if target is None or not _GROUP.fullmatch(group) or not _ENTRY.fullmatch(name):
                continue
            count += 1
            if count > _MOST:
                raise InputError(f"it has more than {_MOST:,} entry points", where=where, hint="remove some")
            found.setdefault(group, {})[name.strip()] = target[1] + (f":{target[2]}" if target[2] else "")
    return found


def _placed(found: PackageSettings, packages: Iterable[str]) -> PackageSettings:
    """With packages by the paths of their folders, each a module by its own name."""
    clean = [path.strip("/").removeprefix("./") for path in packages]
    roots = tuple(dict.fromkeys([path.rpartition("/")[0] or "." for path in clean if path and "*" not in path]))
    names = tuple(dict.fromkeys([path.rpartition("/")[2].removesuffix(".py") for path in clean if "*" not in path]))
    return found._replace(roots=found.roots or roots, modules=found.modules or names)


def _hatch(found: PackageSettings, tool: Mapping[str, Any]) -> PackageSettings:
    build = _table(tool, "hatch", "build")
    wheel = _table(build, "targets", "wheel")
    version = _table(tool, "hatch", "version")
    if not found.version and _word(version, "path"):
        found = found._replace(version_files=(_word(version, "path"),))
    developed = _words(build, "dev-mode-dirs")
    if developed:
        return found._replace(roots=developed)
    for table in (wheel, build):
        packages = _words(table, "packages") or _words(table, "only-include")
        if packages:
            return _placed(found, packages)
        sources = _value(table, "sources")
        if isinstance(sources, list):
            return found._replace(roots=_words(table, "sources"))
        if isinstance(sources, dict):
            renamed = [(to, path) for path, to in sources.items() if isinstance(to, str)]
            roots = tuple([path for to, path in renamed if not to])
            return found._replace(roots=roots, mapped=tuple([(to, path) for to, path in renamed if to]))
    return found


def _poetry(found: PackageSettings, tool: Mapping[str, Any]) -> PackageSettings:
    poetry = _table(tool, "poetry")
    commands = {
        name: value if isinstance(value, str) else _word(value, "reference")
        for name, value in _table(poetry, "scripts").items()
        if not (isinstance(value, dict) and value.get("type") == "file")
    }
    groups = {
        "console_scripts": commands,
        **{name: _table(poetry, "plugins", name) for name in _table(poetry, "plugins")},
    }
    points = {**checked_entry_points(groups, PYPROJECT), **found.entry_points}
    found = found._replace(
        name=found.name or _word(poetry, "name"), version=found.version or _word(poetry, "version"), entry_points=points
    )
    packages = _value(poetry, "packages")
    paths = [
        f"{_word(item, 'from') or '.'}/{_word(item, 'include').partition('/')[0]}"
        for item in (packages if isinstance(packages, list) else ())
        if _word(item, "include")
    ]
    return _placed(found, paths)


def _pdm(found: PackageSettings, tool: Mapping[str, Any]) -> PackageSettings:
    folder, version = _word(tool, "pdm", "build", "package-dir"), _word(tool, "pdm", "version", "path")
    if version and not found.version:
        found = found._replace(version_files=(version,))
    return found._replace(roots=(folder,)) if folder else found


def _flit(found: PackageSettings, tool: Mapping[str, Any]) -> PackageSettings:
    name = _word(tool, "flit", "module", "name") or _word(tool, "flit", "metadata", "module")
    found = found._replace(name=found.name or name, modules=(name,) if name else ())
    scripts = {"console_scripts": _table(tool, "flit", "scripts")}
    found = found._replace(entry_points={**checked_entry_points(scripts, PYPROJECT), **found.entry_points})
    if found.version or not (name or found.name):
        return found
    module = (name or found.name.replace("-", "_")).replace(".", "/")
    places = [f"{root}{module}{ending}" for root in ("", "src/") for ending in ("/__init__.py", ".py")]
    return found._replace(version_files=tuple(places))


def _uv(found: PackageSettings, tool: Mapping[str, Any]) -> PackageSettings:
    backend = _table(tool, "uv", "build-backend")
    named = backend.get("module-name")
    names = (named,) if isinstance(named, str) else _words(backend, "module-name")
    root = backend.get("module-root")
    modules = tuple([name.partition(".")[0] for name in names])
    return found._replace(roots=((root or ".") if isinstance(root, str) else "src",), modules=modules)


def _maturin(found: PackageSettings, tool: Mapping[str, Any]) -> PackageSettings:
    folder = _word(tool, "maturin", "python-source")
    return found._replace(roots=(folder,)) if folder else found


def _scikit_build(found: PackageSettings, tool: Mapping[str, Any]) -> PackageSettings:
    return _placed(found, _words(tool, "scikit-build", "wheel", "packages"))


_BACKENDS: Mapping[str, Callable[[PackageSettings, Mapping[str, Any]], PackageSettings]] = {
    "hatchling": _hatch,
    "poetry": _poetry,
    "pdm": _pdm,
    "flit": _flit,
    "uv_build": _uv,
    "maturin": _maturin,
    "scikit_build_core": _scikit_build,
}
"""By a part of the name of ``build-backend``; what none is of is read as setuptools reads it."""


def _setuptools(found: PackageSettings, tool: Mapping[str, Any]) -> PackageSettings:
    table = _table(tool, "setuptools")
    folders = {name: path for name, path in _table(table, "package-dir").items() if isinstance(path, str)}
    find = _words(table, "packages", "find", "where")
    if not find and isinstance(_value(table, "packages", "find"), dict):
        find = (folders.get("", "."),)
    found = _of_folders(found, folders, find)
    names = (*_words(table, "packages"), *_words(table, "py-modules"))
    found = found._replace(modules=_tops(names))
    dynamic = _table(table, "dynamic", "version")
    file = dynamic.get("file")
    files = (file,) if isinstance(file, str) else _words(dynamic, "file")
    if found.version or not (files or _word(dynamic, "attr")):
        return found
    return _versioned(found, _word(dynamic, "attr"), files[:1])


def _versioned(found: PackageSettings, attribute: str, files: tuple[str, ...]) -> PackageSettings:
    """With a version that is the value of an attribute of a module, or the content of a file."""
    if not attribute:
        return found._replace(version_files=files)
    module, _, name = attribute.rpartition(".")
    place = module.replace(".", "/")
    roots = [f"{root}/" if root != "." else "" for root in (*found.roots, ".", "src")]
    places = [f"{root}{place}{ending}" for root in dict.fromkeys(roots) for ending in ("/__init__.py", ".py")]
    return found._replace(version_files=tuple(places), version_name=name)


def _of_folders(found: PackageSettings, folders: Mapping[str, str], find: Iterable[str]) -> PackageSettings:
    """With setuptools' ``package_dir``, and the folders in which it looks for packages."""
    roots = [folders[""] or "."] if "" in folders else []
    mapped = [(module, path) for module, path in folders.items() if module]
    return found._replace(roots=tuple(dict.fromkeys([*roots, *find])), mapped=tuple(mapped))


def _tops(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([name.partition(".")[0] for name in names if name and "*" not in name]))


def _setup_cfg(text: str) -> PackageSettings:
    import configparser

    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        words = str(error).splitlines()[0][:200]
        raise InputError(f"it can't be read: {words}", where=SETUP_CFG, hint="correct the file") from None

    def lines(section: str, *names: str) -> list[str]:
        raw = next((parser.get(section, name) for name in names if parser.has_option(section, name)), "")
        return [line.strip() for line in raw.replace(",", "\n").splitlines() if line.strip()]

    folders = {
        name.strip(): path.strip()
        for name, _, path in [line.partition("=") for line in lines("options", "package_dir")]
    }
    packages = lines("options", "packages")
    find = lines("options.packages.find", "where")
    if packages[:1] in (["find:"], ["find_namespace:"]):
        find = find or [folders.get("", ".")]
    found = PackageSettings(
        "".join(lines("metadata", "name")),
        modules=_tops([*([] if find else packages), *lines("options", "py_modules")]),
    )
    found = _of_folders(found, folders, find)
    version = parser.get("metadata", "version", fallback="").strip()
    kind, _, value = version.partition(":")
    if kind == "attr":
        found = _versioned(found, value.strip(), ())
    elif kind == "file":
        found = found._replace(version_files=(value.partition(",")[0].strip(),))
    else:
        found = found._replace(version=version)
    points = {
        group: _pairs(parser.get("options.entry_points", group).splitlines())
        for group in (parser.options("options.entry_points") if parser.has_section("options.entry_points") else ())
    }
    return found._replace(entry_points=checked_entry_points(points, SETUP_CFG))


def _pairs(lines: Iterable[Any]) -> dict[str, str]:
    """``name = value`` of each line."""
    found = [line.partition("=") for line in lines if isinstance(line, str) and "=" in line]
    return {name.strip(): value.strip() for name, _, value in found}


def _setup_py(content: bytes) -> PackageSettings:
    """The literals that a script gives to ``setup``; what it computes is not known."""
    import ast

    try:
        nodes = list(ast.walk(ast.parse(content)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return PackageSettings()
    call = next((node for node in nodes if isinstance(node, ast.Call) and _called(node) == "setup"), None)
    given: dict[str, Any] = {}
    find: list[str] = []
    for keyword in call.keywords if call is not None else ():
        if keyword.arg == "packages" and isinstance(keyword.value, ast.Call):
            where = [*keyword.value.args[:1], *[one.value for one in keyword.value.keywords if one.arg == "where"]]
            find = [one.value for one in where if isinstance(one, ast.Constant) and isinstance(one.value, str)] or ["."]
            continue
        try:
            given[keyword.arg or ""] = ast.literal_eval(keyword.value)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue
    folders = {
        name: path
        for name, path in _table(given, "package_dir").items()
        if isinstance(name, str) and isinstance(path, str)
    }
    points = _value(given, "entry_points")
    if isinstance(points, str):
        points = _sections(points)
    groups = {
        group: _pairs([lines] if isinstance(lines, str) else lines if isinstance(lines, (list, tuple)) else ())
        for group, lines in (points.items() if isinstance(points, dict) else ())
        if isinstance(group, str)
    }
    names = [name for part in ("packages", "py_modules") for name in _words(given, part)]
    found = PackageSettings(
        _word(given, "name"),
        _word(given, "version"),
        modules=_tops(names),
        entry_points=checked_entry_points(groups, SETUP_PY),
    )
    return _of_folders(found, folders, find)


def _called(node: Any) -> str:
    function = node.func
    return str(getattr(function, "attr", getattr(function, "id", "")))


def _sections(text: str) -> dict[str, list[str]]:
    """The lines below each ``[group]``."""
    found: dict[str, list[str]] = {}
    group = ""
    for line in text.splitlines():
        if line.strip().startswith("["):
            group = line.strip().strip("[]")
        elif line.strip():
            found.setdefault(group, []).append(line)
    return found

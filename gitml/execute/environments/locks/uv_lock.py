"""Locks of uv: ``uv.lock`` of a project, and ``NAME.py.lock`` of a script with inline metadata (PEP 723).

uv itself says what its lock means: it writes it as a pylock (PEP 751), without looking at the machine. Whether a lock is up to
date is compared here: uv would ask an index.
"""

from __future__ import annotations

import os
import posixpath
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gitml.core.kinds.environment_kinds import SCRIPT
from gitml.core.model.environment import EnvironmentSource, EnvironmentSpec, package_name
from gitml.errors import InputError
from gitml.execute.environments.locks.sealed_files import check_hashed, sealed_project
from gitml.execute.environments.locks.selection import toml_of
from gitml.execute.environments.uv_commands import reason_in, uv_environment, uv_program

_PATIENCE = 60  # seconds
_MOST_GROUPS = 1000
_OWN = re.compile(r'^source = \{ (editable|virtual) = "\." \}$', re.MULTILINE)
_SPLIT = re.compile(r"^\[\[package\]\]$", re.MULTILINE)
_SCRIPT = "script.py"  # what uv knows a script as: another name could be that of a file of settings
_BEGIN, _END = "# /// script", "# ///"
_SOURCES = ("url", "git", "path", "directory", "editable", "virtual")

Wanted = frozenset[tuple[str, str, tuple[str, ...], str]]
"""(group or empty, name, extras, versions) of requirements; versions are empty where a source says what they are."""


def exported(source: EnvironmentSource, machine: Mapping[str, str]) -> bytes:
    """What the lock of a project or of a script says, as a pylock for every platform.

    InputError for a script or a project without a lock, and for a lock that is out of date.
    """
    spec = source.spec
    name, lock = lock_of(spec)
    if source.file(lock) is None:
        hint = f"gitml env lock {name}, and commit {lock}"
        raise InputError(f"the script {name} has no lock, {lock}", where=name, hint=hint)
    (_check_script if spec.kind == SCRIPT else _check_project)(source, name, lock)
    return _export(source, name, lock, machine)


def lock_of(spec: EnvironmentSpec) -> tuple[str, str]:
    """The file that says what is wanted, and its lock."""
    if spec.kind == SCRIPT:
        if not spec.name:
            raise InputError("the command starts no Python script", hint="name it: environment: {script: src/train.py}")
        return spec.name, f"{spec.name}.lock"
    return posixpath.join(posixpath.dirname(spec.name), "pyproject.toml"), spec.name


def has_package(lock: bytes) -> bool:
    """Whether a ``uv.lock`` has the project beside it as a package, which uv would install."""
    found = _OWN.search(lock.decode("utf-8", "replace"))
    return found is not None and found[1] == "editable"


def _export(source: EnvironmentSource, name: str, lock: str, machine: Mapping[str, str]) -> bytes:
    spec = source.spec
    words = [
        uv_program(machine),
        "export",
        "--format",
        "pylock.toml",
        "--frozen",
        "--offline",
        "--no-header",
        "--quiet",
        "--no-config",
    ]
    check_hashed(source.file(lock) or b"", lock)
    with tempfile.TemporaryDirectory(prefix="gitml-lock-") as folder:
        written = {name: source.file(name) or b"", lock: source.file(lock) or b""}
        called = {name: _SCRIPT if spec.kind == SCRIPT else "pyproject.toml"}
        called[lock] = f"{_SCRIPT}.lock" if spec.kind == SCRIPT else "uv.lock"
        if spec.kind != SCRIPT:
            written[name] = sealed_project(written[name], name)
        for path, content in written.items():
            with open(os.path.join(folder, called[path]), "wb") as file:
                file.write(content)
        if spec.kind == SCRIPT:
            words += ["--script", _SCRIPT]
        else:
            words += ["--no-emit-local", *_choice(spec)]
        # settings of the user say where packages come from, not what a lock means
        env = {key: value for key, value in uv_environment(machine).items() if not key.startswith("UV_")}
        env["UV_CACHE_DIR"] = os.path.join(folder, "cache")
        try:
            ran = subprocess.run(
                words,
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PATIENCE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InputError(f"uv could not read the lock: {error}", where=lock) from error
    if ran.returncode != 0:
        text = ran.stderr.decode("utf-8", "replace")
        raise _unreadable(reason_in(text), source, name, lock)
    return ran.stdout


def _unreadable(said: str, source: EnvironmentSource, name: str, lock: str) -> InputError:
    """What uv said of a lock, and what to do: a group or an extra that a pipeline names may be misspelt."""
    unknown = re.search(r"(Group|Extra) `([^`]*)` is not defined", said)
    if unknown is None:
        return InputError(f"uv can't read the lock: {said}", where=lock, hint=f"gitml env lock {name}")
    project = toml_of(source.file(name) or b"", name)
    what, there = "group", [*_table(project.get("dependency-groups"))]
    if unknown[1] == "Extra":
        what, there = "extra", [*_table(_table(project.get("project")).get("optional-dependencies"))]
    named = ", ".join(sorted(there)[:10]) or "none"
    return InputError(f"{name} has no {what} {unknown[2][:80]!r}", where=lock, hint=f"its {what}s: {named}")


def _choice(spec: EnvironmentSpec) -> Iterator[str]:
    """The options that choose groups and extras. The group ``dev`` is for tools: it counts only where it is named."""
    groups = spec.texts("groups")
    if "dev" not in groups:
        yield "--no-dev"
    for group in groups:
        yield from ("--group", group)
    for extra in spec.texts("extras"):
        yield from ("--extra", extra)


def _check_project(source: EnvironmentSource, name: str, lock: str) -> None:
    """InputError where ``pyproject.toml`` wants something else than the lock was made for."""
    project = toml_of(source.file(name) or b"", name)
    text = (source.file(lock) or b"").decode("utf-8", "replace")
    own = next((part for part in _SPLIT.split(text) if _OWN.search(part)), None)
    table = _table(project.get("project"))
    dynamic = table.get("dynamic") or ()
    if own is None or {"dependencies", "optional-dependencies"} & set(dynamic):
        return  # a workspace without a project of its own, or what only a build finds out
    metadata = _table(_table(toml_of(f"[[package]]{own}".encode(), lock)["package"][0]).get("metadata"))
    wanted = _wanted_by(project, name)
    locked = _locked_for(metadata)
    if wanted != locked:
        raise _stale(name, lock, wanted, locked)


def _check_script(source: EnvironmentSource, name: str, lock: str) -> None:
    lines = _metadata_lines((source.file(name) or b"").decode("utf-8", "replace"))
    if lines is None:
        raise InputError(
            "the script has no inline metadata (# /// script)", where=name, hint=f"uv add --script {name} numpy …"
        )
    metadata = toml_of("\n".join(lines).encode(), name)
    text = (source.file(lock) or b"").decode("utf-8", "replace")
    manifest = _table(toml_of(_SPLIT.split(text)[0].encode(), lock).get("manifest"))
    sources = _sources(metadata)
    wanted = frozenset(_parsed(_texts(metadata.get("dependencies")), "", sources, name))
    locked = frozenset(_entry(item, "") for item in _tables(manifest.get("requirements")))
    if wanted != locked:
        raise _stale(name, lock, wanted, locked)


def _metadata_lines(text: str) -> list[str] | None:
    """The lines of the inline metadata of a script, as PEP 723 has it; None where it has none.

    The block goes to the last line that ends it before a line that is no comment.
    """
    block: list[str] | None = None
    end = 0
    for line in text.replace("\r\n", "\n").split("\n"):
        if block is None:
            block = [] if line == _BEGIN else None
        elif line == "#" or line.startswith("# "):
            end = len(block) if line == _END else end
            block.append(line[2:])
        elif end:
            break
        else:
            block = None
    return block[:end] if block and end else None


def _stale(name: str, lock: str, wanted: Wanted, locked: Wanted) -> InputError:
    """The error for a lock that was made before `name` changed, with what changed in it."""
    before, after = _by_package(locked), _by_package(wanted)
    changed = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
    named = ", ".join(_change(*key, before.get(key), after.get(key)) for key in changed[:3])
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return InputError(
        f"the lock is out of date: {name} changed after it was made ({named}{more})",
        where=lock,
        hint=f"gitml env lock {name}, and commit {lock}",
    )


def _by_package(found: Wanted) -> dict[tuple[str, str], str]:
    """What is wanted of each (name, group), as requirements are written."""
    texts: dict[tuple[str, str], list[str]] = {}
    for group, package, extras, versions in sorted(found):
        written = f"{package}[{','.join(extras)}]{versions}" if extras else f"{package}{versions}"
        texts.setdefault((package, group), []).append(written)
    return {key: " and ".join(several) for key, several in texts.items()}


def _change(package: str, group: str, before: str | None, after: str | None) -> str:
    of_group = f"group {group}" if group else ""
    if before is None:
        return f"{package} was added" + (f" to {of_group}" if group else "")
    if after is None:
        return f"{package} was removed" + (f" from {of_group}" if group else "")
    return f"{before} became {after}" + (f" in {of_group}" if group else "")


def _wanted_by(project: Mapping[str, Any], name: str) -> Wanted:
    table, sources = _table(project.get("project")), _sources(project)
    found = list(_parsed(_texts(table.get("dependencies")), "", sources, name))
    for texts in _table(table.get("optional-dependencies")).values():
        found += _parsed(_texts(texts), "", sources, name)
    groups = _table(project.get("dependency-groups"))
    if len(groups) > _MOST_GROUPS:
        raise InputError(f"it has more than {_MOST_GROUPS:,} dependency groups", where=name, hint="remove some")
    for group in groups:
        found += _parsed(_members(groups, group), package_name(group), sources, name)
    older = _texts(_table(_table(project.get("tool")).get("uv")).get("dev-dependencies"))
    return frozenset([*found, *_parsed(older, "dev", sources, name)])


def _members(groups: Mapping[str, Any], group: str) -> list[str]:
    """The requirements of a dependency group, with those of the groups that it includes (PEP 735), each group once."""
    found: list[str] = []
    by_name = {package_name(name): name for name in groups}
    seen, todo = {group}, [group]
    while todo:
        members = groups[todo.pop()]
        for item in members if isinstance(members, list) else ():
            if isinstance(item, str):
                found.append(item)
            elif isinstance(item, dict):
                included = by_name.get(package_name(str(item.get("include-group"))))
                if included is not None and included not in seen:
                    seen.add(included)
                    todo.append(included)
    return found


def _locked_for(metadata: Mapping[str, Any]) -> Wanted:
    found = [_entry(item, "") for item in _tables(metadata.get("requires-dist"))]
    for group, items in _table(metadata.get("requires-dev")).items():
        found += [_entry(item, package_name(group)) for item in _tables(items)]
    return frozenset(found)


def _entry(item: Mapping[str, Any], group: str) -> tuple[str, str, tuple[str, ...], str]:
    fixed = any(source in item for source in _SOURCES)
    versions = "" if fixed else _versions(str(item.get("specifier", "")))
    return (
        group,
        package_name(str(item.get("name"))),
        tuple(sorted(map(package_name, _texts(item.get("extras"))))),
        versions,
    )


def _parsed(
    texts: Iterable[str], group: str, sources: Mapping[str, bool], name: str
) -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    from packaging.requirements import InvalidRequirement, Requirement

    for text in texts:
        try:
            wanted = Requirement(text)
        except (InvalidRequirement, RecursionError) as error:
            raise InputError(f"not a requirement: {text[:80]!r}", where=name) from error
        package = package_name(wanted.name)
        fixed = wanted.url is not None or sources.get(package, False)
        versions = "" if fixed else _versions(str(wanted.specifier))
        yield group, package, tuple(sorted(map(package_name, wanted.extras))), versions


def _sources(project: Mapping[str, Any]) -> Mapping[str, bool]:
    """Whether a package's source under ``[tool.uv.sources]`` says what it is, and not only at which index."""
    tables = _table(_table(_table(project.get("tool")).get("uv")).get("sources"))
    found = {}
    for package, source in tables.items():
        items = _tables(source if isinstance(source, list) else [source])
        found[package_name(package)] = any(name in item for item in items for name in (*_SOURCES, "workspace"))
    return found


def _versions(text: str) -> str:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return ",".join(sorted(str(one).replace(" ", "") for one in SpecifierSet(text)))
    except InvalidSpecifier:
        return text


def _table(raw: Any) -> Mapping[str, Any]:
    return raw if isinstance(raw, dict) else {}


def _tables(raw: Any) -> list[Mapping[str, Any]]:
    return [item for item in raw if isinstance(item, dict)] if isinstance(raw, list) else []


def _texts(raw: Any) -> list[str]:
    return [item for item in raw if isinstance(item, str)] if isinstance(raw, list) else []

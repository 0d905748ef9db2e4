"""Environment: what a step's programs are, named by content so that it can stand in a key."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from gitml.core.model.digest import Digest, digest_of

FORMAT = 2  # of a description; those without a format are of version 1
_BETWEEN = re.compile(r"[-_.]+")  # the parts of a package's name
_DEEPEST = 32  # collections in each other: packages of one name beside each other are


HOST = "host"
REQUIREMENTS = "requirements"
PACKAGES = "packages"
"""The option of a host environment that names the distributions which count."""


def package_name(name: str) -> str:
    """The name of a Python package in normal form (PEP 503), by which two spellings of it are one."""
    return _BETWEEN.sub("-", name).lower()


class EnvironmentSpec(NamedTuple):
    """What ``environment:`` says, in normal form: a `kind` of `core.kinds.environment_kinds`, and the `name` of one of that kind.

    The name is the path of a file of the commit, or what else names it (an image, the folder of a venv). `options` are sorted by
    name; their values are text, or tuples of text.
    """

    kind: str = HOST
    name: str = ""
    options: tuple[tuple[str, Any], ...] = ()

    def option(self, name: str) -> Any:
        """The value of an option; None where it is not given."""
        return next((value for given, value in self.options if given == name), None)

    def texts(self, name: str) -> tuple[str, ...]:
        """The value of an option that is a list; empty where it is not given."""
        return tuple(self.option(name) or ())

    def as_json(self) -> Any:
        """JSON data from which `spec_from_json` makes it again: text for what 0.1.0 knew."""
        if self == ON_HOST:
            return HOST
        if not self.options and self.kind == REQUIREMENTS and self.name not in ("", HOST):
            return self.name
        options = {name: list(value) if isinstance(value, tuple) else value for name, value in self.options}
        return {"kind": self.kind, "name": self.name, **({"options": options} if options else {})}

    def __str__(self) -> str:
        """As people are shown it: ``uv.lock (groups: train)``."""
        said = [f"{name}: {', '.join(value) if isinstance(value, tuple) else value}" for name, value in self.options]
        return (self.name or self.kind) + (f" ({'; '.join(said)})" if said else "")


ON_HOST = EnvironmentSpec()
"""What a machine has installed, all of it."""


def spec_from_json(raw: Any) -> EnvironmentSpec:
    """The inverse of `EnvironmentSpec.as_json`; TypeError, KeyError or AttributeError for what is none."""
    if isinstance(raw, str):
        return ON_HOST if raw == HOST else EnvironmentSpec(REQUIREMENTS, raw)
    options = {
        name: tuple(value) if isinstance(value, list) else value for name, value in raw.get("options", {}).items()
    }
    return EnvironmentSpec(raw["kind"], raw["name"], tuple(sorted(options.items())))


class EnvironmentSource(NamedTuple):
    """What a step names as its environment, and the `files` of the commit that define it, as (path, content).

    `project` is what `install` makes importable of the commit, as canonical JSON (`core.planner.project_package`); empty for
    nothing. It is all that a machine needs to identify the environment, and to build it.
    """

    spec: EnvironmentSpec
    files: tuple[tuple[str, bytes], ...] = ()
    project: str = ""

    def file(self, path: str) -> bytes | None:
        """The content of the file at `path`; None where the commit has none."""
        return next((content for name, content in self.files if name == path), None)


class Environment(NamedTuple):
    """`description` is JSON data with all that counts, `digest` its name, `source` what it was made from.

    `packages` are what the source pins, as ``name version``, where it was read.
    """

    digest: Digest
    description: Mapping[str, Any]
    source: EnvironmentSource
    packages: tuple[str, ...] = ()

    def described(self) -> Mapping[str, Any]:
        """The description with the packages that the source pins, which count by its digest alone."""
        return {**self.description, "distributions": self.packages} if self.packages else self.description


def environment_of(
    description: Mapping[str, Any], source: EnvironmentSource, packages: tuple[str, ...] = ()
) -> Environment:
    """The Environment with this description."""
    return Environment(digest_of(encode_description(description)), description, source, packages)


def with_project(environment: Environment) -> Environment:
    """The environment with the project's own package in its description, where its source has one."""
    if not environment.source.project:
        return environment
    described = {**environment.description, "project": json.loads(environment.source.project)}
    return environment_of(described, environment.source, environment.packages)


def encode_description(description: Mapping[str, Any]) -> bytes:
    """The canonical bytes of a description."""
    return json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def kind_in_words(description: Mapping[str, Any]) -> str | None:
    """The kind in a description as people are shown it; None where it has none. All locks of Python packages are of one."""
    kind = description.get("kind")
    return None if kind is None else "lock" if kind == "python" else str(kind)


def decode_description(data: bytes | str) -> Mapping[str, Any]:
    """The description in `data`, which another machine may have written; ValueError when it is none that this gitml reads."""
    try:
        raw = json.loads(data)
    except RecursionError as error:
        raise ValueError("not the description of an environment: nested too deep") from error
    if not isinstance(raw, dict) or not is_plain(raw, _DEEPEST) or raw.get("format", FORMAT) not in (1, FORMAT):
        raise ValueError("not the description of an environment")
    _check_parts(raw)
    for described in _mapping(raw.get("programs", {})).values():
        if isinstance(described, dict):
            _check_parts(described)
            if "python" not in described or "distributions" not in described:
                raise ValueError("the description of an environment with a Python that is none")
        elif not isinstance(described, str):
            raise ValueError("the description of an environment with a program of no content")
    return raw


def description_or_none(data: bytes | str | None) -> Mapping[str, Any] | None:
    """The description in `data`, None where there is none that can be read."""
    if data is None:
        return None
    try:
        return decode_description(data)
    except ValueError:
        return None


def is_plain(value: Any, deep: int) -> bool:
    """Whether it is text, a finite number, a truth value, nothing, or collections of these not more than `deep` in each other."""
    if value is None or isinstance(value, (str, bool, int)):
        return True
    if isinstance(value, float):
        return value - value == 0
    if not deep:
        return False
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and is_plain(item, deep - 1) for name, item in value.items())
    return isinstance(value, (list, tuple)) and all(is_plain(item, deep - 1) for item in value)


def _check_parts(raw: Mapping[str, Any]) -> None:
    """ValueError unless what is compared and shown of a description is of its type."""
    distributions = raw.get("distributions", [])
    if not isinstance(distributions, list) or not all(isinstance(item, str) for item in distributions):
        raise ValueError("the description of an environment with distributions that are none")
    for content in _mapping(raw.get("contents", {})).values():
        if isinstance(content, dict):
            files = _mapping(content.get("files", {}))
            if not isinstance(content.get("content"), str) or not all(isinstance(f, str) for f in files.values()):
                raise ValueError("the description of an environment with a package of no content")
        elif not isinstance(content, str):
            raise ValueError("the description of an environment with a package of no content")
    repository = _mapping(raw.get("repository", {}))
    imports, commands = repository.get("imports", []), _mapping(repository.get("commands", {}))
    pairs = isinstance(imports, list) and all(isinstance(item, list) and len(item) == 2 for item in imports)
    if not pairs or not all(isinstance(text, str) for item in (*imports, commands.values()) for text in item):
        raise ValueError("the description of an environment that imports what is no module")
    if "project" in raw:
        _check_project(_mapping(raw["project"]))
    if ("repository" in raw and "imports" not in repository) or not isinstance(raw.get("requirements", ""), str):
        raise ValueError("the description of an environment that lacks a part")


def _check_project(project: Mapping[str, Any]) -> None:
    """ValueError unless it is the project's own package as `core.planner.project_package` writes it."""
    imports, modules, points = project.get("imports"), project.get("modules"), _mapping(project.get("entry_points"))
    pairs = isinstance(imports, list) and all(isinstance(item, list) and len(item) == 2 for item in imports)
    texts = [project.get("name"), project.get("version")]
    texts += [text for item in imports for text in item] if pairs and imports else []
    texts += modules if isinstance(modules, list) else [None]
    texts += [target for named in points.values() for target in _mapping(named).values()]
    if not pairs or not all(isinstance(text, str) for text in texts):
        raise ValueError("the description of an environment with a project that is none")


def _mapping(raw: Any) -> Mapping[str, Any]:
    """A part of a description; ValueError unless it has parts by name."""
    if not isinstance(raw, dict):
        raise ValueError("the description of an environment with a part of another type")
    return raw

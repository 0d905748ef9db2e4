"""The kinds of environments that ``environment:`` can name: how each is written, and which file of the commit defines it.

A kind has two parts of one name. The one in ENVIRONMENT_KINDS is pure: what parsing, planning and checks need. The other, in
`execute.environments.environments.ENVIRONMENT_PROVIDERS`, identifies and realizes such an environment on a machine. All code
between them passes an EnvironmentSource or an Environment on, and knows no kind.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from typing import Protocol

from gitml.core.model import paths
from gitml.core.model.step_settings import HOST, REQUIREMENTS

LOCK = "requirements.txt"

_PIN = r"^\s*[A-Za-z0-9][A-Za-z0-9._-]*\s*(\[[^\]]*\])?\s*(===?|@)|^\s*--?[a-z]"


class EnvironmentKind(Protocol):
    """One kind of environment, as pipelines write it."""

    def matches(self, text: str) -> bool:
        """Whether ``environment: text`` names an environment of this kind."""

    def parse(self, text: str) -> tuple[str, str | None]:
        """The name in normal form, and what is wrong with it, None for nothing."""

    def file_of(self, name: str) -> str | None:
        """The file of the commit whose content defines the environment, None where there is no such file."""


class HostKind:
    """``host``: what the machine has installed."""

    def matches(self, text: str) -> bool:
        """See `EnvironmentKind`."""
        return text == HOST

    def parse(self, text: str) -> tuple[str, str | None]:
        """See `EnvironmentKind`."""
        return text, None

    def file_of(self, name: str) -> str | None:
        """See `EnvironmentKind`."""
        return None


class RequirementsKind:
    """The path of a locked requirements file, from which an isolated environment is built."""

    def matches(self, text: str) -> bool:
        """See `EnvironmentKind`."""
        return True

    def parse(self, text: str) -> tuple[str, str | None]:
        """See `EnvironmentKind`."""
        problem = paths.problem_with(text)
        if problem:
            return HOST, f"environment is {problem}"
        path = paths.clean(text)
        unsupported = unsupported_file(path)
        return path, f"environment {path!r} is {': '.join(unsupported)}" if unsupported else None

    def file_of(self, name: str) -> str | None:
        """See `EnvironmentKind`."""
        return name


ENVIRONMENT_KINDS: dict[str, EnvironmentKind] = {REQUIREMENTS: RequirementsKind(), HOST: HostKind()}
"""By name. Of those that match, the last counts: the first takes whatever no other does for the path of a file."""


def environment_kind(name: str) -> str:
    """The name of the kind of environment that `name` means."""
    return next(kind for kind in reversed(ENVIRONMENT_KINDS) if ENVIRONMENT_KINDS[kind].matches(name))


def parse_environment(text: str) -> tuple[str, str | None]:
    """What ``environment: text`` names, in normal form, and what is wrong with it, None for nothing."""
    return ENVIRONMENT_KINDS[environment_kind(text)].parse(text)


def environment_file(name: str) -> str | None:
    """The file of the commit, or of the module's folder, that defines the environment; None where there is no such file."""
    return ENVIRONMENT_KINDS[environment_kind(name)].file_of(name)


def unsupported_file(path: str) -> tuple[str, str] | None:
    """What the file at `path` is by its name, and the fix; None when it may be a requirements file."""
    name = posixpath.basename(path)
    folder = posixpath.dirname(path)
    lock = posixpath.join(folder, LOCK)
    there = f"cd {shlex.quote(folder)} && " if folder else ""
    given, made = shlex.quote(path), shlex.quote(lock)
    compile_it = f"uv pip compile {given} --universal --generate-hashes -o {made}"
    lower = name.lower()
    if lower == "uv.lock":
        return "a lock of uv", _then(f"{there}uv export --format requirements-txt --no-emit-project -o {LOCK}", lock)
    if lower == "pyproject.toml":
        return "a project, whose requirements are not locked", _then(compile_it, lock)
    if lower == "poetry.lock":
        return "a lock of Poetry", _then(f"{there}poetry export -o {LOCK} (with the plugin poetry-plugin-export)", lock)
    if lower in ("pipfile", "pipfile.lock"):
        return "a file of Pipenv", _then(f"{there}pipenv requirements --hash > {LOCK}", lock)
    if lower in ("pdm.lock",):
        return "a lock of PDM", _then(f"{there}pdm export -o {LOCK}", lock)
    if lower in ("pixi.toml", "pixi.lock"):
        return "a file of pixi", _then(_listed(there), lock)
    if re.match(r"(.*[.-])?conda-lock\.ya?ml\Z|conda-.*\.lock\Z", lower):
        return "a lock of conda", _then(_listed(there), lock)
    if lower.endswith((".yml", ".yaml")):
        return "a conda environment", _then(_listed(there), lock)
    if re.match(r"pylock(\..*)?\.toml\Z", lower):
        return "a pylock file", _then(f"uv pip compile {given} -o {made}", lock)
    if lower.endswith(".toml"):
        return "a TOML file", _then(compile_it, lock)
    if lower in ("setup.py", "setup.cfg"):
        return "a project, whose requirements are not locked", _then(compile_it, lock)
    if lower.startswith(("dockerfile", "containerfile")) or lower.endswith((".sif", ".def", ".dockerfile")):
        return "a container", "containers are not taken yet: name a locked requirements file, or `host`"
    return None


def unsupported_content(path: str, text: str) -> tuple[str, str] | None:
    """As `unsupported_file`, for a file whose name says nothing, by what is in it."""
    if "@EXPLICIT" in text:
        return "an explicit list of conda", _then(_listed(""), LOCK)
    if re.search(r"^(dependencies|channels):", text, re.MULTILINE) and not re.search(_PIN, text, re.MULTILINE):
        return "a conda environment", _then(_listed(""), LOCK)
    if re.search(r"^\[\[?[a-z]", text, re.MULTILINE):
        return "a TOML file", _then(f"uv pip compile pyproject.toml --universal --generate-hashes -o {LOCK}", LOCK)
    return None


def lock_command(path: str) -> str:
    """The command that locks the requirements file at `path` into another one."""
    stem, ending = posixpath.splitext(path)
    made = f"{stem}.txt" if ending == ".in" else f"{stem}.lock.txt"
    return f"uv pip compile {shlex.quote(path)} -o {shlex.quote(made)}, and write environment: {made}"


def _listed(there: str) -> str:
    return f"list what pip must install in requirements.in, {there}uv pip compile requirements.in --generate-hashes -o {LOCK}"


def _then(command: str, lock: str) -> str:
    return f"gitml takes locked requirements files only, so far: {command}, and write environment: {lock}"

"""The kinds of environments that ``environment:`` can name: how each is written, and which file of the commit defines it.

A kind has two parts of one name. The one in ENVIRONMENT_KINDS is pure: what parsing, planning and checks need. The other, in
`execute.environments.environments.ENVIRONMENT_PROVIDERS`, identifies and realizes such an environment on a machine. All code
between them passes an EnvironmentSource or an Environment on, and knows no kind.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable
from typing import NamedTuple

from gitml.core.model import paths
from gitml.core.model.step_settings import HOST, REQUIREMENTS

LOCK = "requirements.txt"

_PIN = r"^\s*[A-Za-z0-9][A-Za-z0-9._-]*\s*(\[[^\]]*\])?\s*(===?|@)|^\s*--?[a-z]"


class EnvironmentKind(NamedTuple):
    """One kind of environment, as pipelines write it: `matches` returns whether ``environment: text`` names one.

    `parse` gives the name in normal form, and what is wrong with it, None for nothing. `file_of` names the file of the commit
    whose content defines the environment, None where there is no such file.
    """

    matches: Callable[[str], bool]
    parse: Callable[[str], tuple[str, str | None]]
    file_of: Callable[[str], str | None]


def _parse_requirements(text: str) -> tuple[str, str | None]:
    problem = paths.problem_with(text)
    if problem:
        return HOST, f"environment is {problem}"
    path = paths.clean(text)
    unsupported = unsupported_file(path)
    return path, f"environment {path!r} is {': '.join(unsupported)}" if unsupported else None


ENVIRONMENT_KINDS: dict[str, EnvironmentKind] = {
    # the path of a locked requirements file, from which an isolated environment is built
    REQUIREMENTS: EnvironmentKind(lambda text: True, _parse_requirements, lambda name: name),
    # what the machine has installed
    HOST: EnvironmentKind(lambda text: text == HOST, lambda text: (text, None), lambda name: None),
}
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


_COMPILE = "uv pip compile {given} --universal --generate-hashes -o {made}"
_LIST = f"list what pip must install in requirements.in, {{there}}uv pip compile requirements.in --generate-hashes -o {LOCK}"
_UNLOCKED = "a project, whose requirements are not locked"
_UNSUPPORTED = (
    (r"uv\.lock", "a lock of uv", f"{{there}}uv export --format requirements-txt --no-emit-project -o {LOCK}"),
    (r"pyproject\.toml", _UNLOCKED, _COMPILE),
    (r"poetry\.lock", "a lock of Poetry", f"{{there}}poetry export -o {LOCK} (with the plugin poetry-plugin-export)"),
    (r"pipfile(\.lock)?", "a file of Pipenv", f"{{there}}pipenv requirements --hash > {LOCK}"),
    (r"pdm\.lock", "a lock of PDM", f"{{there}}pdm export -o {LOCK}"),
    (r"pixi\.(toml|lock)", "a file of pixi", _LIST),
    (r"(.*[.-])?conda-lock\.ya?ml|conda-.*\.lock", "a lock of conda", _LIST),
    (r".*\.ya?ml", "a conda environment", _LIST),
    (r"pylock(\..*)?\.toml", "a pylock file", "uv pip compile {given} -o {made}"),
    (r".*\.toml", "a TOML file", _COMPILE),
    (r"setup\.(py|cfg)", _UNLOCKED, _COMPILE),
    (r"(docker|container)file.*|.*\.(sif|def|dockerfile)", "a container", None),
)
"""By the whole name in lower case: what the file is, and the command that locks what it says, None where none does."""


def unsupported_file(path: str) -> tuple[str, str] | None:
    """What the file at `path` is by its name, and the fix; None when it may be a requirements file."""
    folder, name = posixpath.split(path)
    for pattern, what, command in _UNSUPPORTED:
        if re.fullmatch(pattern, name.lower()):
            if command is None:
                return what, "containers are not taken yet: name a locked requirements file, or `host`"
            lock = posixpath.join(folder, LOCK)
            there = f"cd {shlex.quote(folder)} && " if folder else ""
            return what, _then(command.format(given=shlex.quote(path), made=shlex.quote(lock), there=there), lock)
    return None


def unsupported_content(path: str, text: str) -> tuple[str, str] | None:
    """As `unsupported_file`, for a file whose name says nothing, by what is in it."""
    if "@EXPLICIT" in text:
        return "an explicit list of conda", _then(_LIST.format(there=""), LOCK)
    if re.search(r"^(dependencies|channels):", text, re.MULTILINE) and not re.search(_PIN, text, re.MULTILINE):
        return "a conda environment", _then(_LIST.format(there=""), LOCK)
    if re.search(r"^\[\[?[a-z]", text, re.MULTILINE):
        return "a TOML file", _then(_COMPILE.format(given="pyproject.toml", made=LOCK), LOCK)
    return None


def lock_command(path: str) -> str:
    """The command that locks the requirements file at `path` into another one."""
    stem, ending = posixpath.splitext(path)
    made = f"{stem}.txt" if ending == ".in" else f"{stem}.lock.txt"
    return f"uv pip compile {shlex.quote(path)} -o {shlex.quote(made)}, and write environment: {made}"


def _then(command: str, lock: str) -> str:
    return f"gitml takes locked requirements files only, so far: {command}, and write environment: {lock}"

"""Files that projects list their packages in, and that are no lock: what each is, and how to make a lock of it.

What such a file would install changes from day to day, so that nothing can be identified by it.
"""

from __future__ import annotations

import posixpath
import re
import shlex

_LOCK_IT = "gitml env lock {given}"
_NOT_LOCKED = "which does not lock its packages"
_PUSHED = "and write {{image: NAME@sha256:…}}"
_ANY_TOML = "a TOML file"
_FILES = (
    (r"pyproject\.toml|setup\.(py|cfg)", f"a project, {_NOT_LOCKED}", _LOCK_IT),
    (r"environment.*\.ya?ml|.*[.-]environment\.ya?ml", f"a conda environment, {_NOT_LOCKED}", _LOCK_IT),
    (r"pixi\.toml", f"a project of pixi, {_NOT_LOCKED}", _LOCK_IT),
    (r"poetry\.lock", "a lock of Poetry", "poetry export -o {lock} (with the plugin poetry-plugin-export)"),
    (r"pipfile(\.lock)?", "a file of Pipenv", "pipenv requirements --hash > {lock}"),
    (r"pdm\.lock", "a lock of PDM", "pdm export -f pylock -o {pylock}"),
    (
        r"renv\.lock",
        "a lock of renv",
        "name R and its packages (r-base, r-dplyr …) in environment.yml, and lock that: gitml env lock environment.yml",
    ),
    (r".*\.toml", _ANY_TOML, "uv pip compile {given} --universal --generate-hashes -o {lock}"),
    (r"(docker|container)file.*|.*\.dockerfile", "a recipe of an image", f"build and push the image, {_PUSHED}"),
    (r".*\.(sif|def)", "a file of Apptainer", f"push the image to a registry, {_PUSHED}"),
)
"""By the whole name in lower case: what the file is, and what to do."""
_PIN = r"^\s*[A-Za-z0-9][A-Za-z0-9._-]*\s*(\[[^\]]*\])?\s*(===?|@)|^\s*--?[a-z]"


def unlocked_file(path: str) -> tuple[str, str] | None:
    """What the file at `path` is by its name, and how to make a lock of it; None when it may be a lock."""
    folder, name = posixpath.split(path)
    for pattern, what, command in _FILES:
        if re.fullmatch(pattern, name.lower()):
            names = {"lock": "requirements.txt", "pylock": "pylock.toml"}
            beside = {key: shlex.quote(posixpath.join(folder, value)) for key, value in names.items()}
            return what, command.format(given=shlex.quote(path), **beside)
    return None


def is_any_toml(path: str) -> bool:
    """Whether all that is known by the name of the file at `path` is that it holds TOML."""
    known = unlocked_file(path)
    return known is not None and known[0] == _ANY_TOML


def unlocked_content(path: str, text: str) -> tuple[str, str] | None:
    """As `unlocked_file`, for a file whose name says nothing, by what is in it."""
    if re.search(r"^(dependencies|channels):", text, re.MULTILINE) and not re.search(_PIN, text, re.MULTILINE):
        return f"a conda environment, {_NOT_LOCKED}", _LOCK_IT.format(given=shlex.quote(path))
    if re.search(r"^\[\[?[a-z]", text, re.MULTILINE):
        return "a TOML file", "name it as what it is: environment: {uv: FILE}, {pylock: FILE}"
    return None


def lock_command(path: str) -> str:
    """The command that makes a lock of the loose requirements file at `path`."""
    return _LOCK_IT.format(given=shlex.quote(path))

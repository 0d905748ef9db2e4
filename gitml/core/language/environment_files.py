"""Files that describe an environment and are not taken yet: what each is, and how to make a locked requirements file of it."""

from __future__ import annotations

import posixpath
import re
import shlex

LOCK = "requirements.txt"

_REQUIREMENTS = re.compile(r"^\s*[A-Za-z0-9][A-Za-z0-9._-]*\s*(\[[^\]]*\])?\s*(===?|@)|^\s*--?[a-z]", re.MULTILINE)
_CONDA = re.compile(r"^(dependencies|channels):", re.MULTILINE)


def not_taken(path: str) -> tuple[str, str] | None:
    """What the file at `path` is by its name, and the mend; None when it may be a requirements file."""
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


def not_taken_by_content(path: str, text: str) -> tuple[str, str] | None:
    """As `not_taken`, for a file whose name says nothing, by what is in it."""
    if "@EXPLICIT" in text:
        return "an explicit list of conda", _then(_listed(""), LOCK)
    if _CONDA.search(text) and not _REQUIREMENTS.search(text):
        return "a conda environment", _then(_listed(""), LOCK)
    if re.search(r"^\[\[?[a-z]", text, re.MULTILINE):
        return "a TOML file", _then(f"uv pip compile pyproject.toml --universal --generate-hashes -o {LOCK}", LOCK)
    return None


def how_to_lock(path: str) -> str:
    """The command that locks the requirements file at `path` into another one."""
    stem, ending = posixpath.splitext(path)
    made = f"{stem}.txt" if ending == ".in" else f"{stem}.lock.txt"
    return f"uv pip compile {shlex.quote(path)} -o {shlex.quote(made)}, and write environment: {made}"


def _listed(there: str) -> str:
    return f"list what pip must install in requirements.in, {there}uv pip compile requirements.in --generate-hashes -o {LOCK}"


def _then(command: str, lock: str) -> str:
    return f"gitml takes locked requirements files only, so far: {command}, and write environment: {lock}"
